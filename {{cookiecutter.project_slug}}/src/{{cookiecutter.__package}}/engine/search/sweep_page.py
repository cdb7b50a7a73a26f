"""The page of a sweep: what was searched, what was found, and what mattered."""

import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..saving import summary
from .charts import MOST_POINTS, svg_of
from .found import COMPLETE, FAILED, PRUNED, RUNNING, Found, Trial
from .overview import number_of
from .page import Markup, bars, charts, details, element, figure, joined, legend, page, section, table, tile
from .records import Record
from .report import curves, origin, typed
from .space import Parameter, flags_of
from .sweep_charts import MARKS, draw_setting, draw_values
from .told import LEAST, by_reason, duration, folder_name, short_names, shown

MOST_LISTED, MOST_COMPARED = 10, 5  # trials: in a table, and by their curves
MOST_REASONS = 20


def page_of(folder: Path, found: Found, program: str, naming: Callable[[Path], str]) -> str:
    """The page as text.

    Args:
        folder: the sweep's.
        found: what was found.
        program: the name of the installed command.
        naming: the flags with which a command finds a run.
    """
    made = element("p", f"{program}, sweep, report of {datetime.now():%Y-%m-%d %H:%M}", class_="muted")
    best = found.best()
    content = [
        tiles(found),
        section("The best trials", best_trials(best[:MOST_LISTED], found), commands(folder, found, program, naming)),
        section("All trials", marks(found), charts(values(found), importances(found)), notes(found)),
        section(f"{found.metric} by each setting", charts(*(against(found, one) for one in found.search))),
        section(f"Learning curves of the best {len(best[:MOST_COMPARED])}", *compared(folder, best[:MOST_COMPARED])),
        section("Trials that failed", failures(found)),
        section("What was searched, and how", space(found), method(found), *where(folder, best[:1])),
    ]
    return page(f"{folder.name}: sweep of {program}", [made, element("h1", f"Sweep {folder.name}"), *content])


def tiles(found: Found) -> Markup:
    parts = []
    for best in found.best()[:1]:
        parts.append(tile(f"{found.metric}, best", number_of(best.value), f"of trial {folder_name(best.number)}"))
    for state in (COMPLETE, PRUNED, FAILED, RUNNING):
        number = len(found.of(state))
        if number or state == COMPLETE:
            parts.append(tile(f"trial{'s' if number != 1 else ''} {state}", f"{number:,}"))
    parts.append(tile("time of all trials", duration(sum(trial.seconds for trial in found.trials))))
    return element("div", *parts, class_="tiles")


def best_trials(best: Sequence[Trial], found: Found) -> Markup:
    """A table with the searched settings alone."""
    names = short_names(found.search)
    if not best:
        return element("p", "No trial is complete yet.")
    rows = [
        [
            folder_name(trial.number),
            number_of(trial.value),
            duration(trial.seconds).replace(" ", "\u00a0"),
            *(shown(trial.values[name]) if name in trial.values else "" for name in names),
        ]
        for trial in best
    ]
    texts = {place for place, one in enumerate(found.search, 3) if any(isinstance(value, str) for value in one.values)}
    return table(["trial", found.metric, "time", *names.values()], rows, {*range(1, 3 + len(names))} - texts)


def commands(folder: Path, found: Found, program: str, naming: Callable[[Path], str]) -> Markup:
    """What repeats the best trial, and what can be done with it."""
    best = found.best()
    if not best:
        return Markup()
    run = folder / folder_name(best[0].number)
    values = shlex.join([program, "fit", *found.flags, *flags_of(best[0].values)])
    with_values = details("Its settings as flags, where there is no such folder", typed(values))
    if not run.is_dir():  # of another host, with which a database is shared alone
        return with_values
    words = [f"fit --config {run / 'config.yaml'}", f"test {naming(run)}", f"report {folder.name}/{run.name}"]
    heading = element("h3", "Repeat the best one, test it, and write its own report")
    return joined(heading, typed(*(f"{program} {word}" for word in words)), with_values)


def values(found: Found) -> Markup:
    chart = svg(partial(draw_values, found=found), found.metric)
    return figure(chart, "The line is the best complete trial so far.", f"{found.metric}, trial by trial")


def importances(found: Found) -> Markup:
    names = short_names(found.search)
    rows = [(names[name], share, f"{share:.0%}") for name, share in found.importances.items() if name in names]
    if not rows:
        return Markup()
    caption = "The share of each setting in the differences between the complete trials, as Optuna estimates it."
    return figure(bars(("setting", "share"), rows), caption, "What mattered")


def notes(found: Found) -> Markup:
    texts = []
    if not found.importances:
        texts.append(f"What mattered is estimated at the end of a sweep, from {LEAST} complete trials on.")
    if any(len(found.of(state)) > MOST_POINTS for state in (COMPLETE, PRUNED, FAILED)):
        texts.append(f"Of trials that ended alike, at most {MOST_POINTS} are drawn, evenly chosen, and the best one.")
    return joined(*(element("p", text, class_="muted") for text in texts))


def against(found: Found, parameter: Parameter) -> Markup:
    name = short_names(found.search)[parameter.name]
    draw = partial(draw_setting, found=found, parameter=parameter)
    return figure(svg(draw, f"{found.metric} by {parameter.name}"), parameter.name, name)


def svg(draw: Callable[[Any], None], title: str) -> Markup:
    return Markup(svg_of(draw, title))


def marks(found: Found) -> Markup:
    """What the marks of the charts mean."""
    kinds = {
        COMPLETE: "complete",
        "best": "the best one",
        PRUNED: "pruned, at the best value that it had reached",
        FAILED: "failed, at the edge",
    }
    there = [name for name in kinds if name == "best" or found.of(name)]
    spans = []
    for name in there:
        _, letter, _, colour = MARKS[name]
        spans.append(element("span", element("span", letter, style=f"color:var(--series-{colour})"), f" {kinds[name]}"))
    return element("div", *spans, class_="legend")


def compared(folder: Path, best: Sequence[Trial]) -> list[Markup]:
    names = [f"{folder.name}/{folder_name(trial.number)}" for trial in best]
    drawn = curves([Record(name, folder.parent / name) for name in names])
    return [legend(names), drawn] if drawn else []


def failures(found: Found) -> Markup:
    reasons = by_reason((trial.number, trial.error) for trial in found.of(FAILED))
    if not reasons:
        return Markup()
    more = [element("p", f"and {len(reasons) - MOST_REASONS} more", class_="muted")] if reasons[MOST_REASONS:] else []
    return joined(table(["trial", "reason"], reasons[:MOST_REASONS]), *more)


def space(found: Found) -> Markup:
    """The searched settings by their full names, with the best value of each."""
    best = found.best()[:1]
    rows = [
        [
            element("code", parameter.name),
            range_of(parameter),
            *(shown(trial.values.get(parameter.name, "-")) for trial in best),
        ]
        for parameter in found.search
    ]
    return table(["setting", "searched", *("best" for _ in best)], rows)


def range_of(parameter: Parameter) -> str:
    if parameter.kind == "choice":
        text = ", ".join(shown(value) for value in parameter.values)
    else:
        low, high = parameter.values
        step = f", in steps of {parameter.step:g}" if parameter.step else ""
        text = f"{low:g} to {high:g}{', by its logarithm' if parameter.log else ''}{step}"
    conditions = (f"{name} is {' or '.join(map(shown, values))}" for name, values in parameter.when.items())
    return "; ".join([text, *(f"only if {condition}" for condition in conditions)])


def method(found: Found) -> Markup:
    rows = [
        ["metric", f"{found.metric}, to {found.direction}; a trial is judged by its best value"],
        ["sampler", f"{described(found.sampler)}, seed {found.seed}"],
        ["pruner", "none" if found.pruner.get("name") == "NopPruner" else described(found.pruner)],
    ]
    if found.flags:
        rows.append(["all trials have", joined(*(joined(element("code", flag), " ") for flag in found.flags))])
    return table(["", ""], rows)


def described(settings: dict[str, Any]) -> str:
    """A sampler or a pruner with its settings."""
    own = ", ".join(f"{name} {shown(value)}" for name, value in settings.items() if name != "name")
    return f"{settings.get('name')} ({own})" if own else str(settings.get("name"))


def where(folder: Path, best: Sequence[Trial]) -> list[Markup]:
    """Commit, versions and hardware, of the best trial."""
    runs = [folder / folder_name(trial.number) for trial in best]
    return [origin(Record(run.name, run), summary.read_json(run / "manifest.json")) for run in runs if run.is_dir()]
