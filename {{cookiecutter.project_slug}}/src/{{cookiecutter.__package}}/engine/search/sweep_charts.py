"""Charts of a sweep: the values of its trials in their order, and against each setting that was searched."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .charts import MOST_POINTS, colour_of
from .found import COMPLETE, PRUNED, Found, Trial
from .records import number
from .space import Parameter
from .told import shown

# By states: matplotlib's marker, the same one as a letter for a legend, its size, and the number of its colour.
MARKS = {COMPLETE: ("o", "\u25cf", 5, 0), PRUNED: ("x", "\u00d7", 5, 7), "best": ("D", "\u25c6", 7, 1)}
LOGARITHMIC_FROM = 10  # times the least value: one bad trial would leave no room for the others
SPREAD = 0.25  # of the trials with one choice, from the first to the last of them, on both sides of its place
LONGEST_NAME = 12  # letters of a choice
MOST_LEVEL = 5  # choices whose names stand side by side


def draw_values(axes: Any, found: Found) -> None:
    """The value of each trial, with the best one so far."""
    best = max if found.direction == "maximize" else min
    done = [trial for trial in found.trials if trial.state == COMPLETE and trial.value is not None]
    so_far = [best(trial.value or 0.0 for trial in done[: place + 1]) for place in range(len(done))]
    axes.plot([trial.number for trial in done], so_far, drawstyle="steps-post", color=colour_of(1), linewidth=1.6)
    draw_trials(axes, found, lambda trial: trial.number)
    axes.set(xlabel="trial")
    axes.xaxis.get_major_locator().set_params(integer=True)


def draw_setting(axes: Any, found: Found, parameter: Parameter) -> None:
    """The value of each trial against its value of a setting; beside one another, in their order, for each choice."""
    if parameter.kind == "choice":
        draw_choices(axes, found, parameter)
    else:
        draw_trials(axes, found, lambda trial: number(trial.values.get(parameter.name)))
        if parameter.log:
            axes.set_xscale("log")
            plain_powers(axes.xaxis, parameter.values)
        elif parameter.kind == "int":
            axes.xaxis.get_major_locator().set_params(integer=True)


def draw_choices(axes: Any, found: Found, parameter: Parameter) -> None:
    last = max((trial.number for trial in found.trials), default=0) or 1

    def place(trial: Trial) -> float | None:
        if parameter.name not in trial.values or trial.values[parameter.name] not in parameter.values:
            return None
        shift = SPREAD * (2 * trial.number / last - 1)
        return parameter.values.index(trial.values[parameter.name]) + shift

    draw_trials(axes, found, place)
    names = [shortened(shown(value)) for value in parameter.values]
    is_level = len(names) <= MOST_LEVEL
    axes.set_xticks(range(len(names)), names, **({} if is_level else {"rotation": 40, "ha": "right"}))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(False, axis="x")


def draw_trials(axes: Any, found: Found, across: Callable[[Trial], float | None]) -> None:
    """A mark for each trial that has a value, and a place; the best one above all others."""
    best = found.best()[:1]
    marked = [
        (PRUNED, found.of(PRUNED)),
        (COMPLETE, [trial for trial in found.of(COMPLETE) if trial not in best]),
        ("best", best),
    ]
    drawn = []
    for name, trials in marked:
        places = [(across(trial), trial.value) for trial in trials]
        points = [(x, y) for x, y in places if x is not None and y is not None and math.isfinite(x)]
        points = points[:: math.ceil(len(points) / (4 * MOST_POINTS)) or 1]
        marker, _, size, colour = MARKS[name]
        settings = {"color": colour_of(colour), "markersize": size, "alpha": 1 if name == "best" else 0.75}
        axes.plot(*(zip(*points, strict=True) if points else ([], [])), marker, **settings)
        drawn += [y for _, y in points]
    if drawn and min(drawn) > 0 and max(drawn) > LOGARITHMIC_FROM * min(drawn):
        axes.set_yscale("log")
        plain_powers(axes.yaxis, drawn)


def plain_powers(axis: Any, values: Sequence[float]) -> None:
    """Have a logarithmic axis tell plain numbers, and enough of them where its values span few powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    is_short = max(values) < 1000 * min(values)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026"
