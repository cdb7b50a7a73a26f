"""Where metrics go: metrics.csv and TensorBoard's files, both in the run folder."""

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger


def loggers(run: Path) -> list[Logger]:
    """The loggers of one run; all that they write lies in its folder. `tensorboard --logdir runs` shows every run."""
    return [CSVLogger(run, name="", version=""), TensorBoardLogger(run, name="", version="tensorboard")]
