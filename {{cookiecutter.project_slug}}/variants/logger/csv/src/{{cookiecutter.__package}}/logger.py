"""Where metrics go: metrics.csv in the run folder."""

from pathlib import Path

from pytorch_lightning.loggers import Logger

from .engine.training.metrics_file import MetricsFile


def loggers(run: Path, step: int) -> list[Logger]:
    """The loggers of one run, which goes on from a step or begins at 0; all that they write lies in its folder."""
    return [MetricsFile(run)]
