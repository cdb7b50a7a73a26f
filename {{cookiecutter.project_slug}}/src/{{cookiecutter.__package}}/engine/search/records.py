"""What the folders of many runs say of them, read in no time: without torch, a few small files each.

Whatever is damaged, half-written or somebody else's costs a run that part of its line, and never the others theirs.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import RunError
from ..saving import lock, summary
from ..saving.runs import CHECKPOINTS, CONFIG, REPEAT

STATES = (summary.RUNNING, summary.STOPPED, summary.FINISHED, summary.FAILED)
ReadSettings = Callable[[Path], dict[str, Any]]


@dataclass
class Record:
    """One run, or several in a folder of their own, such as a sweep.

    Attributes:
        name: of its folder; SWEEP/007 for one of several.
        folder: where it lies.
        state: running, stopped (also: killed), finished or failed; "" if nothing says how it ended.
        reason: how it ended, in words.
        started: when it was first started, in ISO 8601; "" if that is unknown.
        seconds: how long it has trained, over all its starts.
        epoch, step: how far it is.
        metric, mode: by which checkpoints are chosen, and whether "min" or "max" is better.
        metrics: those of the validation with the best checkpoint.
        tests: what `test` measured of the checkpoint that it takes.
        commit: of the code; with a + if files differed from it.
        settings: by dotted name.
        runs: the runs, if these are several.
    """

    name: str
    folder: Path
    state: str = ""
    reason: str = ""
    started: str = ""
    seconds: float | None = None
    epoch: int | None = None
    step: int | None = None
    metric: str = ""
    mode: str = "min"
    metrics: dict[str, float] = field(default_factory=dict)
    tests: dict[str, float] = field(default_factory=dict)
    commit: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    runs: "list[Record]" = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """All that can be sorted and filtered by, under the name that one types."""
        fields = {
            "run": self.name,
            "state": self.state,
            "started": self.started,
            "time": self.seconds,
            "epoch": self.epoch,
            "step": self.step,
            "commit": self.commit,
        }
        return {**self.settings, **self.metrics, **self.tests, **fields}


def records_in(folder: Path, read_settings: ReadSettings) -> list[Record]:
    """All runs in a folder, and one record for each folder of several runs, from the oldest to the newest.

    Args:
        folder: the folder of all runs; it need not exist.
        read_settings: reads a configuration whose settings are not repeated in summary.json; may raise RunError.
    """
    records = []
    for path in folders_in(folder):
        if os.path.isfile(os.path.join(path, CONFIG)):
            records.append(record_of(path, os.path.basename(path), read_settings))
        elif group := group_of(path, read_settings):
            records.append(group)
    return sorted(records, key=lambda record: (record.started, record.name))


def folders_in(folder: str | Path) -> Iterator[str]:
    """The folders in a folder that have a name which a run can have: hidden ones are being made or removed."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.path for entry in entries if entry.name[0] != "." and entry.is_dir())
    except OSError:
        return


def group_of(folder: str, read_settings: ReadSettings) -> Record | None:
    """Several runs as one record: their states, their time, and what they reached; None without any.

    That is the metrics of the best one, and of the repetitions of a training their means: they differ by chance.
    """
    name = os.path.basename(folder)
    paths = [path for path in folders_in(folder) if os.path.isfile(os.path.join(path, CONFIG))]
    runs = [record_of(path, f"{name}/{os.path.basename(path)}", read_settings) for path in sorted(paths)]
    if not runs:
        return None
    group = Record(name, Path(folder), runs=runs)
    states = {run.state for run in runs} | ({summary.RUNNING} if lock.is_held(folder) else set())
    group.state = next((state for state in STATES if state in states), "")
    group.started = min((run.started for run in runs if run.started), default="")
    group.seconds = sum(run.seconds or 0 for run in runs)
    group.commit = runs[0].commit if len({run.commit for run in runs}) == 1 else ""
    for best in best_of(runs, 1):
        group.metric, group.mode, group.metrics, group.tests = best.metric, best.mode, best.metrics, best.tests
    if os.path.isfile(os.path.join(folder, REPEAT)):
        group.metrics = means([run.metrics for run in runs])
        group.tests = means([run.tests for run in runs])
    return group


def means(several: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric, over those that have it."""
    names = dict.fromkeys(name for metrics in several for name in metrics)
    return {name: fmean(one[name] for one in several if name in one) for name in names}


def best_of(runs: Sequence[Record], most: int) -> list[Record]:
    """The runs with the best values of the metric that most of them are chosen by, the best one first."""
    measured = [run for run in runs if run.metric in run.metrics]
    names = [run.metric for run in measured]
    common = max(names, key=names.count, default="")
    return sorted((run for run in measured if run.metric == common), key=badness)[:most]


def badness(run: Record) -> float:
    """Less is better; what is no number is worst."""
    value = run.metrics[run.metric] * (-1 if run.mode == "max" else 1)
    return inf if value != value else value


def record_of(folder: str, name: str, read_settings: ReadSettings) -> Record:
    """What one run's folder says."""
    kept = summary.read(folder)
    best, git = (part if isinstance(part := kept.get(key), dict) else {} for key in ("best", "git"))
    state = state_of(folder, kept)
    seconds = number(kept.get("seconds"))
    return Record(
        name,
        Path(folder),
        state,
        text(kept.get("reason")),
        text(kept.get("started")),
        seconds and seconds + (seconds_since(text(kept.get("updated"))) if state == summary.RUNNING else 0),
        whole(kept.get("epoch")),
        whole(kept.get("step")),
        text(best.get("metric")),
        text(best.get("mode")) or "min",
        numbers(kept.get("metrics")),
        tests_in(folder),
        text(git.get("commit"))[:7] + ("+" if git.get("dirty") else ""),
        settings_in(folder, kept, read_settings),
    )


def state_of(folder: str, kept: Mapping[str, Any]) -> str:
    """The lock tells whether a training runs: one that was killed could not say that it ended."""
    if lock.is_held(folder):
        return summary.RUNNING
    state = kept.get("state")
    if state == summary.RUNNING:
        return summary.STOPPED
    return state if state in STATES else ""


def seconds_since(moment: str) -> float:
    try:
        return max(0.0, time.time() - datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0.0


def settings_in(folder: str, kept: Mapping[str, Any], read_settings: ReadSettings) -> dict[str, Any]:
    path = os.path.join(folder, CONFIG)
    try:
        with open(path, "rb") as file:
            content = file.read()
        repeated = kept.get("settings")
        if isinstance(repeated, dict) and kept.get("config") == summary.fingerprint(content):
            return repeated
        return summary.flat_values(read_settings(Path(path)))
    except (OSError, RunError):
        return {}


def tests_in(folder: str) -> dict[str, float]:
    """The metrics in test.json, unless the training has a better checkpoint since then."""
    path = os.path.join(folder, "test.json")
    try:
        measured = os.stat(path).st_mtime
        for name in ("best", "last"):
            checkpoint = os.path.join(folder, CHECKPOINTS, f"{name}.ckpt")
            if os.path.exists(checkpoint):
                return numbers(summary.read_json(path)) if os.stat(checkpoint).st_mtime <= measured else {}
        return numbers(summary.read_json(path))
    except OSError:
        return {}


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def numbers(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if number(value) is not None}
