"""Model, the LightningModule: how the network learns."""

import copy
import math
from pathlib import Path
from typing import IO, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric, MetricCollection

from . import objective
from .batches import place
from .network import Network
from .sharding import shard

Batch = tuple[Tensor, Tensor]


class Model(pl.LightningModule):
    """One network with what it takes to train, judge and use it.

    Args:
        network: turns the inputs of a batch into outputs that `objective.py` understands.
        optimizer: a class of torch.optim and its arguments, all but the parameters.
        lr_scheduler: a scheduler and its arguments, all but the optimizer. WarmupCosine and torch's
            one-value-a-step schedules are stepped after each optimizer step; ReduceLROnPlateau after each epoch.
    """

    def __init__(self, network: Network, optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable) -> None:
        super().__init__()
        # The command line hands over plain values here, so a checkpoint loads with weights_only=True.
        # The loggers get the whole configuration, data and trainer included, from callbacks.RunConfig.
        self.save_hyperparameters(logger=False)
        for name in ("network", "optimizer", "lr_scheduler"):
            if not isinstance(self.hparams[name], dict):  # built by hand, from objects: they stay out
                del self.hparams[name]
        self.network = network
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        # A collection per stage: validation runs in the middle of a training epoch and must not mix with it.
        self.metrics = nn.ModuleDict(
            {f"{stage}_metrics": objective.metrics().clone(prefix=f"{stage}/") for stage in ("train", "val", "test")}
        )
        # Lightning's own mean over processes is wrong if their shares are not equal.
        self.losses = nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path | IO[Any], *args: Any, **kwargs: Any) -> "Model":
        """Lightning's, which would run code from a checkpoint that it is given by its http address."""
        return super().load_from_checkpoint(checkpoint_path, *args, **{**kwargs, "weights_only": True})

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        """A copy, as for averaged weights. What makes optimizers is shared: it holds the command line and data."""
        memo |= {id(shared): shared for shared in (self.optimizer, self.lr_scheduler)}
        memo[id(self)] = copied = type(self).__new__(type(self))
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def configure_model(self) -> None:
        if self.device_mesh is not None:
            shard(self.network, self.device_mesh["data_parallel"], self.trainer.precision)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "test")

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        inputs = batch if isinstance(batch, Tensor) else batch[0]
        return objective.prediction(self(inputs))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        scheduler = self.lr_scheduler(optimizer)
        if isinstance(scheduler, ReduceLROnPlateau):
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": scheduler.monitor}}
        if isinstance(scheduler, WarmupCosine):
            scheduler.total_steps = self.trainer.estimated_stepping_batches
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _step(self, batch: Batch, stage: str) -> Tensor:
        inputs, targets = batch
        outputs = self(inputs)
        loss = objective.loss(outputs, targets)
        metrics = cast(MetricCollection, self.metrics[f"{stage}_metrics"])
        metrics.update(outputs.detach(), targets)
        self.log_dict(metrics, on_step=False, on_epoch=True)
        # Training's loss is logged as it goes, the others once an epoch over all batches and processes.
        if stage == "train":
            loss, whole = of_all_processes(loss, len(inputs))
            self.log("train/loss", whole, prog_bar=True)
        else:
            mean = cast(MeanMetric, self.losses[stage])
            mean.update(loss, weight=len(inputs))
            self.log(f"{stage}/loss", mean)
        return loss


def of_all_processes(loss: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """From the mean loss of this process's share of a batch: the loss to descend, and that of the whole batch.

    Gradients are averaged over the processes as if their shares were equal, and they may differ by a sample.
    """
    _, processes = place()
    if processes == 1:
        return loss, loss
    sums = torch.stack([loss.detach() * samples, loss.new_tensor(samples)])
    distributed.all_reduce(sums)
    whole, all_samples = sums
    return loss * (samples * processes / all_samples), whole / all_samples


class WarmupCosine(LRScheduler):
    """A straight rise to the optimizer's learning rate, then half a cosine down.

    Both arguments are fractions, so a shorter or longer run keeps the shape. `total_steps`, the number of
    optimizer steps in the run, is set before the first step. Without the rise, this is the schedule of
    Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        optimizer: its learning rate is the peak.
        warmup: fraction of all steps spent rising from zero.
        floor: fraction of the peak that is left at the end.
    """

    total_steps: float = math.inf

    def __init__(self, optimizer: Optimizer, warmup: float, floor: float) -> None:
        self.warmup = warmup
        self.floor = floor
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        return [peak * self.factor(self.last_epoch) for peak in self.base_lrs]

    def factor(self, step: int) -> float:
        """Fraction of the peak at `step`, counted from 0."""
        rise = self.warmup * self.total_steps
        if step < rise:
            return step / rise
        fall = min(1.0, (step - rise) / max(1.0, self.total_steps - rise))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * fall)) / 2
