"""Model, the LightningModule: how the network learns from a batch, and its teacher from it."""

import copy
from typing import Any

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from .data import shift
from .engine.training.module import EngineModule
from .engine.training.schedules import stepping
from .network import Network
from .objective import Objective

Batch = tuple[Tensor, Tensor]


class Model(EngineModule):
    """A mean teacher (Tarvainen and Valpola 2017, https://arxiv.org/abs/1703.01780): a network that learns, and an
    average of its weights, which says what to make of unlabeled pictures, and is what is tested and used.

    Args:
        network: the student, which turns the inputs of a batch into outputs.
        decay: of the average: the share of the teacher that is left after each step.
        max_shift: student and teacher see each picture moved at random, by up to so many pixels each way.
        objective: turns outputs and targets into a loss, metrics and predictions.
        optimizer: a class of torch.optim and its arguments, all but the parameters.
        lr_scheduler: a schedule and its arguments, all but the optimizer. WarmupCosine and torch's schedules are
            stepped after each optimizer step, pytorch_lightning.cli.ReduceLROnPlateau after each epoch.
    """

    def __init__(
        self,
        network: Network,
        decay: float,
        max_shift: int,
        objective: Objective,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # loggers get the whole configuration, with data and trainer
        self.network = network
        self.teacher = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.max_shift = max_shift
        self.objective = objective
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.add_metrics(objective.metrics())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.teacher(inputs)

    def split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take a batch apart into inputs and targets. No other line knows what a batch consists of."""
        inputs, targets = batch
        return inputs, targets

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, targets = self.split(batch)
        outputs = self.network(shift(inputs, self.max_shift))
        with torch.no_grad():
            taught = self.teacher(shift(inputs, self.max_shift))
        loss = self.objective(outputs, targets, taught)
        self.objective.update_metrics(self.metrics_of("train"), outputs.detach(), targets, loss.detach())
        return self.log_stage("train", loss, batch)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the teacher a little towards the student."""
        for average, weight in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            average.lerp_(weight, 1 - self.decay)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, targets = self.split(batch)
        outputs = self(inputs)
        loss = self.objective(outputs, targets)
        self.objective.update_metrics(self.metrics_of("test"), outputs, targets, loss)
        self.log_stage("test", loss, batch)

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        inputs = batch if isinstance(batch, Tensor) else self.split(batch)[0]
        return self.objective.prediction(self(inputs))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": stepping(self.lr_scheduler(optimizer), self)}
