"""Objective: what a good prediction is. Here: a high probability for those who fall ill."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC


@final
class Objective(nn.Module):
    """Cross-entropy of two classes, in nats.

    Args:
        positive_weight: how many healthy patients one who fell ill counts as much as.
    """

    def __init__(self, positive_weight: float) -> None:
        super().__init__()
        self.positive_weight = positive_weight

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 1) logits and (batch, 1) targets -> a scalar."""
        weight = outputs.new_full((1,), self.positive_weight)
        return F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=weight)

    def metrics(self) -> MetricCollection:
        """The share that is classified rightly, and the area under the ROC curve."""
        return MetricCollection({"accuracy": BinaryAccuracy(), "auroc": BinaryAUROC()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: probabilities and classes, (batch, 1) each."""
        metrics.update(outputs.sigmoid(), targets.int())

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 1) logits -> (batch,) probabilities."""
        return outputs.sigmoid().squeeze(1)
