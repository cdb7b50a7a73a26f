"""The tables and pictures of one `validate` or `test`, as in runs/NAME/test/."""

import csv
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torchmetrics import MetricCollection

from ..saving.rows import is_whole, read
from .analysis import columns_of, plot
from .bootstrap import Interval
from .pictures import Columns, plot_groups, plot_worst
from .worst import Mistake

FIGURES = "figures.csv"


class EvaluationFolder:
    """Fills a folder.

    Args:
        folder: where the tables and pictures go.
        run: the run's folder.
        stage: validate or test.
    """

    def __init__(self, folder: Path, run: Path, stage: str) -> None:
        self.folder = folder
        self.run = run
        self.stage = {"validate": "val"}.get(stage, stage)

    def keep_figures(self, figures: dict[str, float], intervals: dict[str, Interval], step: int | None) -> None:
        """The metrics, with their intervals, beside what the training has logged up to the step of the checkpoint."""
        logged = {} if step is None else logged_until(self.run / "metrics.csv", step)
        rows = []
        for name, value in figures.items():
            rest = name.removeprefix(self.stage)
            low, high = intervals.get(name, ("", ""))
            # A set that the training does not know is set beside what it has for all of them.
            last = f"/{name.rpartition('/')[2]}"
            beside = [logged.get(stage + rest, logged.get(stage + last, "")) for stage in ("train", "val")]
            rows.append([name, value, low, high, *beside])
        names = ["metric", "value", "low", "high", "train", "val"]
        write_table(self.folder / FIGURES, dict(zip(names, zip(*rows, strict=True), strict=False)))

    def keep_groups(self, name: str, by_kind: dict[str, Columns]) -> None:
        for kind, columns in by_kind.items():
            self._keep(name, f"by_{kind}", partial(dict, columns), partial(plot_groups, columns, kind))

    def keep_worst(self, name: str, mistakes: list[Mistake]) -> None:
        columns: Columns = {word: [getattr(one, word) for one in mistakes] for word in ("target", "answer", "loss")}
        self._keep(name, "worst_mistakes", lambda: columns, partial(plot_worst, mistakes))

    def keep_analysis(self, name: str, metrics: MetricCollection, values: dict[str, Any]) -> None:
        for key, value in values.items():
            self._keep(name, key, partial(columns_of, metrics[key], value), partial(plot, metrics[key], value))

    def keep_sample(self, write: Callable[[], str]) -> None:
        try:
            if text := write():
                (self.folder / "sample.txt").write_text(text, encoding="utf-8")
        except Exception as error:  # of a team's own method
            warnings.warn(f"sample.txt was not kept: {error}", stacklevel=2)

    def _keep(self, name: str, what: str, columns: Callable[[], Columns], picture: Callable[[], Any]) -> None:
        """Of several sets, each has a folder in this one."""
        folder = self.folder / in_file_name(name.partition("/")[2].strip("/"))
        folder.mkdir(exist_ok=True)
        path = folder / in_file_name(what)
        try:
            write_table(path.with_suffix(".csv"), columns())
            picture()[0].savefig(path.with_suffix(".png"), dpi=120, bbox_inches="tight")
        except Exception as error:  # of a team's own metric: the others are kept, and what was measured
            warnings.warn(f"{path.name} was not kept: {error}", stacklevel=2)


def logged_until(path: Path, step: int) -> dict[str, float]:
    """The last value of each metric in metrics.csv up to a step."""
    _, rows = read(path)
    rows = [row for row in rows if is_whole(row) and int(row["step"]) <= step]
    return {name: float(value) for row in rows for name, value in row.items() if value}


def in_file_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)


def write_table(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
