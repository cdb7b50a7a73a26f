"""EngineModule: the LightningModule on which model.py builds."""

import copy
import inspect
import warnings
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast

import pytorch_lightning as pl
from jsonargparse import ArgumentParser
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from typing_extensions import Self

from ..devices.processes import weigh_by_share
from ..devices.sharding import shard
from ..saving import checkpoints
from .loop_state import is_logged, log_again, running_set
from .samples import count_samples
from .sets import Measures, StageMetrics


class EngineModule(pl.LightningModule):
    """A LightningModule that loads safely, can be copied and sharded, and has the same losses on any number of devices.

    It adds to Lightning: `add_metrics` and `log_stage`, for metrics of each stage; `load_from_checkpoint` that runs no
    code; hyperparameters of plain values; `--preset fsdp`. A LightningModule without it does everything but the last.

    Attributes:
        logs_loss: whether anybody can read what this step logs: see short_steps.py.
    """

    logs_loss = True

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path | IO[Any], *args: Any, **kwargs: Any) -> Self:
        """Lightning's, but for code in the file, which would run if it came by its http address.

        Args:
            checkpoint_path: a checkpoint of this model, from any folder.
            args, kwargs: Lightning's, and arguments of the model in place of those that it was trained with, such as
                a network that was built by hand.

        Raises:
            RunError: for a file that is none, or that could run code.
        """
        kwargs = {**kwargs, "weights_only": True}
        if isinstance(checkpoint_path, str | Path):
            saved = checkpoints.read_whole(checkpoint_path)
            kwargs = {**built(cls, saved.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}), kwargs), **kwargs}
        with warnings.catch_warnings():  # about what Lightning uses of jsonargparse
            warnings.simplefilter("ignore", DeprecationWarning)
            return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def save_hyperparameters(self, *args: Any, frame: FrameType | None = None, **kwargs: Any) -> None:
        """Lightning's, but for objects: a checkpoint of plain values can be loaded without running code.

        The command line hands over plain values, with which a checkpoint rebuilds its model. The networks and
        functions of a model that is built by hand are left out, and are given to `load_from_checkpoint` again.
        """
        # Lightning reads the arguments of the calling __init__ from its frame, which is one further up than it expects.
        caller = frame or cast(FrameType, inspect.currentframe()).f_back
        with warnings.catch_warnings():  # that modules are in the checkpoint twice, which they are not
            warnings.filterwarnings("ignore", ".*is an instance of `nn.Module`")
            super().save_hyperparameters(*args, frame=caller, **kwargs)
        for name, value in list(self.hparams.items()):
            if isinstance(value, nn.Module) or is_function(value):
                del self.hparams[name]

    def add_metrics(self, metrics: MetricCollection) -> None:
        """Give each stage, and each of several validation or test sets, metrics and a mean loss of its own."""
        self.stage_metrics = StageMetrics(metrics)

    def metrics_of(self, stage: str) -> MetricCollection:
        """The metrics of a stage; while one of several sets is evaluated, those of this set."""
        return self._measures_of(stage).metrics

    def log_stage(self, stage: str, loss: Tensor, batch: Any) -> Tensor:
        """Log a step's loss and the metrics of its stage, and return the loss to descend.

        The training loss is logged as it goes, the others once an epoch, over all batches and processes. Where
        `val_dataloader` or `test_dataloader` returns a dict of loaders, each is logged apart, as val/NAME/loss.

        Args:
            stage: train, val or test.
            loss: scalar, the mean over the samples of this process.
            batch: the batch that it was computed from; its number of samples is the loss's weight.
        """
        samples = count_samples(batch)
        measures = self._measures_of(stage)
        # Lightning reads metrics at the end of an epoch, so it is told of them once.
        if self.logs_loss and not is_logged(self, measures.first_name):
            for key, metric in measures.by_name(with_loss=stage != "train").items():
                # Lightning looks for a metric's attribute only once, before the sets are known, so it is told one.
                options = {"on_step": False, "on_epoch": True, "add_dataloader_idx": False, "metric_attribute": key}
                self._log(key, metric, **options)
        if stage == "train":
            loss, batch_loss = weigh_by_share(loss, samples)
            if self.logs_loss or self.trainer.should_stop:
                self._log("train/loss", batch_loss.detach(), prog_bar=True)
        else:
            measures.loss.update(loss, weight=samples)
        return loss

    def _log(self, name: str, value: Tensor | Metric, **options: Any) -> None:
        if not log_again(self, name, value):
            self.log(name, value, **options)

    def _measures_of(self, stage: str) -> Measures:
        name = stage if stage == "train" else "/".join(filter(None, [stage, running_set(self)]))
        return self.stage_metrics.of(name, self.device)

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


def built(model: type[pl.LightningModule], saved: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a checkpoint describes, as objects, if some are given for others; nothing otherwise.

    Lightning would hand all of them to the command line's parser, which makes objects and takes none.
    """
    arguments = inspect.signature(model).parameters
    objects = {name for name in arguments if isinstance(given.get(name), nn.Module) or is_function(given.get(name))}
    if "_instantiator" not in saved or not objects:
        return {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(model, "model", skip=objects, instantiate=False, fail_untyped=False)
    described = {name: value for name, value in {**saved, **given}.items() if name in arguments and name not in objects}
    made = parser.instantiate(parser.parse_object({"model": described})).get("model", {})
    return {**dict(made.items()), "_instantiator": None}


def is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, nn.Module)
