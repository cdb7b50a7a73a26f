"""A training step without what Lightning does around it for others: a tenth of a millisecond instead of a whole one.

Lightning calls some sixty hooks a step, of the strategy, the precision, the model and each callback, most of them
empty. Where nobody has filled them, the steps between two log lines are made here: the same calls in the same order, so
the same weights to the last bit. All other steps are Lightning's, among them the first and the last one of an epoch,
those before a validation, those that are logged, and all of a training that has something which is not known here.

This file reaches into Lightning's training loop. It is written for one form of it, and leaves another alone.
"""

import inspect
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loops.fetchers import _PrefetchDataFetcher
from pytorch_lightning.loops.optimization.automatic import Closure, _AutomaticOptimization
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

from .profiling import NoProfile

WRITTEN_FOR = 2860426910  # fingerprint() of Lightning 2.6.6
# Seconds after which a step is Lightning's again, so that whoever looks sees figures that are not old.
BETWEEN_FULL_STEPS = 0.1
# Hooks of a model that a short step leaves out, so a model that has one of them takes none.
OF_MODELS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "optimizer_step", "optimizer_zero_grad", "backward", "lr_scheduler_step"),
)
# The same for callbacks.
OF_CALLBACKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
OF_BATCHES = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
# Callbacks of Lightning that do not look at what a step has logged, unless it is one of Lightning's own.
INCURIOUS = (EarlyStopping, LearningRateMonitor, ModelCheckpoint)


def fingerprint() -> int:
    """What Lightning's training step looks like."""
    parts: list[Callable[..., Any]] = [_TrainingEpochLoop.advance, _TrainingEpochLoop.on_advance_end, Closure.closure]
    parts += [_AutomaticOptimization.run, _AutomaticOptimization._optimizer_step, Precision._after_closure]
    return zlib.crc32("".join(map(inspect.getsource, parts)).encode())


class ShortSteps(pl.Callback):
    """Makes the steps of a training short where nothing is lost by it."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not reasons_against(trainer, pl_module):
            loop = trainer.fit_loop.epoch_loop
            steps = Steps(trainer, pl_module)
            vars(loop).update(advance=steps.advance, on_advance_end=steps.on_advance_end)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name in ("advance", "on_advance_end"):
            vars(trainer.fit_loop.epoch_loop).pop(name, None)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)


def reasons_against(trainer: Any, module: pl.LightningModule) -> list[str]:
    """Why each step of a training has to be Lightning's; nothing if most of them may be short."""
    optimizer, strategy, configs = trainer.optimizers[0], trainer.strategy, trainer.lr_scheduler_configs
    fetcher = trainer.fit_loop._data_fetcher
    reasons = {
        "another Lightning": fingerprint() != WRITTEN_FOR,
        "optimization by hand": not module.automatic_optimization,
        "an optimizer that needs a closure": needs_closure(optimizer),
        "another strategy": type(strategy) is not SingleDeviceStrategy or strategy.model is not module,
        "another precision": type(trainer.precision_plugin) is not Precision,
        "a profiler": type(trainer.profiler) is not NoProfile,
        "a schedule that watches a metric": any(one.reduce_on_plateau and one.interval == "step" for one in configs),
        "validation by the clock": not isinstance(trainer.val_check_interval, int | float),
        "an epoch without a length": not isinstance(trainer.num_training_batches, int),
        "a step that takes the loader": type(fetcher) is not _PrefetchDataFetcher,
    }
    reasons |= {f"{hook} of the model": overrides(module, hook, pl.LightningModule) for hook in OF_MODELS}
    for callback in trainer.callbacks:
        name = type(callback).__name__
        reasons |= {f"{hook} of {name}": overrides(callback, hook, pl.Callback) for hook in OF_CALLBACKS}
    return [reason for reason, holds in reasons.items() if holds]


def overrides(instance: object, method: str, base: type) -> bool:
    return getattr(type(instance), method, None) is not getattr(base, method) or method in vars(instance)


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is None or closure.default is inspect.Parameter.empty


class Steps:
    """The loop's two methods in whose place they stand.

    Args:
        trainer: a Trainer whose training begins.
        module: what it trains.
    """

    def __init__(self, trainer: Any, module: pl.LightningModule) -> None:
        self.trainer = trainer
        self.module = module
        self.loop = trainer.fit_loop.epoch_loop
        self.full_advance, self.full_end = self.loop.advance, self.loop.on_advance_end
        self.before = [one for one in trainer.callbacks if overrides(one, "on_train_batch_start", pl.Callback)]
        self.after = [one for one in trainer.callbacks if overrides(one, "on_train_batch_end", pl.Callback)]
        self.optimizer = trainer.optimizers[0]
        self.takes_index = is_param_in_hook_signature(module.training_step, "batch_idx", min_args=2)
        self.moves = trainer.strategy.root_device.type != "cpu" or any(
            overrides(owner, hook, base)
            for hook in OF_BATCHES
            for owner, base in ((module, pl.LightningModule), (trainer.datamodule, pl.LightningDataModule))
            if owner is not None
        )
        self.is_watched = any(not is_incurious(one) for one in (*self.before, *self.after))
        self.was_short = False
        self.last_full = 0.0

    def advance(self, fetcher: Any) -> None:
        self.was_short = self._may_be_short()
        if self.was_short:
            self._step(fetcher)
        else:
            self.full_advance(fetcher)
            self.last_full = time.monotonic()

    def on_advance_end(self, fetcher: Any) -> None:
        if self.was_short and not (self.trainer.should_stop or self.trainer.received_sigterm):
            self.loop._batches_that_stepped += 1
        else:
            self.full_end(fetcher)

    def _may_be_short(self) -> bool:
        trainer, loop = self.trainer, self.loop
        batch, steps = loop.batch_idx + 1, loop.global_step + 1
        return (
            0 < batch < trainer.num_training_batches - 1
            and steps != trainer.max_steps
            and trainer.accumulate_grad_batches == 1
            and not loop.restarting
            and not trainer.should_stop
            and not is_multiple(loop._batches_that_stepped + 1, trainer.log_every_n_steps)
            and not is_multiple(batch + 1, trainer.val_check_batch)
            and not is_multiple(loop.total_batch_idx + 2, trainer.val_check_batch)
            and time.monotonic() - self.last_full < BETWEEN_FULL_STEPS
        )

    def _step(self, fetcher: Any) -> None:
        trainer, module, progress = self.trainer, self.module, self.loop.batch_progress
        batch, _, _ = next(fetcher)
        index = self.loop.batch_idx + 1
        progress.is_last_batch = fetcher.done
        batch = trainer.precision_plugin.convert_input(batch)
        if self.moves:
            batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        progress.increment_ready()
        trainer._logger_connector.on_batch_start(batch)
        outputs = None
        if batch is not None:  # from a loader that found no sample to use
            module._current_fx_name = "on_train_batch_start"
            for callback in self.before:
                callback.on_train_batch_start(trainer, module, batch, index)
            progress.increment_started()
            outputs = self._learn(batch, index)
        progress.increment_processed()
        self._schedule(index)
        module._current_fx_name = "on_train_batch_end"
        for callback in self.after:
            callback.on_train_batch_end(trainer, module, outputs, batch, index)
        module._current_fx_name = None
        if self.is_watched:
            trainer._logger_connector.on_batch_end()
        trainer._results.batch = None  # its memory is for the next one
        progress.increment_completed()

    def _learn(self, batch: Any, index: int) -> dict[str, Any]:
        """Compute the loss and its gradients, and step the optimizer; return what the step has returned."""
        trainer, module, optimizer = self.trainer, self.module, self.optimizer
        progress = self.loop.automatic_optimization.optim_progress.optimizer
        progress.step.increment_ready()
        module._current_fx_name = "training_step"
        vars(module)["logs_loss"] = self.is_watched
        output: Any = module.training_step(batch, index) if self.takes_index else module.training_step(batch)
        del vars(module)["logs_loss"]
        loss = output["loss"] if isinstance(output, Mapping) else output
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        optimizer.zero_grad()
        progress.zero_grad.increment_completed()
        if loss is not None:
            loss.backward()
        module._current_fx_name = "configure_gradient_clipping"
        module.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        optimizer.step()
        progress.step.increment_completed()
        return detached(output, loss)

    def _schedule(self, index: int) -> None:
        progress = self.loop.scheduler_progress
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == "step" and (index + 1) % config.frequency == 0:
                progress.increment_ready()
                config.scheduler.step()
                progress.increment_completed()


def detached(output: Any, loss: Tensor | None) -> dict[str, Any]:
    """What Lightning hands to callbacks of a step's output."""
    if loss is None:
        return {}
    return {**(output if isinstance(output, Mapping) else {}), "loss": loss.detach()}


def is_multiple(number: int, of: float) -> bool:
    return bool(of) and of != float("inf") and number % of == 0


def is_incurious(callback: pl.Callback) -> bool:
    """Whether a callback does not look at what the step before has logged."""
    if isinstance(callback, ModelCheckpoint) and (callback._every_n_train_steps or callback._train_time_interval):
        return False
    return type(callback) in INCURIOUS or type(callback).__module__.split(".")[1:2] == ["engine"]
