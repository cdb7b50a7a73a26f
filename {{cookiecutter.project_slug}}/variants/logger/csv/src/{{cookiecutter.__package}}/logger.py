"""Where metrics go: metrics.csv in the run folder."""

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger


def loggers(run: Path) -> list[Logger]:
    """The loggers of one run; all that they write lies in its folder."""
    return [CSVLogger(run, name="", version="")]
