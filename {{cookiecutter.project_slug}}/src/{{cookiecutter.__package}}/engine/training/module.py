"""EngineModule: the LightningModule on which model.py builds."""

import copy
import inspect
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast

import pytorch_lightning as pl
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection
from typing_extensions import Self

from ..devices.processes import weigh_by_share
from ..devices.sharding import shard
from .samples import count_samples


class EngineModule(pl.LightningModule):
    """A LightningModule that loads safely, can be copied and sharded, and has the same losses on any number of devices.

    It adds to Lightning: `add_metrics` and `log_stage`, for metrics of each stage; `load_from_checkpoint` that runs no
    code; hyperparameters of plain values; `--preset fsdp`. A LightningModule without it does everything but the last.
    """

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path | IO[Any], *args: Any, **kwargs: Any) -> Self:
        """Lightning's, which would run code from a checkpoint that it is given by its http address."""
        return super().load_from_checkpoint(checkpoint_path, *args, **{**kwargs, "weights_only": True})

    def save_hyperparameters(self, *args: Any, frame: FrameType | None = None, **kwargs: Any) -> None:
        """Lightning's, but for objects: a checkpoint of plain values can be loaded without running code.

        The command line hands over plain values, with which a checkpoint rebuilds its model. The networks and
        functions of a model that is built by hand are left out, and are given to `load_from_checkpoint` again.
        """
        # Lightning reads the arguments of the calling __init__ from its frame, which is one further up than it expects.
        caller = frame or cast(FrameType, inspect.currentframe()).f_back
        super().save_hyperparameters(*args, frame=caller, **kwargs)
        for name, value in list(self.hparams.items()):
            if isinstance(value, nn.Module) or is_function(value):
                del self.hparams[name]

    def add_metrics(self, metrics: MetricCollection) -> None:
        """Give each stage its own copy: validation runs in the middle of a training epoch and must not mix with it."""
        self.stage_metrics = nn.ModuleDict(
            {f"{stage}_metrics": metrics.clone(prefix=f"{stage}/") for stage in ("train", "val", "test")}
        )
        # Lightning's own mean over processes is wrong if their shares are not equal.
        self.stage_losses = nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})

    def metrics_of(self, stage: str) -> MetricCollection:
        return cast(MetricCollection, self.stage_metrics[f"{stage}_metrics"])

    def log_stage(self, stage: str, loss: Tensor, batch: Any) -> Tensor:
        """Log a step's loss and the metrics of its stage, and return the loss to descend.

        The training loss is logged as it goes, the others once an epoch, over all batches and processes.

        Args:
            stage: train, val or test.
            loss: scalar, the mean over the samples of this process.
            batch: the batch that it was computed from; its number of samples is the loss's weight.
        """
        samples = count_samples(batch)
        self.log_dict(self.metrics_of(stage), on_step=False, on_epoch=True)
        if stage == "train":
            loss, batch_loss = weigh_by_share(loss, samples)
            self.log("train/loss", batch_loss, prog_bar=True)
        else:
            mean = cast(MeanMetric, self.stage_losses[stage])
            mean.update(loss, weight=samples)
            self.log(f"{stage}/loss", mean)
        return loss

    def configure_model(self) -> None:
        if self.device_mesh is not None:
            shard(self, self.device_mesh["data_parallel"], self.trainer.precision)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy, as for averaged weights. Functions that make optimizers are shared: they hold the command line."""
        memo |= {id(value): value for value in vars(self).values() if is_function(value)}
        memo[id(self)] = copied = type(self).__new__(type(self))
        # As copy.deepcopy does without this method, but with the entries of the memo above.
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied


def is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, nn.Module)
