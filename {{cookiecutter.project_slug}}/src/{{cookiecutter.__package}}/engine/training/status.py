"""Where a training is, and where it will end."""

import math
from typing import TypeGuard

import pytorch_lightning as pl
from pytorch_lightning import callbacks

from .display import Status
from .throughput import Throughput


def training_status(trainer: pl.Trainer, epoch: int, batches: int) -> Status:
    """Where a training is, after so many batches of an epoch. Steps are those of optimizers, as in `max_steps`."""
    of_epoch = trainer.num_training_batches  # infinite where a loader has no length
    epochs = epoch + batches / of_epoch
    shares = [trainer.global_step / trainer.max_steps] if is_limit(trainer.max_steps) else []
    if is_limit(trainer.max_epochs) and is_limit(of_epoch):
        shares.append(epochs / trainer.max_epochs)
    places = [
        place_in("epoch", f"{epochs:.2f}" if is_limit(of_epoch) else epoch, trainer.max_epochs),
        place_in("step", trainer.global_step, steps_of(trainer)),
    ]
    return Status(places, max(shares, default=None))


def steps_of(trainer: pl.Trainer) -> float:
    """How many optimizer steps the training has, if that is known; else infinite, or -1."""
    schedules = [one for one in callbacks_of(trainer) if isinstance(one, callbacks.GradientAccumulationScheduler)]
    if trainer.lightning_module.automatic_optimization and all(one.epochs == [0] for one in schedules):
        return trainer.estimated_stepping_batches
    return trainer.max_steps  # a batch may have several steps or none, or another number of them in each epoch


def seconds_of(trainer: pl.Trainer) -> list[float]:
    """How long the training may still take, if its time is limited."""
    timers = [one for one in callbacks_of(trainer) if isinstance(one, callbacks.Timer)]
    return [seconds for timer in timers if (seconds := timer.time_remaining()) is not None]


def callbacks_of(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined] # one of Lightning's connectors sets it


def throughput_of(trainer: pl.Trainer) -> Throughput | None:
    return next((one for one in callbacks_of(trainer) if isinstance(one, Throughput)), None)


def place_in(unit: str, number: object, total: float | None) -> str:
    return f"{unit} {number} of {total}" if is_limit(total) else f"{unit} {number}"


def is_limit(number: float | None) -> TypeGuard[float]:
    """Whether a number of the Trainer's limits something: it has None, -1 and infinity for those that do not."""
    return number is not None and 0 < number < math.inf


def is_fit(trainer: pl.Trainer) -> bool:
    return trainer.state.fn == "fit"


def is_last_epoch(trainer: pl.Trainer) -> bool:
    ends = trainer.current_epoch + 1 == trainer.max_epochs or trainer.global_step == trainer.max_steps
    return ends or trainer.should_stop
