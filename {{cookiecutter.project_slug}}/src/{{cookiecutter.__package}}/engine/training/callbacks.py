"""The callbacks of a run, and those that presets add."""

from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning import callbacks
from pytorch_lightning.utilities.model_summary import get_formatted_model_size, get_human_readable_count

from ..devices.sharding import children_with_parameters
from ..errors import RunError
from .batches import Batches
from .display import say
from .freezing import Freeze
from .loop_state import training_loaders
from .progress import ProgressBar
from .resume import LastCheckpoint
from .sets import StageMetrics
from .stream import Stream


# A final class needs no class_path in a configuration, so its arguments are flags: --early_stopping.patience 3
@final
class BestCheckpoint(callbacks.ModelCheckpoint):
    """Lightning's ModelCheckpoint, for checkpoints/best.ckpt: one file, by whose name `test` and `predict` find it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        another = "another one in trainer.callbacks: pytorch_lightning.callbacks.ModelCheckpoint, with a dirpath"
        if self.filename != "best":
            raise RunError(f"--best_checkpoint.filename is {self.filename}, and test looks for best", another)
        if self.dirpath:
            raise RunError(f"--best_checkpoint.dirpath is {self.dirpath}, and test looks in the run's folder", another)
        if self.save_top_k not in (0, 1):
            raise RunError(f"--best_checkpoint.save_top_k is {self.save_top_k}, and best.ckpt is one file", another)
        if self.save_last:
            raise RunError("--best_checkpoint.save_last would write last.ckpt too", "--last_checkpoint.every_n_steps")


@final
class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's EarlyStopping."""


@final
class LearningRateMonitor(callbacks.LearningRateMonitor):
    """Lightning's LearningRateMonitor."""


@final
class ModelSummary(callbacks.ModelSummary):
    """Lightning's, in few lines of plain text, without what the engine keeps in a model."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        *_: Any,
        **__: Any,
    ) -> None:
        columns = dict(summary_data)
        shown = [columns[title] for title in ("Name", "Type", "Params", "In sizes", "Out sizes") if title in columns]
        kinds = zip(columns["Name"], columns["Type"], strict=True)
        engines = tuple(f"{name}." for name, kind in kinds if kind == StageMetrics.__name__)
        rows = [row for row in zip(*shown, strict=True) if not f"{row[0]}.".startswith(engines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        trained, of_all = (get_human_readable_count(int(n)).strip() for n in (trainable_parameters, total_parameters))
        say(f"Trainable params: {trained} of {of_all}, {get_formatted_model_size(model_size)} MB")


# By section of the configuration. If a section is null or missing, the run goes without that callback.
SECTIONS = {
    "best_checkpoint": BestCheckpoint,
    "last_checkpoint": LastCheckpoint,
    "early_stopping": EarlyStopping,
    "freeze": Freeze,
    "lr_monitor": LearningRateMonitor,
    "progress_bar": ProgressBar,
    "model_summary": ModelSummary,
}


class Compile(pl.Callback):
    """Compiles each network where it stands: the names of its weights, and so its checkpoints, stay as they are.

    A module without parameters, such as a loss, is compiled if it has an attribute `compiles = True`. A loss that takes
    lists of varying length would be compiled again and again.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        networks = children_with_parameters(pl_module)
        if not networks:
            raise RunError("--preset compile needs a model with a network, a module of its own that has parameters")
        for part in (*networks, *(child for child in pl_module.children() if getattr(child, "compiles", False))):
            part.compile()


class SameBatches(pl.Callback):
    """Has --trainer.overfit_batches see the same batches in each epoch, which Lightning does for its own loaders."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for loader in training_loaders(trainer):
            if isinstance(loader, Batches | Stream):
                loader.repeat_first_epoch()
