"""Where metrics go: metrics.csv and TensorBoard's files, both in the run folder."""

from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from .engine.training.metrics_file import MetricsFile


def loggers(run: Path, step: int) -> list[Logger]:
    """The loggers of one run, which goes on from a step or begins at 0; all that they write lies in its folder.

    `tensorboard --logdir runs` shows every run, without what came after the step that a run went on from.
    """
    return [MetricsFile(run), TensorBoardLogger(run, name="", version="tensorboard", purge_step=step)]
