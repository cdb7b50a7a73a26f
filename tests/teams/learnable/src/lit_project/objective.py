"""Objective: what a good prediction is. Here: the right class, no surer than it proves to be."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from .network import CLASSES


@final
class Objective(nn.Module):
    """Cross-entropy, in nats, of logits over a temperature that is learned with the network.

    Args:
        label_smoothing: probability that is spread over all classes; 0 asks for full certainty.
    """

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 10) logits and (batch,) int64 classes -> a scalar."""
        return F.cross_entropy(outputs / self.temperature, targets, label_smoothing=self.label_smoothing)

    def metrics(self) -> MetricCollection:
        """Accuracy, and how far the probabilities are from the shares that prove right."""
        measures = {"accuracy": MulticlassAccuracy(CLASSES), "calibration": MulticlassCalibrationError(CLASSES)}
        return MetricCollection(measures)

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the probabilities, (batch, 10), and the classes."""
        metrics.update((outputs / self.temperature).softmax(dim=-1), targets)

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 10) logits -> (batch, 10) probabilities."""
        return (outputs / self.temperature).softmax(dim=-1)
