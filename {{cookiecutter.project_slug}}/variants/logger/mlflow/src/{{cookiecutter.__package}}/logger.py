"""Where metrics go: metrics.csv and an MLflow database, both in the run folder."""

import os
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger


def loggers(run: Path) -> list[Logger]:
    """The loggers of one run; all that they write lies in its folder unless MLFLOW_TRACKING_URI names a server."""
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{run / 'mlflow.db'}")
    return [
        CSVLogger(run, name="", version=""),
        MLFlowLogger(
            experiment_name=__package__,
            run_name=run.name,
            tracking_uri=tracking_uri,
            artifact_location=(run / "mlflow").resolve().as_uri(),
        ),
    ]
