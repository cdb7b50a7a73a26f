"""Model: two networks that learn against each other, each with an optimizer and a schedule of its own."""

from typing import cast

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .data import NOISE
from .engine.training.module import EngineModule
from .engine.training.schedules import stepping
from .modes import Modes
from .network import Discriminator, Generator


class Model(EngineModule):
    """A GAN with the non-saturating loss of Goodfellow et al. 2014.

    Args:
        generator: turns noise into points.
        discriminator: tells real points from generated ones.
        penalty: weight of the discriminator's squared gradient at real points (R1, Mescheder et al. 2018).
        generator_optimizer: a class of torch.optim and its arguments, all but the parameters.
        discriminator_optimizer: the same for the discriminator.
        lr_scheduler: a schedule and its arguments, all but the optimizer; each optimizer has one, stepped every batch.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        penalty: float,
        generator_optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # loggers get the whole configuration, with data and trainer
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.penalty = penalty
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.lr_scheduler = lr_scheduler
        self.val_modes, self.test_modes = Modes(), Modes()

    def forward(self, noise: Tensor) -> Tensor:
        return self.generator(noise)

    def answers(self, points: Tensor) -> dict[str, Tensor]:
        """What `load` and `export` call the points, (batch, 2), which `forward` makes of noise."""
        return {"point": points}

    def training_step(self, real: Tensor, batch_idx: int) -> Tensor:
        """One step of each network; returns the sum of both losses, which the engine checks for NaN."""
        generator_optimizer, discriminator_optimizer = cast(list[LightningOptimizer], self.optimizers())
        made = self(torch.randn(len(real), NOISE, device=real.device))
        discriminator_loss = self.discriminator_loss(real, made.detach())
        self.descend(discriminator_optimizer, discriminator_loss)
        generator_loss = F.softplus(-self.discriminator(made)).mean()
        self.descend(generator_optimizer, generator_loss)
        for scheduler in cast(list[LRScheduler], self.lr_schedulers()):
            scheduler.step()
        self.log_dict({"train/discriminator": discriminator_loss, "train/generator": generator_loss}, prog_bar=True)
        return discriminator_loss.detach() + generator_loss.detach()

    def discriminator_loss(self, real: Tensor, made: Tensor) -> Tensor:
        """Cross-entropy in nats, and the penalty: two times (batch, 2) points -> a scalar."""
        real = real.requires_grad_()
        judged = self.discriminator(real)
        (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
        loss = F.softplus(-judged).mean() + F.softplus(self.discriminator(made)).mean()
        return loss + self.penalty / 2 * slope.square().sum(dim=1).mean()

    def descend(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()  # the discriminator has gradients of the generator's loss, too
        self.manual_backward(loss)
        optimizer.step()

    def validation_step(self, noise: Tensor, batch_idx: int) -> None:
        self.val_modes.update(self(noise))

    def on_validation_epoch_end(self) -> None:
        self.log_modes("val", self.val_modes)

    def test_step(self, noise: Tensor, batch_idx: int) -> None:
        self.test_modes.update(self(noise))

    def on_test_epoch_end(self) -> None:
        self.log_modes("test", self.test_modes)

    def log_modes(self, stage: str, modes: Modes) -> None:
        self.log_dict({f"{stage}/{name}": value for name, value in modes.compute().items()})
        modes.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        generator_optimizer = self.generator_optimizer(self.generator.parameters())
        discriminator_optimizer = self.discriminator_optimizer(self.discriminator.parameters())
        return [self.with_schedule(generator_optimizer), self.with_schedule(discriminator_optimizer)]

    def with_schedule(self, optimizer: Optimizer) -> OptimizerLRSchedulerConfig:
        return {"optimizer": optimizer, "lr_scheduler": stepping(self.lr_scheduler(optimizer), self)}
