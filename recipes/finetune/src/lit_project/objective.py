"""Objective: what a good prediction is. Here: the right kind."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .data import KINDS


@final
class Objective(nn.Module):
    """Cross-entropy, in nats."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 2) logits and (batch,) int64 kinds -> a scalar."""
        return F.cross_entropy(outputs, targets)

    def metrics(self) -> MetricCollection:
        """Accuracy: 0.5 for a guess, higher is better."""
        return MetricCollection({"accuracy": MulticlassAccuracy(len(KINDS), average="micro")})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: probabilities, (batch, 2), and kinds."""
        metrics.update(outputs.softmax(dim=-1), targets)

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 2) logits -> (batch,) int64, the likelier kind."""
        return outputs.argmax(dim=-1)
