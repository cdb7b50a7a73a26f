"""trials.json: what a sweep has found so far, in its folder, for a page that is made without Optuna."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..saving import summary
from ..saving.atomic import part_of
from ..saving.secrets import masked
from .records import number, numbers, text
from .space import KINDS, Parameter, read_bounds
from .trials import ERROR, SECONDS, Trials, best_value, exclusive

FILE = "trials.json"
COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
STATES = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}


@dataclass(frozen=True)
class Trial:
    """What became of one trial.

    Args:
        number: its number, and the name of its run.
        state: complete, pruned, failed or running.
        value: the best value of the metric that it has reached; None without any.
        seconds: how long it took, over all its starts.
        values: those of the searched settings, by their dotted names.
        error: why it failed, if it did.
    """

    number: int
    state: str
    value: float | None
    seconds: float
    values: dict[str, Any]
    error: str


@dataclass(frozen=True)
class Found:
    """What was searched, how, and with what result.

    Args:
        metric, direction, sampler, pruner, seed, flags, search: those of the sweep's file.
        trials: all that have begun, by their numbers.
        importances: how much each setting mattered, by its dotted name; nothing before the sweep has ended.
    """

    metric: str
    direction: str
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    seed: int
    flags: list[str]
    search: list[Parameter]
    trials: list[Trial]
    importances: dict[str, float]

    def best(self) -> list[Trial]:
        """The trials that are complete, the best one first, and of equal ones the earlier."""
        sign = 1 if self.direction == "minimize" else -1
        done = [(sign * trial.value, trial.number, trial) for trial in self.of(COMPLETE) if trial.value is not None]
        return [trial for _, _, trial in sorted(done, key=lambda ranked: ranked[:2])]

    def has_ended(self) -> bool:
        """Whether at least one trial has."""
        return any(trial.state != RUNNING for trial in self.trials)

    def of(self, state: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == state]


def write(trials: Trials, importances: Mapping[str, float]) -> None:
    """Replace the file. It is not worth a sweep that its disk has no room for it."""
    kept = json.loads(trials.sweep.fixed_part())
    kept["flags"] = masked(kept["flags"])
    kept["trials"] = [entry_of(trial, trials.sweep.direction) for trial in trials.all()]
    kept["importances"] = dict(importances)
    path = trials.folder / FILE
    with suppress(OSError), exclusive(trials.folder):  # several processes of a sweep may share the folder
        part_of(path).write_text(json.dumps(kept) + "\n", encoding="utf-8")
        os.replace(part_of(path), path)


def entry_of(trial: Any, direction: str) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": STATES.get(trial.state.name, RUNNING),
        "value": best_value(trial, direction),
        "seconds": trial.user_attrs.get(SECONDS, 0.0),
        "values": trial.params,
        "error": trial.user_attrs.get(ERROR, ""),
    }


def read(folder: Path) -> Found | None:
    """What was written; None if it is damaged, or there is nothing."""
    kept = summary.read_json(folder / FILE)
    try:
        return Found(
            metric=text(kept["metric"]),
            direction=text(kept["direction"]),
            sampler=dict(kept["sampler"]),
            pruner=dict(kept["pruner"]),
            seed=int(kept["seed"]),
            flags=[str(flag) for flag in kept["flags"]],
            search=[parameter_of(entry) for entry in kept["search"]],
            trials=[trial_of(entry) for entry in kept["trials"]],
            importances=numbers(kept["importances"]),
        )
    except (AttributeError, KeyError, OverflowError, RunError, TypeError, ValueError):
        return None


def parameter_of(entry: dict[str, Any]) -> Parameter:
    name, kind, values = text(entry["name"]), entry["kind"], entry["values"]
    if kind not in KINDS or (entry["log"] and min(values) <= 0):
        raise ValueError
    values = tuple(values) if kind == "choice" else read_bounds(kind, values)
    return Parameter(name, kind, values, bool(entry["log"]), number(entry["step"]), dict(entry["when"]))


def trial_of(entry: dict[str, Any]) -> Trial:
    value = number(entry["value"])
    return Trial(
        number=int(entry["number"]),
        state=text(entry["state"]),
        value=value if value is not None and math.isfinite(value) else None,
        seconds=number(entry["seconds"]) or 0.0,
        values=dict(entry["values"]),
        error=text(entry["error"]),
    )
