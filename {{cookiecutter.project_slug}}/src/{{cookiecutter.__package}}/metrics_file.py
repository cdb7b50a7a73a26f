"""metrics.csv, written so that a run can go on in it."""

import csv
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment


class MetricsFile(CSVLogger):
    """Lightning's CSVLogger, which deletes the metrics of a run that goes on, and loses them on a full disk."""

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
    """The rows of metrics.csv; `metrics` are those that are not yet in the file."""

    written = 0

    def _check_log_dir_exists(self) -> None:
        """Keep what is there: `keep_first` decides about it."""

    def keep_first(self, rows: int) -> None:
        """Forget what came after the first rows: a run that goes on logs it once more."""
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            kept = list(reader)[:rows]
            self.metrics_keys = list(reader.fieldnames or []) if kept else []
        self.written = len(kept)
        self._replace(kept)

    def save(self) -> None:
        self.written += len(self.metrics)
        super().save()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with open(self.metrics_file_path, newline="") as file:
            self._replace(list(csv.DictReader(file)))

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        """Write the file anew; the one before it stays until this one is whole."""
        path = Path(self.metrics_file_path)
        if not rows:
            path.unlink()
            return
        part = path.with_name(".metrics.csv.part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(part, path)
