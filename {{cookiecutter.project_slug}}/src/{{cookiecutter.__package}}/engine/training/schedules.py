"""Learning-rate schedules, and when Lightning steps them."""

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.cli import ReduceLROnPlateau
from pytorch_lightning.utilities.types import LRSchedulerConfigType
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau as PlateauWithoutMetric

from ..errors import RunError, require


class WarmupCosine(LRScheduler):
    """A straight rise to the optimizer's learning rate, then half a cosine down.

    Both arguments are fractions, so a shorter or longer run keeps the shape. `total_steps`, the number of
    optimizer steps in the run, is set before the first step. Without the rise, this is the schedule of
    Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        optimizer: its learning rate is the peak; each group of parameters has its own, also one that is added later.
        warmup: fraction of all steps spent rising from zero.
        floor: fraction of the peak that is left at the end.
    """

    total_steps: float = math.inf

    def __init__(self, optimizer: Optimizer, warmup: float, floor: float) -> None:
        require(warmup=warmup, floor=floor, at_least=0, at_most=1)
        self.warmup = warmup
        self.floor = floor
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:  # added since the step before
            lr = group["lr"]
            # A copy, since a learning rate that is a tensor is changed in place.
            self.base_lrs.append(group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr))
        return [peak * self.factor(self.last_epoch) for peak in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on; where the training is longer or shorter now than it was, along the curve of its new length."""
        total_steps = self.total_steps
        super().load_state_dict(state_dict)
        if self.total_steps == total_steps:
            return
        self.total_steps = total_steps
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def factor(self, step: int) -> float:
        """Fraction of the peak at `step`, counted from 0."""
        rise = self.warmup * self.total_steps if self.warmup else 0.0  # 0 * inf is not a number
        if step < rise:
            return step / rise
        fall = min(1.0, (step - rise) / max(1.0, self.total_steps - rise))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * fall)) / 2


def stepping(scheduler: LRScheduler | ReduceLROnPlateau, module: pl.LightningModule) -> LRSchedulerConfigType:
    """Lightning's settings for a schedule: a step after each optimizer step, or after each epoch for ReduceLROnPlateau.

    Args:
        scheduler: a schedule of torch, Lightning's ReduceLROnPlateau (which names its metric), or WarmupCosine, which
            is told here how many steps the training has.
        module: the LightningModule that is trained with it.
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        return {"scheduler": scheduler, "monitor": scheduler.monitor}
    if isinstance(scheduler, PlateauWithoutMetric):
        hint = "class_path: pytorch_lightning.cli.ReduceLROnPlateau, with monitor: val/loss in its init_args"
        raise RunError("torch's ReduceLROnPlateau does not know the metric that it watches", hint)
    if isinstance(scheduler, WarmupCosine) and has_trainer(module):
        scheduler.total_steps = module.trainer.estimated_stepping_batches
        if not 0 < scheduler.total_steps < math.inf:  # Lightning says -1 or inf
            raise RunError("WarmupCosine needs to know how long the training is", "--trainer.max_steps")
    return {"scheduler": scheduler, "interval": "step"}


def has_trainer(module: pl.LightningModule) -> bool:
    """Whether the module is being trained; it is not where only its optimizer is looked at, as by `memory`."""
    try:
        return bool(module.trainer)
    except RuntimeError:
        return False
