"""When a training saves its last checkpoint, so that all processes do it at the same step."""

import time

import pytorch_lightning as pl
import torch
from torch import distributed

from .signals import SignalWatch

SECONDS_BETWEEN_AGREEMENTS = 1.0


class SaveSchedule:
    """Decides before each batch whether to save, and whether to stop.

    Args:
        every_n_minutes: time between two saves.
        every_n_steps: optimizer steps between two saves, beside the time.
        signals: what the training is asked for.
    """

    def __init__(self, every_n_minutes: float, every_n_steps: int | None, signals: SignalWatch) -> None:
        self.every_n_minutes = every_n_minutes
        self.every_n_steps = every_n_steps
        self.signals = signals

    def start(self, trainer: pl.Trainer) -> None:
        self.started = time.monotonic()
        self.first_step = self.agreement_step = trainer.global_step
        self.note_save(trainer)

    def note_save(self, trainer: pl.Trainer) -> None:
        self.last_save = time.monotonic()
        self.last_saved_step = trainer.global_step

    def agree(self, trainer: pl.Trainer) -> tuple[bool, int]:
        """Whether to save now, and the signal to stop at or 0: the same answer in every process.

        Steps are the same everywhere, but clocks and signals are not. Asking the others takes time, so it is done
        about once a second, at a step that all of them have agreed on before.
        """
        steps = trainer.global_step - self.last_saved_step
        enough_steps = self.every_n_steps is not None and steps >= self.every_n_steps
        enough_time = time.monotonic() - self.last_save > 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return enough_steps or enough_time, self.signals.received
        if trainer.global_step < self.agreement_step:
            return enough_steps, 0
        # Counted in steps, since the next agreement must come at the same step everywhere.
        steps_per_second = (trainer.global_step - self.first_step) / (time.monotonic() - self.started)
        wait = max(1, int(SECONDS_BETWEEN_AGREEMENTS * steps_per_second))
        answers = torch.tensor([enough_time, self.signals.received, wait], device=trainer.strategy.root_device)
        # The maximum decides for all: one process that is late or was sent a signal is enough.
        distributed.all_reduce(answers, distributed.ReduceOp.MAX)
        enough_time, signum, wait = answers.tolist()
        self.agreement_step = trainer.global_step + wait
        return bool(enough_steps or enough_time), signum
