"""Where metrics go: metrics.csv in the run folder, and Weights & Biases."""

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from .engine.saving.secrets import masked
from .engine.training.metrics_file import MetricsFile


def loggers(run: Path, step: int) -> list[Logger]:
    """The loggers of one run, which goes on from a step or begins at 0; all that they write lies in its folder.

    W&B is online where somebody is logged in or WANDB_API_KEY is set, and never asks; elsewhere it keeps its
    files, and `wandb sync` uploads them later. WANDB_MODE decides instead where it is set.
    """
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    return [
        MetricsFile(run),
        # W&B's own process keeps the working folder in which it was started, so the path is absolute.
        OneRun(project=__package__, name=run.name, save_dir=run.resolve(), mode=mode, id=run_id(run), resume="allow"),
    ]


def run_id(run: Path) -> str:
    """W&B's name for the run: made once, so that a training that goes on goes on in it."""
    file = run / "wandb" / "id"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex[:8])
    return file.read_text()


class OneRun(WandbLogger):
    """Ends W&B's run with the training; otherwise the next training of the same process would be added to it."""

    @property
    def experiment(self) -> Any:
        """W&B's run. It records the command line when it starts, and is shown no secrets."""
        words, sys.argv = sys.argv, masked(sys.argv)
        try:
            return super().experiment
        finally:
            sys.argv = words

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        self.experiment.finish(exit_code=0 if status == "success" else 1)
