"""A training that goes on where it was, as if nothing had happened.

Lightning restores weights, optimizers, schedules, callbacks and the number of the step. This adds what it leaves out,
so that the end is the same to the last bit, and saves only at the beginning of a batch: then all that belongs to the
batches before, validation, logs and callbacks included, is complete, and nothing is done twice or left out.

The order of the batches and all random streams follow from the position (batches.py), so they need no saving.
"""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torchmetrics import Metric, MetricCollection

from .checkpoints import RunError
from .metrics_file import MetricsFile

# SLURM's batch script asks for SIGUSR1 before the time is up; Windows does not know it.
STOPPING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
SECONDS_BETWEEN_AGREEMENTS = 1.0
# How many losses may wait on an accelerator before they are looked at, which makes the processor wait for it.
LOSSES_UNSEEN = 50


class Stopped(Exception):
    """The training was asked to stop, and did."""

    def __init__(self, signum: int, trainer: pl.Trainer) -> None:
        super().__init__(f"Stopped by {signal.Signals(signum).name} after {trainer.global_step} steps")
        self.signum = signum
        self.run = Path(trainer.default_root_dir).name
        self.first_process = trainer.is_global_zero


class LastCheckpoint(pl.Callback):
    """Keeps checkpoints/last.ckpt: from time to time, when the training is asked to stop, and at its end.

    Args:
        every_n_minutes: time between two saves.
        every_n_steps: optimizer steps between two saves, beside the time.
    """

    def __init__(self, every_n_minutes: float = 10.0, every_n_steps: int | None = None) -> None:
        self.every_n_minutes = every_n_minutes
        self.every_n_steps = every_n_steps
        self.seconds_saving = 0.0
        self.seconds_training = 0.0
        self._state: dict[str, Any] = {}
        self._loaders: list[dict[str, Any]] = []
        self._finished = False
        self._signal = 0
        self._handlers: dict[int, Any] = {}
        self._losses: list[tuple[int, int, int, Tensor]] = []

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._catch_signals()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = self._saved_at = time.monotonic()
        self._first_step = self._saved_step = self._agree_at = trainer.global_step
        self._catch_signals()
        self._find_batch(trainer)
        if rows := rows_of(trainer):
            rows.keep_first(self._state.get("rows", 0))
        processes = self._state.get("processes", trainer.world_size)
        if processes != trainer.world_size:
            self._state.pop("metrics")
            if trainer.is_global_zero:
                print(
                    f"Saved by {processes} processes, goes on with {trainer.world_size}: batches stay the same, but not"
                    " their shares, random numbers, and the training metrics of this epoch",
                    file=sys.stderr,
                )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._state:
            restore(trainer, pl_module, self._state)
            self._state = {}
        if is_trial(trainer) or batch_idx % trainer.accumulate_grad_batches:
            return  # between two optimizer steps there are gradients, which no checkpoint holds
        due, signum = self._agree(trainer)
        if due or signum:
            self.save(trainer)
        if signum:
            raise Stopped(signum, trainer)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._signal and trainer.world_size == 1:  # the last checkpoint stays; this validation is done again
            raise Stopped(self._signal, trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if outputs is not None:
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self._losses.append((trainer.global_step, trainer.current_epoch, batch_idx, loss.detach()))
            if loss.device.type == "cpu" or len(self._losses) == LOSSES_UNSEEN:
                self._check_losses()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_trial(trainer):
            self._finished = True
            self.save(trainer)
        self.seconds_training = time.monotonic() - self._started
        self._release_signals()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._release_signals()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        rows = rows_of(trainer)
        checkpoint["resume"] = {
            "finished": self._finished,
            "processes": trainer.world_size,
            "rows": rows.written + len(rows.metrics) if rows else 0,
            "logged_steps": trainer.fit_loop.epoch_loop._batches_that_stepped,
            "metrics": gathered(metric_states(pl_module), trainer.world_size),
        }
        at_batch_start(checkpoint["loops"]["fit_loop"], trainer.fit_loop.epoch_loop._num_ready_batches_reached())

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._state = dict(checkpoint.get("resume", {}))
        self._loaders = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])

    def save(self, trainer: pl.Trainer) -> None:
        """Write last.ckpt, with metrics.csv up to the same moment."""
        started = time.monotonic()
        self._check_losses()
        if rows := rows_of(trainer):
            rows.save()
        trainer.save_checkpoint(Path(trainer.default_root_dir, "checkpoints", "last.ckpt"), weights_only=False)
        self._saved_at = time.monotonic()
        self._saved_step = trainer.global_step
        self.seconds_saving += self._saved_at - started

    def _find_batch(self, trainer: pl.Trainer) -> None:
        """Lightning tells loaders where to begin, but not if a schedule asked for the number of steps before."""
        loaders: Any = trainer.fit_loop._combined_loader
        states = self._loaders, loaders._state_dicts()
        before, now = ([each.get("batches", 0) for each in loader_states] for loader_states in states)
        # What is left for a last batch may do for one process, and be too little for two.
        spare = int(self._state.get("processes", trainer.world_size) != trainer.world_size)
        if self._loaders and any(abs(old - new) > spare for old, new in zip(before, now, strict=True)):
            raise RunError(
                f"an epoch had {before[0]} batches when the checkpoint was saved, and has {now[0]}: data.batch_size or"
                " the data changed; start a new run with another --run or --fresh"
            )
        loaders._load_state_dicts(self._loaders)

    def share_of_saving(self) -> float:
        """Fraction of the training's time that it waited for checkpoints."""
        return self.seconds_saving / max(self.seconds_training, self.seconds_saving, 1e-9)

    def _agree(self, trainer: pl.Trainer) -> tuple[bool, int]:
        """Whether to save now, and the signal to stop at or 0: the same answer in every process."""
        steps = trainer.global_step - self._saved_step
        due = self.every_n_steps is not None and steps >= self.every_n_steps
        late = time.monotonic() - self._saved_at > 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return due or late, self._signal
        if trainer.global_step < self._agree_at:
            return due, 0
        a_second = (trainer.global_step - self._first_step) / (time.monotonic() - self._started)
        wait = max(1, int(SECONDS_BETWEEN_AGREEMENTS * a_second))
        agreed = torch.tensor([late, self._signal, wait], device=trainer.strategy.root_device)
        distributed.all_reduce(agreed, distributed.ReduceOp.MAX)
        late, signum, wait = agreed.tolist()
        self._agree_at = trainer.global_step + wait
        return bool(due or late), signum

    def _check_losses(self) -> None:
        losses, self._losses = self._losses, []
        for step, epoch, batch, loss in losses:
            if not math.isfinite(loss.item()):
                raise RunError(
                    f"the loss is {loss.item()} at step {step} (epoch {epoch}, batch {batch}): look at that batch, or"
                    " lower the learning rate; nothing was saved since, and earlier checkpoints are kept"
                )

    def _catch_signals(self) -> None:
        """Take over from Lightning, whose handlers raise in the middle of things and broadcast from within."""
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread do it
            heeded = [signum for signum in STOPPING if signal.getsignal(signum) != signal.SIG_IGN]
            before: dict[int, Any] = {signum: signal.signal(signum, self._note) for signum in heeded}
            self._handlers = self._handlers or before

    def _note(self, signum: int, frame: Any) -> None:
        if self._signal:  # the second time: at once
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._signal = signum

    def _release_signals(self) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers = {}


def is_trial(trainer: pl.Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined] # one of Lightning's connectors sets it


def at_batch_start(loops: dict[str, Any], last_batch: bool) -> None:
    """Have Lightning's loops begin with the next batch, with no hook or validation of the one before it repeated."""
    batches, epochs = loops["epoch_loop.batch_progress"], loops["epoch_progress"]
    epoch_ended = last_batch and batches["current"]["completed"] == batches["current"]["ready"]
    epoch = epochs["current"]["started"] - 1 + epoch_ended
    batch = 0 if epoch_ended else batches["current"]["completed"]
    done = batches["total"]["completed"]
    for which in ("total", "current"):
        epochs[which] |= {"ready": epoch + 1, "started": epoch + 1, "processed": epoch, "completed": epoch}
    batches["total"] |= {"ready": done + 1, "started": done, "processed": done, "completed": done}
    batches["current"] |= {"ready": batch + 1, "started": batch, "processed": batch, "completed": batch}
    batches["is_last_batch"] = False
    for state in loops.get("state_dict", {}).get("combined_loader", []):
        if "first" in state:
            state["first"] = batch


def restore(trainer: pl.Trainer, module: nn.Module, state: dict[str, Any]) -> None:
    """Before the first batch: the logger's step, and training metrics of the epoch under way."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = state["logged_steps"]
    if "metrics" in state:
        metrics = dict(module.named_modules())
        for name, (updates, values) in state["metrics"][trainer.global_rank].items():
            for key, value in values.items():
                setattr(metrics[name], key, value.to(metrics[name].device) if isinstance(value, Tensor) else value)
            metrics[name]._update_count = updates


def metric_states(module: nn.Module) -> dict[str, tuple[int, dict[str, Any]]]:
    """What each torchmetrics metric has seen since its last reset: {name: (updates, {state: value})}."""
    for collection in module.modules():
        if isinstance(collection, MetricCollection):
            list(collection.values(copy_state=False))  # some of its metrics share the state of another
    metrics = {name: metric for name, metric in module.named_modules() if isinstance(metric, Metric)}
    return {
        name: (metric.update_count, {key: on_cpu(value) for key, value in metric.metric_state.items()})
        for name, metric in metrics.items()
        if metric.update_called
    }


def on_cpu(value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return [part.cpu() for part in value] if isinstance(value, list) else value.cpu()


def gathered(value: Any, processes: int) -> list[Any]:
    """The value of each process, in each process."""
    values = [value] * processes
    if processes > 1:
        distributed.all_gather_object(values, value)
    return values


def rows_of(trainer: pl.Trainer) -> Any:
    """The rows of metrics.csv in the process that writes them; None elsewhere."""
    for logger in trainer.loggers:
        if isinstance(logger, MetricsFile) and trainer.is_global_zero:
            return logger.experiment
    return None
