"""What a sweep prints: a line for each trial, and at its end a table of the best ones."""

import math
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import library, overview
from .endings import LOG
from .space import Parameter
from .sweep_file import Sweep
from .trials import ERROR, SECONDS, WORKER, Trials

WIDTH = 80
NARROWEST = 6  # column of a value
SHOWN = 5  # trials in the table, and reasons why some have failed
NAMED = 3  # of the trials that have failed for one reason
LEAST = 5  # trials from which on there is something to estimate


def heading(sweep: Sweep) -> str:
    """What stands above the lines of the trials."""
    names = short_names(sweep.search).values()
    return cut(f"{'':8} trial  {sweep.metric:15}  {'time':>7}  " + "  ".join(name.rjust(NARROWEST) for name in names))


def line(trial: Any, trials: Trials) -> str:
    """One that says how a trial has ended."""
    names = short_names(trials.sweep.search)
    cells = [shown(trial.params.get(name, "-")).rjust(max(NARROWEST, len(short))) for name, short in names.items()]
    text = trial.user_attrs.get(ERROR, "  ".join(cells))
    took = duration(trial.user_attrs.get(SECONDS, 0.0))
    now = time.strftime("%H:%M:%S")
    return cut(f"{now}   {folder_name(trial.number)}  {outcome(trial, trials):15}  {took:>7}  {text}")


def outcome(trial: Any, trials: Trials) -> str:
    state = trial.state.name
    if state == "COMPLETE":
        is_best = trial.number == best(trials)[0].number
        return f"{trial.value:.5g}{' best' if is_best else ''}"
    return "failed" if state == "FAIL" else f"pruned at {len(trial.intermediate_values)}"


def summary(trials: Trials, program: str, naming: Callable[[Path], str]) -> list[str]:
    """The lines at the end of a sweep.

    Args:
        trials: all of them.
        program: the name of the installed command.
        naming: the flags with which a command finds a run.
    """
    every, done = trials.all(), best(trials)
    counts = {name: sum(trial.state.name == state for trial in every) for state, name in STATES.items()}
    lines = ["", ", ".join(f"{number} {name}" for name, number in counts.items() if number or name == "complete")]
    failed = [trial for trial in every if trial.state.name == "FAIL"]
    reasons = by_reason((trial.number, trial.user_attrs.get(ERROR, "")) for trial in failed)
    for names, reason in reasons[:SHOWN]:
        lines += textwrap.wrap(f"{names} failed: {reason}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    lines += [f"  and for {count(len(reasons) - SHOWN, 'other reason')}" for _ in reasons[SHOWN : SHOWN + 1]]
    if failed:
        lines += [f"  see {trials.folder / folder_name(failed[0].number) / LOG}"]
    if not done:
        return lines
    found, short = importances(trials), short_names(trials.sweep.search)
    if found:
        lines += [cut("What mattered: " + ", ".join(f"{short[name]} {share:.0%}" for name, share in found.items()))]
    lines += ["", *table(done[:SHOWN], trials.sweep), ""]
    run = trials.folder / folder_name(done[0].number)
    if not run.exists():  # hosts that share a database alone
        return [*lines, f"Trial {run.name} was run by {done[0].user_attrs.get(WORKER)}, in another folder"]
    return [
        *lines,
        f"Repeat:      {program} fit --config {run / 'config.yaml'}",
        f"Next:        {program} test {naming(run)}",
    ]


def by_reason(failed: Iterable[tuple[int, str]]) -> list[tuple[str, str]]:
    """Which trials have failed, and why: a line for each reason, the most frequent one first."""
    reasons: dict[str, list[str]] = {}
    for number, reason in failed:
        reasons.setdefault(reason, []).append(folder_name(number))
    more = {reason: f" and {len(names) - NAMED} more" if names[NAMED:] else "" for reason, names in reasons.items()}
    ranked = sorted(reasons.items(), key=lambda entry: -len(entry[1]))
    return [(", ".join(names[:NAMED]) + more[reason], reason) for reason, names in ranked]


STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "under way elsewhere"}


def table(best_trials: Sequence[Any], sweep: Sweep) -> list[str]:
    """Trials with their values, as far as 80 columns take them."""
    names = short_names(sweep.search)
    rows = [["trial", sweep.metric, *names.values()]]
    for trial in best_trials:
        values = [shown(trial.params[name]) if name in trial.params else "" for name in names]
        rows.append([folder_name(trial.number), f"{trial.value:.5g}", *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [cut("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))) for row in rows]


def best(trials: Trials) -> list[Any]:
    """The trials that are complete, the best one first, and of equal ones the earlier."""
    done = [trial for trial in trials.all() if trial.state.name == "COMPLETE"]
    sign = 1 if trials.sweep.direction == "minimize" else -1
    return sorted(done, key=lambda trial: (sign * trial.value, trial.number))


def importances(trials: Trials) -> dict[str, float]:
    """How much each parameter mattered, as Optuna estimates it; nothing for too few trials."""
    if len(best(trials)) < LEAST:
        return {}
    try:
        found = library.optuna().importance.get_param_importances(trials.study)
    except (RuntimeError, ValueError):
        return {}
    return {name: share for name, share in found.items() if math.isfinite(share)}


def short_names(parameters: Sequence[Parameter]) -> dict[str, str]:
    """The end of each dotted name, as short as no other one has it."""
    paths = {}
    for parameter in parameters:
        parts = [part for part in parameter.name.split(".") if part not in ("init_args", "class_path")]
        paths[parameter.name] = parts or [parameter.name]
    short = {}
    for name, parts in paths.items():
        length = 1
        while length < len(parts) and sum(other[-length:] == parts[-length:] for other in paths.values()) > 1:
            length += 1
        short[name] = ".".join(parts[-length:])
    return short


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return text.rpartition(".")[2] if text.replace(".", "").isidentifier() else text


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else overview.duration(seconds)


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


def folder_name(number: int) -> str:
    return f"{number:03}"


def cut(text: str) -> str:
    text = " ".join(text.splitlines())
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
