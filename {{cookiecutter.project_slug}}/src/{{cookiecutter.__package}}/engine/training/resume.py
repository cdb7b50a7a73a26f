"""A training that goes on where it was, as if nothing had happened.

Lightning restores weights, optimizers, schedules, callbacks and the number of the step. This adds what it leaves out,
so that the end is the same to the last bit, and saves only at the beginning of a batch: then all that belongs to the
batches before, validation, logs and callbacks included, is complete, and nothing is done twice or left out.

The order of the batches and all random streams follow from the position (batches.py), so they need no saving.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..devices.processes import gather
from ..errors import RunError, Stopped, require
from ..saving.runs import path_in_run
from . import loop_state, promises
from .loss_check import LossCheck
from .metrics_file import rows_of
from .remembered import Memory
from .save_schedule import SaveSchedule
from .signals import SignalWatch


@final
class LastCheckpoint(pl.Callback):
    """Keeps checkpoints/last.ckpt: from time to time, when the training is asked to stop, and at its end.

    Args:
        every_n_minutes: time between two saves.
        every_n_steps: optimizer steps between two saves, beside the time.
    """

    def __init__(self, every_n_minutes: float = 10.0, every_n_steps: int | None = None) -> None:
        require(every_n_minutes=every_n_minutes, at_least=0)
        require(every_n_steps=every_n_steps, at_least=1)
        self.signals = SignalWatch()
        self.schedule = SaveSchedule(every_n_minutes, every_n_steps, self.signals)
        self.losses = LossCheck()
        self.seconds_saving = 0.0
        self.seconds_training = 0.0
        # What a checkpoint held, until the first batch has come and everything it belongs to is there.
        self._saved: dict[str, Any] = {}
        self._saved_loaders: list[dict[str, Any]] = []
        self._finished = False
        self._memory: Memory | None = None
        self._has_told_what_is_lost = False

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Already here, since this first validation may take a while and is stopped by a signal too.
        self.signals.start()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()
        self.schedule.start(trainer)
        self.signals.start()
        self._restore_loaders(trainer)
        if rows := rows_of(trainer):
            # What was logged after the checkpoint is about to be logged once more.
            rows.truncate(self._saved.get("rows", 0))
        processes = self._saved.get("processes", trainer.world_size)
        if not is_trial(trainer):
            promises.check(trainer, processes)
        self._seed = self._saved.get("seed", gather(random_seed())[0])
        loop_state.seed_batches_of_other_loaders(trainer, self._seed)
        if processes != trainer.world_size:
            for part in ("metrics", "remembered"):  # of other shares than those that follow
                self._saved.pop(part)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After all that is set up when a training starts, and before what changes while it goes on.
        self._memory = self._memory or Memory(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._saved:
            self._restore(trainer, pl_module)
        if is_trial(trainer) or batch_idx % trainer.accumulate_grad_batches:
            return  # between two optimizer steps there are gradients, which no checkpoint holds
        is_due, signum = self.schedule.agree(trainer)
        if is_due or signum:
            self.save(trainer)
        if signum:
            raise stopped(signum, trainer)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        # The checkpoint before the validation stays, and the validation is done again. With several processes, the
        # others may have passed this batch already; all of them stop at the next training batch.
        if self.signals.received and trainer.world_size == 1:
            raise stopped(self.signals.received, trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):  # a step may be skipped, and with manual optimization there may be no loss
            self.losses.add(trainer, batch_idx, loss.detach())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_trial(trainer):
            self._finished = True
            self.save(trainer)
        self.seconds_training = time.monotonic() - self._started
        self.signals.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.signals.stop()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        rows = rows_of(trainer)
        checkpoint["resume"] = {
            "finished": self._finished,
            "processes": trainer.world_size,
            "threads": torch.get_num_threads(),
            "rows": rows.written + len(rows.metrics) if rows else 0,
            "logged_steps": loop_state.logged_steps(trainer),
            # Each process has seen other samples, and goes on with its own.
            "metrics": gather(loop_state.metric_states(pl_module)),
            "frozen": loop_state.frozen_names(pl_module),
            "seed": self._seed,
            "remembered": gather(self._remembered(trainer)),
            "gradients": {} if pl_module.automatic_optimization else loop_state.gradients(pl_module),
        }
        loop_state.move_to_next_batch(checkpoint["loops"]["fit_loop"], trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._saved = dict(checkpoint.get("resume", {}))
        self._saved_loaders = loop_state.saved_loader_states(checkpoint)
        if self._saved.get("processes") == trainer.world_size:
            keep_threads(self._saved.get("threads", torch.get_num_threads()), trainer.is_global_zero)

    def save(self, trainer: pl.Trainer) -> None:
        """Write last.ckpt, with metrics.csv up to the same moment."""
        started = time.monotonic()
        # First of all: a checkpoint of weights that a NaN has spoiled would replace one that is sound.
        self.losses.check()
        if rows := rows_of(trainer):
            rows.save()
        trainer.save_checkpoint(path_in_run(Path(trainer.default_root_dir), "last"), weights_only=False)
        self.schedule.note_save(trainer)
        self.seconds_saving += time.monotonic() - started

    def share_of_saving(self) -> float:
        """Fraction of the training's time that it waited for checkpoints."""
        return self.seconds_saving / max(self.seconds_training, self.seconds_saving, 1e-9)

    def _restore_loaders(self, trainer: pl.Trainer) -> None:
        """Begin with the batch after the last one; raise RunError if an epoch has other batches than it had."""
        states = self._saved_loaders, loop_state.current_loader_states(trainer)
        before, now = ([state.get("batches", 0) for state in loader_states] for loader_states in states)
        # A last batch that is large enough for one process may be too small to split, so allow a difference of one.
        allowed = int(self._saved.get("processes", trainer.world_size) != trainer.world_size)
        if self._saved_loaders and any(abs(one - other) > allowed for one, other in zip(before, now, strict=True)):
            raise RunError(
                f"an epoch had {before[0]} batches when the checkpoint was saved, and has {now[0]}: the data changed",
                "the data as it was; or --fresh, which starts over beside it",
            )
        loop_state.load_loader_states(trainer)

    def _remembered(self, trainer: pl.Trainer) -> dict[str, Any]:
        """What changed in plain attributes; a line, once, for what no checkpoint can hold."""
        kept, lost = self._memory.changed() if self._memory else ({}, [])
        if lost and not self._has_told_what_is_lost and trainer.is_global_zero:
            print(
                f"{', '.join(lost[:3])}{', ...' if lost[3:] else ''}: changes while training, and no checkpoint can"
                " hold it, so a training that is stopped goes on without; see on_save_checkpoint in Lightning's manual",
                file=sys.stderr,
            )
            self._has_told_what_is_lost = True
        return kept

    def _restore(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore what Lightning leaves out; not before the first batch, since the beginning of an epoch resets it."""
        self._memory = self._memory or Memory(trainer, pl_module)  # in the middle of an epoch, no hook has begun it
        loop_state.end_restart(trainer)
        loop_state.set_logged_steps(trainer, self._saved["logged_steps"])
        loop_state.restore_frozen(pl_module, self._saved["frozen"])
        if not pl_module.automatic_optimization:
            loop_state.restore_gradients(pl_module, self._saved["gradients"])
        if "metrics" in self._saved:
            self._memory.restore(self._saved["remembered"][trainer.global_rank])
            loop_state.restore_metric_states(pl_module, self._saved["metrics"][trainer.global_rank])
        self._saved = {}


def random_seed() -> int:
    """That of seed_everything, or any where it is not set."""
    return int(os.environ.get("PL_GLOBAL_SEED") or torch.initial_seed())


def keep_threads(threads: int, tells: bool) -> None:
    """Compute with as many threads as before: sums over other parts differ in their last bits."""
    if threads == torch.get_num_threads():
        return
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    line = f"CPU threads per process: {threads}, as this training had before"
    if threads > cores:
        line = f"CPU threads per process: not {threads} as before, since there are {cores} cores; this is not exact"
    else:
        torch.set_num_threads(threads)
    if tells:
        print(line, file=sys.stderr)


def stopped(signum: int, trainer: pl.Trainer) -> Stopped:
    message = f"Stopped by {signal.Signals(signum).name} after {trainer.global_step} steps"
    return Stopped(message, signum, Path(trainer.default_root_dir), trainer.is_global_zero)


def is_trial(trainer: pl.Trainer) -> bool:
    """Whether this is a fast_dev_run, which keeps nothing."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined] # one of Lightning's connectors sets it
