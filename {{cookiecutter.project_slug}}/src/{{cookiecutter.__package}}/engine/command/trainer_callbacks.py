"""Which callbacks a run has: those of the configuration's sections, those it lists, and the engine's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint, ModelSummary, ProgressBar
from pytorch_lightning.profilers import Profiler

from ..saving.runs import CHECKPOINTS
from ..training.callbacks import SECTIONS, SameBatches
from ..training.curves import Curves
from ..training.freezing import FollowThaw, RefuseUntrained
from ..training.monitors import CheckMonitors
from ..training.predictions import SavePredictions
from ..training.resume import LastCheckpoint
from ..training.short_steps import ShortSteps
from ..training.throughput import Throughput

# What the Trainer adds by itself if a switch is on and no such callback is given.
ADDED_BY_LIGHTNING = {
    "enable_progress_bar": ProgressBar,
    "enable_model_summary": ModelSummary,
    "enable_checkpointing": Checkpoint,
}
# The Trainer refuses a callback beside its own switch that turns it off, and ours is to obey that switch too.
SWITCHES = {**ADDED_BY_LIGHTNING, "enable_checkpointing": Checkpoint | LastCheckpoint}
Kind = TypeVar("Kind", bound=pl.Callback)


def run_callbacks(config: Namespace, callers: Sequence[pl.Callback], has_logger: bool) -> list[pl.Callback]:
    """The callbacks of a run, in the order in which the Trainer calls them.

    Args:
        config: the settings of a command, instantiated.
        callers: callbacks of the caller's own.
        has_logger: whether anything is logged.
    """
    switched_off = tuple(kind for switch, kind in SWITCHES.items() if config.trainer[switch] is False)
    if not has_logger:
        switched_off += (LearningRateMonitor,)
    given = [*as_list(config.trainer.callbacks), *callers]
    if any(isinstance(callback, ProgressBar) for callback in given):
        switched_off += (ProgressBar,)  # theirs takes the place of ours
    configured = [config[section] for section in SECTIONS if config[section] is not None]
    sections = [callback for callback in configured if not isinstance(callback, switched_off)]
    # A checkpoint is saved before other callbacks see the batch that follows it. The clock goes on after that, and
    # stops before others see a validation.
    last_checkpoint = [callback for callback in sections if isinstance(callback, LastCheckpoint)]
    sections = [*last_checkpoint, Throughput(), *(one for one in sections if one not in last_checkpoint)]
    same_batches = [SameBatches()] if config.trainer.overfit_batches else []
    own = [RefuseUntrained(), FollowThaw(), CheckMonitors(), Curves(), SavePredictions()]
    own += [ShortSteps()] if config.short_steps else []
    return [*sections, *same_batches, *given, *own]


def keep_in_run(run: Path, callbacks: Sequence[pl.Callback], profiler: Profiler | str | None) -> None:
    """Have checkpoints and a profile lie in the run's folder; Lightning would take that of the first logger."""
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(run / CHECKPOINTS)
    if isinstance(profiler, Profiler):
        profiler.dirpath = profiler.dirpath or run


def switches_of_absent_callbacks(callbacks: Sequence[pl.Callback]) -> dict[str, bool]:
    """Switches to turn off, so that a section that is null means none, and not Lightning's own."""
    return {
        switch: False
        for switch, kind in ADDED_BY_LIGHTNING.items()
        if not any(isinstance(callback, kind) for callback in callbacks)
    }


def callback_of(trainer: pl.Trainer, kind: type[Kind]) -> Kind | None:
    """The Trainer's first callback of a kind, if it has one."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined] # one of Lightning's connectors sets it
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)


def as_list(value: object) -> list[Any]:
    """A setting that may be null, one value or several, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]
