"""metrics.csv, written so that a run can go on in it."""

import csv
import os
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment

from ..saving.atomic import part_of
from ..saving.rows import is_whole, read


class MetricsFile(CSVLogger):
    """Lightning's CSVLogger, which deletes the metrics of a run that goes on, and loses them on a full disk.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(run, name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> "Rows":
        if not isinstance(self._experiment, Rows):
            os.makedirs(self.log_dir, exist_ok=True)
            self._experiment = Rows(self.log_dir)
        return self._experiment


class Rows(ExperimentWriter):
    """The rows of metrics.csv.

    Attributes:
        written: how many rows are in the file; `metrics` holds those that are not yet.
    """

    def _check_log_dir_exists(self) -> None:
        """Read the rows of the run so far; Lightning would delete them here."""
        self.columns_before, self.rows_before = read(Path(self.metrics_file_path))
        self.written = len(self.rows_before)

    def truncate(self, rows: int) -> None:
        """Truncate to the first `rows` rows; the resumed run logs the rest again. Says so if some of them are gone."""
        first_rows, self.rows_before = self.rows_before[:rows], []
        readable = [row for row in first_rows if is_whole(row)]
        if len(readable) < rows:
            put_aside(Path(self.metrics_file_path), rows - len(readable), rows)
        self.metrics_keys = self.columns_before if readable else []
        self.written = len(readable)
        self._replace(readable)

    def save(self) -> None:
        if self.metrics and self.rows_before:  # nothing has said what to keep: this training starts over
            self.truncate(0)
        self.written += len(self.metrics)
        super().save()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with open(self.metrics_file_path, newline="") as file:
            self._replace(list(csv.DictReader(file)))

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        """Write the file anew; the one before it stays until this one is whole."""
        path = Path(self.metrics_file_path)
        if not rows:
            path.unlink(missing_ok=True)
            return
        # In place, a kill or a full disk in the middle of writing would lose the rows before.
        part = part_of(path)
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(part, path)


def put_aside(path: Path, lost: int, rows: int) -> None:
    """Keep a damaged file under another name, and say what is missing."""
    kept = "it is gone"
    if path.exists():
        number = 1
        while (damaged := path.with_name(f"{path.stem}.damaged-{number}.csv")).exists():
            number += 1
        path.rename(damaged)
        kept = f"the file as it was is {damaged.name}"
    print(f"{path} has lost {lost} of its first {rows} rows; {kept}", file=sys.stderr)


def metrics_file_of(trainer: pl.Trainer) -> MetricsFile | None:
    """The logger that writes metrics.csv, in the process that writes it; None elsewhere."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, MetricsFile)]
    return loggers[0] if loggers and trainer.is_global_zero else None


def rows_of(trainer: pl.Trainer) -> Rows | None:
    """The rows of metrics.csv, in the process that writes them; None elsewhere."""
    metrics_file = metrics_file_of(trainer)
    return metrics_file.experiment if metrics_file else None
