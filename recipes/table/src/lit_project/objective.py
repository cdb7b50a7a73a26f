"""Objective: what a good prediction is. Here: a probability that can be taken at its word, of a rare class."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAUROC, BinaryCalibrationError, BinaryConfusionMatrix


@final
class Objective(nn.Module):
    """Cross-entropy of two classes that count equally, however many rows each has."""

    task = "tabular-classification"  # in Hugging Face's words, for the card of an export
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(1))  # how many rows of class 0 one of class 1 counts as much as

    def learn_weight(self, targets: Tensor) -> None:
        """Take the weight from the targets of the training rows, (rows, 1)."""
        self.weight.fill_((1 - targets).sum() / targets.sum())

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 1) logits and (batch, 1) targets -> a scalar."""
        return F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=self.weight)

    def metrics(self) -> MetricCollection:
        """Area under the ROC curve, 0.5 by chance, and how far probabilities are from shares, 0 at best."""
        return MetricCollection({"auroc": BinaryAUROC(), "calibration": BinaryCalibrationError(n_bins=5)})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: probabilities and classes, (batch,) each."""
        metrics.update(self.prediction(outputs), targets.squeeze(1).int())

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as a table and a picture: who is likelier than not to get worse, and does."""
        return MetricCollection({"confusion": BinaryConfusionMatrix()})

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 1) logits -> (batch,) probabilities of class 1."""
        # The weight multiplies the odds that are learnt; what is left without it are those among patients.
        return (outputs - self.weight.log()).sigmoid().squeeze(1)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 1) logits -> (batch,) probabilities of class 1."""
        return {"probability": self.prediction(outputs)}
