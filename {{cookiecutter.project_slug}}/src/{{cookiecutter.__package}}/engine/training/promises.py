"""What a training cannot promise: told at its start, before anybody relies on it."""

import sys
from collections.abc import Iterator

import pytorch_lightning as pl
import torch

from ..errors import RunError
from . import loop_state
from .batches import Batches
from .stream import Stream

LOADERS = "see Batches and Stream in engine/training/"


def check(trainer: pl.Trainer, processes: int) -> None:
    """Print a line for each promise that does not hold for this training.

    Args:
        trainer: at the start of the training.
        processes: how many there were when the checkpoint was saved with which it goes on.

    Raises:
        RunError: if nobody could rely on what is measured.
    """
    refuse_moving_evaluation(trainer)
    for loader in loop_state.training_loaders(trainer):
        if isinstance(loader, Batches | Stream):
            loader.check_repeat()
    if trainer.is_global_zero:
        for line in not_exact(trainer, processes):
            print(line, file=sys.stderr)


def not_exact(trainer: pl.Trainer, processes: int) -> Iterator[str]:
    if not loop_state.loaders_keep_state(trainer):
        yield (
            "The training data comes through a loader that keeps no state: a training that is stopped goes on with"
            f" other batches than it would have had; {LOADERS}"
        )
    elif loop_state.has_other_loaders(trainer):
        yield (
            "The training data comes through a loader that keeps its own state: a training that is stopped goes on"
            f" where that loader says, without the batch that had begun; {LOADERS}"
        )
    if processes != trainer.world_size:
        yield (
            f"Saved by {processes} processes, goes on with {trainer.world_size}: batches stay the same, but not their"
            " shares, random numbers, what is kept in plain attributes, and the training metrics of this epoch"
        )
    is_cuda = trainer.strategy.root_device.type == "cuda"
    if is_cuda and not torch.are_deterministic_algorithms_enabled():
        yield (
            "On CUDA, some operations differ in their last bits from run to run, and so do trainings that are stopped"
            " and go on; --trainer.deterministic true, slower, makes them the same"
        )


def refuse_moving_evaluation(trainer: pl.Trainer) -> None:
    """A Stream goes on where it ended, so that each validation would measure on other samples."""
    for loader in loop_state.validation_loaders(trainer):
        if isinstance(loader, Stream) and not loader.restart:
            raise RunError("each validation would be of other samples of the stream", "Stream(..., restart=True)")
