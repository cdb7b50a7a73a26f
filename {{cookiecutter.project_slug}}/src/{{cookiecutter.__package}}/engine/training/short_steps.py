"""A training step without what Lightning does around it for others: a tenth of a millisecond instead of a whole one.

Lightning calls some sixty hooks a step, of the strategy, the precision, the model and each callback, most of them
empty. Where nobody has filled them, steps are made here: the same calls in the same order, so the same weights to the
last bit. The loss is logged where somebody can read it: at the steps that are written, at the first and the last one of
an epoch, before a validation, and for the progress bar. The step that resumes a training is Lightning's, and so are all
steps of a training that has something which is not known here.

This file reaches into Lightning's training loop. It is written for one form of it, and leaves another alone.
"""

import inspect
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loops.fetchers import _PrefetchDataFetcher
from pytorch_lightning.loops.optimization.automatic import Closure, _AutomaticOptimization
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.connectors.logger_connector.logger_connector import _LoggerConnector
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

from .profiling import NoProfile

WRITTEN_FOR = 3640239904  # fingerprint() of Lightning 2.6.6
# Seconds after which the loss is logged again, so that whoever looks sees figures that are not old.
BETWEEN_LOOKS = 0.1
# Hooks of a model that a short step leaves out, so a model that has one of them takes none.
OF_MODELS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "optimizer_step", "optimizer_zero_grad", "backward", "lr_scheduler_step"),
)
# The same for callbacks.
OF_CALLBACKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
BEFORE_TRANSFER, TRANSFER = "on_before_batch_transfer", "transfer_batch_to_device"
AFTER_TRANSFER = "on_after_batch_transfer"
# Callbacks of Lightning that do not look at what each step has logged.
INCURIOUS = (EarlyStopping, LearningRateMonitor, ModelCheckpoint)


def fingerprint() -> int:
    """What Lightning's training step looks like."""
    parts: list[Callable[..., Any]] = [_TrainingEpochLoop.advance, _TrainingEpochLoop.on_advance_end, Closure.closure]
    parts += [_AutomaticOptimization.run, _AutomaticOptimization._optimizer_step, Precision._after_closure]
    parts += [MixedPrecision.optimizer_step, MixedPrecision.forward_context]
    parts += [_LoggerConnector.on_batch_end, _LoggerConnector.update_train_step_metrics]
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
    """Why each step of a training has to be Lightning's; nothing if they may be short."""
    optimizer, strategy, configs = trainer.optimizers[0], trainer.strategy, trainer.lr_scheduler_configs
    fetcher = trainer.fit_loop._data_fetcher
    reasons = {
        "another Lightning": fingerprint() != WRITTEN_FOR,
        "optimization by hand": not module.automatic_optimization,
        "an optimizer that needs a closure": needs_closure(optimizer),
        "another strategy": type(strategy) is not SingleDeviceStrategy or strategy.model is not module,
        "another precision": not computes_with(trainer.precision_plugin),
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


def computes_with(precision: Precision) -> bool:
    """Whether a precision does nothing around a step but to choose the types that the forward pass computes with."""
    return type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None)


def overrides(instance: object, method: str, base: type) -> bool:
    return getattr(type(instance), method, None) is not getattr(base, method) or method in vars(instance)


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is None or closure.default is inspect.Parameter.empty


def takes_index(module: pl.LightningModule) -> bool:
    """Whether a training_step is given the number of its batch, whatever it calls it."""
    return is_param_in_hook_signature(module.training_step, "batch_idx", min_args=2)


class Transfer:
    """Moves a batch to the device, as Lightning does, by those hooks that somebody has filled.

    Args:
        trainer: a Trainer whose training begins.
        module: what it trains.
    """

    def __init__(self, trainer: Any, module: pl.LightningModule) -> None:
        self.module = module
        self.device = trainer.strategy.root_device
        owners = [(module, pl.LightningModule), (trainer.datamodule, pl.LightningDataModule)]
        self.before, self.moves, self.after = (
            any(owner is not None and overrides(owner, hook, base) for owner, base in owners)
            for hook in (BEFORE_TRANSFER, TRANSFER, AFTER_TRANSFER)
        )
        self.moves |= self.device.type != "cpu"

    def __call__(self, batch: Any) -> Any:
        if self.before:
            batch = self.module._call_batch_hook(BEFORE_TRANSFER, batch, 0)
        if self.moves:
            batch = self.module._call_batch_hook(TRANSFER, batch, self.device, 0)
        return self.module._call_batch_hook(AFTER_TRANSFER, batch, 0) if self.after else batch


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
        self.takes_index = takes_index(module)
        self.clips = overrides(module, "configure_gradient_clipping", pl.LightningModule)
        self.move = Transfer(trainer, module)
        precision = trainer.precision_plugin
        self.precision = precision.forward_context if type(precision) is MixedPrecision else nullcontext
        self.is_watched = any(not is_incurious(one) for one in (*self.before, *self.after))
        self.is_simple_end = False
        self.last_look = 0.0

    def advance(self, fetcher: Any) -> None:
        self.is_simple_end = False
        if self.loop.restarting or self.trainer.accumulate_grad_batches != 1:
            self.full_advance(fetcher)
        else:
            self._step(fetcher)

    def on_advance_end(self, fetcher: Any) -> None:
        if self.is_simple_end and not (self.trainer.should_stop or self.trainer.received_sigterm):
            self.loop._batches_that_stepped += 1
        else:
            self.full_end(fetcher)

    def _ends_or_is_validated(self, batch: int) -> bool:
        """Whether an epoch ends with a batch of this number, or a validation follows it."""
        trainer = self.trainer
        return (
            batch >= trainer.num_training_batches - 1
            or is_multiple(batch + 1, trainer.val_check_batch)
            or is_multiple(self.loop.total_batch_idx + 2, trainer.val_check_batch)
        )

    def _is_read(self, batch: int) -> bool:
        """Whether somebody may read the loss of the step with this number in its epoch."""
        trainer, loop = self.trainer, self.loop
        return (
            self.is_watched
            or batch == 0
            or not self.is_simple_end
            or loop.global_step + 1 == trainer.max_steps
            or trainer.should_stop
            or is_multiple(loop._batches_that_stepped + 1, trainer.log_every_n_steps)
            or time.monotonic() - self.last_look > BETWEEN_LOOKS
        )

    def _step(self, fetcher: Any) -> None:
        trainer, module, progress = self.trainer, self.module, self.loop.batch_progress
        connector, state = trainer._logger_connector, vars(module)
        batch, _, _ = next(fetcher)
        index = self.loop.batch_idx + 1
        progress.is_last_batch = fetcher.done
        self.is_simple_end = not (fetcher.done or self._ends_or_is_validated(index))
        is_read = self._is_read(index)
        batch = self.move(trainer.precision_plugin.convert_input(batch))
        progress.increment_ready()
        connector.on_batch_start(batch)
        outputs = None
        if batch is not None:  # from a loader that found no sample to use
            state["_current_fx_name"] = "on_train_batch_start"
            for callback in self.before:
                callback.on_train_batch_start(trainer, module, batch, index)
            progress.increment_started()
            state["logs_loss"] = is_read
            outputs = self._learn(batch, index)
            del state["logs_loss"]
        progress.increment_processed()
        self._schedule(index)
        state["_current_fx_name"] = "on_train_batch_end"
        for callback in self.after:
            callback.on_train_batch_end(trainer, module, outputs, batch, index)
        state["_current_fx_name"] = None
        if is_read or trainer.should_stop:
            connector.on_batch_end()
            progress.increment_completed()
            connector.update_train_step_metrics()
            self.last_look = time.monotonic()
        else:
            self.loop._results.batch = None  # its memory is for the next one
            progress.increment_completed()

    def _learn(self, batch: Any, index: int) -> dict[str, Any]:
        """Compute the loss and its gradients, and step the optimizer; return what the step has returned."""
        trainer, module, optimizer = self.trainer, self.module, self.optimizer
        progress = self.loop.automatic_optimization.optim_progress.optimizer
        progress.step.increment_ready()
        vars(module)["_current_fx_name"] = "training_step"
        with self.precision():
            output: Any = module.training_step(batch, index) if self.takes_index else module.training_step(batch)
        loss = output["loss"] if isinstance(output, Mapping) else output
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        optimizer.zero_grad()
        progress.zero_grad.increment_completed()
        if loss is not None:
            loss.backward()
        if self.clips or trainer.gradient_clip_val:
            vars(module)["_current_fx_name"] = "configure_gradient_clipping"
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
        if self.loop._num_ready_batches_reached():
            self.loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)


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
