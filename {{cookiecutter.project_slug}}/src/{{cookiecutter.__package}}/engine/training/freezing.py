"""Parts of a model that are kept as they are, for some time or for good."""

from collections.abc import Iterator
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from torch import nn

from ..devices.sharding import reshard
from ..errors import RunError, require
from .loop_state import frozen_names
from .parameter_groups import parameters_of


@final
class Freeze(pl.Callback):
    """Keeps parts of the model as they are, until an epoch or a step if one is given, else to the end.

    BatchNorm layers in these parts keep their running means and variances and normalise with them, as in evaluation.
    Dropout stays as it is in training.

    Args:
        modules: dotted names of modules or parameters, such as network.features.
        until_epoch: the epoch in which they begin to train, counted from 0.
        until_step: the optimizer step at which they begin to train; the earlier of both counts.
    """

    def __init__(self, modules: list[str], until_epoch: int | None = None, until_step: int | None = None) -> None:
        require(until_epoch=until_epoch, until_step=until_step, at_least=0)
        if not modules:
            raise RunError("freeze.modules is empty", "--freeze.modules '[network.features]', or --freeze null")
        self.modules = modules
        self.until_epoch = until_epoch
        self.until_step = until_step
        self._stopped_norms: list[nn.Module] = []
        self._is_over = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Before the model is sharded or wrapped, since both look at what is frozen. A training that goes on begins
        # frozen too: with its first batch, what was frozen when it was saved is restored, and is looked at below.
        if stage != "fit":
            return
        if self._is_temporary() and isinstance(trainer.strategy, DeepSpeedStrategy):
            hint = "until_epoch and until_step null, or --preset fsdp"
            raise RunError("DeepSpeed cannot train later what is frozen at the start", hint)
        self._is_over = False
        for weight in self._weights(pl_module):
            weight.requires_grad_(False)
        if not any(weight.requires_grad for weight in pl_module.parameters()):
            raise RunError(
                f"nothing is left to train: all of the model is frozen by {', '.join(self.modules)}",
                "fewer --freeze.modules",
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        held = {id(weight) for optimizer in trainer.optimizers for weight in weights_of(optimizer)}
        if self._is_temporary() and not all(id(weight) in held for weight in self._weights(pl_module)):
            raise RunError(
                f"no optimizer has the parameters of {', '.join(self.modules)}, so they would never be trained",
                "give the optimizer all parameters in configure_optimizers; frozen ones have no gradient",
            )
        self._stopped_norms = [norm for norm in self._norms(pl_module) if norm.training]
        for norm in self._stopped_norms:
            norm.eval()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        due_epoch = self.until_epoch is not None and trainer.current_epoch >= self.until_epoch
        due_step = self.until_step is not None and trainer.global_step >= self.until_step
        if (due_epoch or due_step) and not self._is_over:
            self._is_over = True
            self._thaw(pl_module)

    def _thaw(self, pl_module: pl.LightningModule) -> None:
        for norm in self._stopped_norms:
            norm.train()
        for weight in self._weights(pl_module):
            weight.requires_grad_(True)

    def _is_temporary(self) -> bool:
        return self.until_epoch is not None or self.until_step is not None

    def _weights(self, module: nn.Module) -> Iterator[nn.Parameter]:
        for part in self.modules:
            yield from parameters_of(module, part).values()

    def _norms(self, module: nn.Module) -> Iterator[nn.Module]:
        """The layers in the frozen parts that keep running statistics."""
        for name, layer in module.named_modules():
            is_inside = any(f"{name}.".startswith(f"{part}.") for part in self.modules)
            if is_inside and getattr(layer, "running_mean", None) is not None:
                yield layer


class FollowThaw(pl.Callback):
    """Trains on every process what begins to be trained later, whoever thaws it, as what is trained from the start."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        reshard(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._frozen = set(frozen_names(pl_module))

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if isinstance(trainer.strategy, DDPStrategy) and not self._frozen <= set(frozen_names(pl_module)):
            # It averages the gradients of what was trained when it was made, and would leave out all others.
            trainer.strategy.model = pl_module
            trainer.strategy.configure_ddp()
            self._frozen = set(frozen_names(pl_module))


class RefuseUntrained(pl.Callback):
    """Refuses a training whose optimizers have frozen parameters only."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        own = {id(weight) for weight in pl_module.parameters()}
        held = [w for optimizer in trainer.optimizers for w in weights_of(optimizer) if id(w) in own]
        if pl_module.automatic_optimization and held and not any(weight.requires_grad for weight in held):
            raise RunError(
                "nothing is trained: no parameter of an optimizer requires a gradient", "train a part of the model"
            )


def weights_of(optimizer: Any) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
