"""Sets of samples that are judged apart: their names, and the metrics and the mean loss of each."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchmetrics import Metric, MetricCollection

from ..errors import RunError
from .mean import Mean


def set_names(loaders: Any, count: int) -> list[str]:
    """The names of the sets behind these loaders: a dict's keys, numbers for a list; "" for one loader by itself.

    Args:
        loaders: what val_dataloader, test_dataloader or predict_dataloader has returned.
        count: how many loaders Lightning has found in it.

    Raises:
        RunError: if a set consists of several loaders itself.
    """
    names = [""]
    if isinstance(loaders, Mapping):
        names = [str(name) for name in loaders]
    elif isinstance(loaders, list | tuple) and count > 1:
        names = [str(number) for number in range(len(loaders))]
    if len(names) != count:
        raise RunError(
            f"{count} loaders were returned, in dicts or lists that are nested, so that sets have no names",
            "a dict with one loader for each set",
        )
    return names


class Measures(nn.Module):
    """The metrics and the mean loss of one set, called train, val or val/clean, say."""

    def __init__(self, name: str, metrics: MetricCollection) -> None:
        super().__init__()
        self.metrics = metrics.clone(prefix=f"{name}/")
        # Lightning's own mean over processes is wrong if their shares are not equal.
        self.loss = Mean()
        self.loss_name = f"{name}/loss"
        self.first_name = next(iter(self.by_name(with_loss=True)))

    def by_name(self, with_loss: bool) -> dict[str, Metric]:
        """What is logged, by the name that it is given."""
        metrics = {str(name): metric for name, metric in self.metrics.items(keep_base=False, copy_state=False)}
        return {**metrics, self.loss_name: self.loss} if with_loss else metrics


class StageMetrics(nn.Module):
    """The measures of each set apart: validation runs in the middle of a training epoch and must not mix with it."""

    def __init__(self, metrics: MetricCollection) -> None:
        super().__init__()
        # A child, so that a checkpoint in the middle of an epoch has what these metrics have seen.
        self.of_training = Measures("train", metrics)
        # Not children: a model that is built for the checkpoint does not know yet which sets there will be.
        self.of_sets: dict[str, Measures] = {}
        self.new = {"metrics": metrics}

    def of(self, name: str, device: torch.device) -> Measures:
        if name == "train":
            return self.of_training
        if name not in self.of_sets:
            self.of_sets[name] = Measures(name, self.new["metrics"])
        measures = self.of_sets[name]
        # The Trainer moves its model before an evaluation, and metrics that were logged to the CPU after it.
        return measures if measures.loss.device == device else measures.to(device)
