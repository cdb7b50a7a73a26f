"""Metrics that are more than one number, for an objective's `analysis()`: each makes a table and a picture.

So does any metric of torchmetrics. These have pictures of their own where torchmetrics has none, or one that has no
room for more than some ten classes.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.utilities import dim_zero_cat

from . import pictures
from .pictures import Columns


class ConfusionMatrix(MulticlassConfusionMatrix):
    """How many samples of each class were taken for each: torchmetrics' own, (classes, classes), truth by answer."""

    def columns(self, counts: Tensor) -> Columns:
        answers = {f"predicted {number}": column for number, column in enumerate(counts.T.tolist())}
        return {"true class": range(len(counts)), **answers}

    def plot(self, counts: Tensor | None = None, axes: Any = None) -> Any:  # type: ignore[override]
        """The counts; of many classes, the most frequent mistakes."""
        return pictures.plot_confusion((self.compute() if counts is None else counts).cpu(), axes)


class PerClass(MulticlassConfusionMatrix):
    """Precision, recall and F1 of each class, and how many samples it has."""

    def columns(self, counts: Tensor) -> Columns:
        right, truth, answers = counts.diagonal().double(), counts.sum(dim=1), counts.sum(dim=0)
        # NaN for the recall of a class that has no samples, and the precision of one that was never answered.
        figures = {"precision": right / answers, "recall": right / truth, "f1": 2 * right / (truth + answers)}
        listed = {name: values.tolist() for name, values in figures.items()}
        return {"class": range(len(counts)), "samples": truth.tolist(), **listed}

    def plot(self, counts: Tensor | None = None, axes: Any = None) -> Any:  # type: ignore[override]
        """The classes from the worst F1 to the best; of many classes, the worst ones."""
        return pictures.plot_classes(self.columns((self.compute() if counts is None else counts).cpu()), axes)


class Residuals(Metric):
    """What is left between target and prediction, for each sample; it keeps eight bytes of each.

    Args:
        of: what is predicted, and its unit, for the picture.
    """

    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, of: str = "target") -> None:
        super().__init__()
        self.of = of
        self.add_state("predictions", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in two tensors of one shape, (batch,) or (batch, 1), of any dtype."""
        self.predictions.append(predictions.float().flatten())
        self.targets.append(targets.float().flatten())

    def compute(self) -> Tensor:
        """(samples, 3) float32: target, prediction, and what is left; the largest first, in any number of processes."""
        targets, predictions = dim_zero_cat(self.targets), dim_zero_cat(self.predictions)
        rows = torch.stack([targets, predictions, targets - predictions], dim=1)
        return rows[rows[:, 2].abs().argsort(descending=True, stable=True)]

    def columns(self, rows: Tensor) -> Columns:
        return dict(zip(("target", "prediction", "residual"), rows.T.tolist(), strict=True))

    def plot(self, rows: Tensor | None = None, axes: Any = None) -> Any:
        """Residuals over predictions: around zero all the way, where nothing more can be learnt from them."""
        return pictures.plot_residuals((self.compute() if rows is None else rows).cpu(), self.of, axes)


def columns_of(metric: Metric, value: Any) -> Columns:
    """A metric's value as columns of a table: a number, (classes,) or (rows, columns), or a dict of these."""
    if hasattr(metric, "columns"):
        return cast(Columns, cast(Any, metric).columns(value.cpu()))
    if isinstance(value, dict):
        return {str(name): torch.as_tensor(part).flatten().tolist() for name, part in value.items()}
    table = torch.as_tensor(value).cpu()
    if table.ndim < 2:
        return {"number": range(table.numel()), "value": table.flatten().tolist()}
    return {str(number): column.tolist() for number, column in enumerate(table.flatten(1).T)}


def plot(metric: Any, value: Any) -> Any:
    """The figure and the axes that a metric draws of its value."""
    axes = None if hasattr(metric, "columns") else pictures.new_axes(6, 4.5)
    figure, axes = metric.plot(value, axes)
    return figure or axes.figure, axes  # torchmetrics returns no figure for axes that it is given
