"""Where metrics go: metrics.csv and an MLflow database, both in the run folder."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger

from .engine.training.metrics_file import MetricsFile


def loggers(run: Path, step: int) -> list[Logger]:
    """The loggers of one run, which goes on from a step or begins at 0.

    All that they write lies in its folder unless MLFLOW_TRACKING_URI names a server.
    """
    # MLflow keeps a connection by its address for the whole process, so the path is absolute.
    database = f"sqlite:///{(run / 'mlflow.db').resolve().as_posix()}"
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", database)
    return [
        MetricsFile(run),
        OneRun(
            run / "mlflow.id",
            experiment_name=__package__,
            run_name=run.name,
            tracking_uri=tracking_uri,
            artifact_location=(run / "mlflow").resolve().as_uri(),
        ),
    ]


class OneRun(MLFlowLogger):
    """Keeps the id that MLflow gives a run, so that a training that goes on goes on in it."""

    def __init__(self, file: Path, **settings: Any) -> None:
        super().__init__(run_id=file.read_text() if file.exists() else None, **settings)
        self.file = file

    @property
    def experiment(self) -> Any:
        client = super().experiment
        if self._run_id and not self.file.exists():  # only the first process has one
            self.file.write_text(self._run_id)
        return client
