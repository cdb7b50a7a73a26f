"""Charts of a sweep: the values of its trials in their order, and against each setting that was searched."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from .charts import MOST_POINTS, colour_of
from .found import COMPLETE, FAILED, PRUNED, Found, Trial
from .records import number
from .space import Parameter
from .told import shown

# By states: matplotlib's marker, the same one as a letter for a legend, its size, and the number of its colour.
MARKS = {
    PRUNED: ("x", "\u00d7", 5, 7),
    COMPLETE: ("o", "\u25cf", 5, 0),
    FAILED: ("^", "\u25b2", 5, 3),
    "best": ("D", "\u25c6", 7, 1),
}
LOGARITHMIC_FROM = 10  # times the least value: one bad trial would leave no room for the others
MARGIN = 0.04  # of a chart, on both sides
SPREAD = 0.25  # of the trials with one choice, from the first to the last of them, on both sides of its place
LONGEST_NAME = 12  # letters of a choice
MOST_LEVEL = 5  # choices whose names stand side by side


def draw_values(axes: Any, found: Found) -> None:
    """The value of each trial, with the best one so far."""
    better = max if found.direction == "maximize" else min
    done = [(trial.number, trial.value) for trial in found.of(COMPLETE) if trial.value is not None]
    numbers = [number for number, _ in done] + [trial.number for trial in found.trials[-1:] if done]
    so_far = [*accumulate((value for _, value in done), better)]
    axes.step(numbers, [*so_far, *so_far[-1:]], where="post", color=colour_of(1), linewidth=1.6, zorder=3)
    draw_trials(axes, found, lambda trial: trial.number)
    axes.set(xlabel="trial")
    axes.xaxis.get_major_locator().set_params(integer=True)


def draw_setting(axes: Any, found: Found, parameter: Parameter) -> None:
    """The value of each trial against its value of a setting; beside one another, in their order, for each choice."""
    if parameter.kind == "choice":
        draw_choices(axes, found, parameter)
    else:
        draw_trials(axes, found, lambda trial: number(trial.values.get(parameter.name)))
        low, high = parameter.values
        if parameter.log:
            axes.set_xscale("log")
            plain_powers(axes.xaxis, parameter.values)
            axes.set_xlim(low / (high / low) ** MARGIN, high * (high / low) ** MARGIN)
        else:
            axes.set_xlim(low - MARGIN * (high - low), high + MARGIN * (high - low))
            axes.xaxis.get_major_locator().set_params(integer=parameter.kind == "int")


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
    """A mark for each trial that has a place: at its value, or, if it failed, at the edge where values are worst."""
    best = found.best()[:1]
    trials = {state: found.of(state) for state in (PRUNED, COMPLETE, FAILED)} | {"best": best}
    trials[COMPLETE] = [trial for trial in trials[COMPLETE] if trial not in best]
    is_loss = found.direction == "minimize"
    drawn: list[float] = []
    for name, marked in trials.items():
        places = [(across(trial), float(is_loss) if name == FAILED else trial.value) for trial in marked]
        points = [(x, y) for x, y in places if x is not None and y is not None]
        points = points[:: math.ceil(len(points) / MOST_POINTS) or 1]
        marker, _, size, colour = MARKS[name]
        settings = {"color": colour_of(colour), "markersize": size, "alpha": 1 if name == "best" else 0.75}
        if name == FAILED:  # y counts from 0 to 1, whatever the axis says
            settings |= {"transform": axes.get_xaxis_transform(), "clip_on": False}
        else:
            drawn += [y for _, y in points]
        axes.plot([x for x, _ in points], [y for _, y in points], marker, **settings)
    if not drawn:
        axes.set_yticks([])
    if is_loss and drawn and min(drawn) > 0 and max(drawn) > LOGARITHMIC_FROM * min(drawn):
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
