"""A training step without Lightning's loop, and a clock that says which of its parts takes how long."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from .short_steps import Transfer, takes_index
from .throughput import wait_for

UNTIMED = ""


class Clock:
    """Charges time to the part of a step that is under way; what runs within another part is charged alone.

    Args:
        device: where the steps compute.

    Attributes:
        seconds: {part: seconds}.
        waits: whether each part lasts until the device has done its work; else until it has been told to.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reset()

    def reset(self, waits: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.waits = waits
        self._part, self._since = UNTIMED, time.perf_counter()

    def to(self, part: str) -> str:
        """Charge to this part from now on; return the part before it."""
        if self.waits:
            self.synchronize()
        before, now = self._part, time.perf_counter()
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._part, self._since = part, now
        return before

    def synchronize(self) -> None:
        wait_for(self.device)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is charged to a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            before = self.to(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.to(before)

        return call


class TimedSteps:
    """Makes steps of a training that has begun, as the plain loop of its model would.

    Its parts are `transfer`, `forward`, `logging` (with metrics), `backward` and `optimizer`. Hooks of callbacks are
    left out. From its making on, the model and its optimizers tell the clock what they do.

    Args:
        trainer: a Trainer in a hook of a training.
        module: what it trains.
        clock: is told which part is under way.
    """

    def __init__(self, trainer: Any, module: pl.LightningModule, clock: Clock) -> None:
        self.trainer = trainer
        self.module = module
        self.clock = clock
        self.takes_index = takes_index(module)
        self.move = Transfer(trainer, module)
        self.scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.done = 0
        methods: list[tuple[str, Any, str]] = [("logging", module, "log"), ("logging", module, "log_dict")]
        metrics = [metric for metric in module.modules() if isinstance(metric, Metric | MetricCollection)]
        methods += [("logging", metric, name) for metric in metrics for name in ("update", "forward")]
        methods += [("backward", module, "backward" if module.automatic_optimization else "manual_backward")]
        methods += [("optimizer", optimizer, "step") for optimizer in trainer.optimizers]
        for part, owner, name in methods:
            vars(owner)[name] = clock.timed(part, getattr(owner, name))

    def transfer(self, batch: Any) -> Any:
        """Move a batch to the device, with the hooks of the model and the data for that."""
        before = self.clock.to("transfer")
        batch = self.trainer.precision_plugin.convert_input(batch)
        batch = self.move(batch)
        self.clock.to(before)
        return batch

    def step(self, batch: Any) -> None:
        """Learn from a batch that is on the device."""
        batch = apply_to_collection(batch, Tensor, lambda tensor: tensor)  # a step may change a dict that it is given
        accumulated = self.trainer.accumulate_grad_batches
        begins, ends = self.done % accumulated == 0, (self.done + 1) % accumulated == 0
        if not self.module.automatic_optimization:
            self._forward(batch)
        elif not ends:
            self._loss(batch, begins)
        elif self.scaler:
            self._loss(batch, begins)
            self.scaler.step(self.trainer.optimizers[0])
            self.scaler.update()
        else:
            self.trainer.optimizers[0].step(closure=lambda: self._loss(batch, begins))
        self.done += 1

    def _forward(self, batch: Any) -> Tensor | None:
        before = self.clock.to("forward")
        output = self.trainer.strategy.training_step(*([batch, self.done] if self.takes_index else [batch]))
        self.clock.to(before)
        return output["loss"] if isinstance(output, Mapping) else output

    def _loss(self, batch: Any, begins: bool) -> Tensor | None:
        """Compute the loss and its gradients, clipped; `begins` says whether those of earlier batches are dropped."""
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        loss = self._forward(batch)
        before = self.clock.to("optimizer")
        if begins:
            optimizer.zero_grad()
        if loss is not None:
            loss = loss / trainer.accumulate_grad_batches if trainer.accumulate_grad_batches > 1 else loss
            self.module.backward(self.scaler.scale(loss) if self.scaler else loss)
        if self.scaler:
            self.scaler.unscale_(optimizer)
        clipping = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
        self.module.configure_gradient_clipping(optimizer, *clipping)
        self.clock.to(before)
        return loss
