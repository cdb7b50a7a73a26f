"""Objective: what a good prediction is. Here: the right kind."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .data import KINDS
from .engine.training.analysis import ConfusionMatrix, PerClass


@final
class Objective(nn.Module):
    """Cross-entropy, in nats."""

    task = "text-classification"  # in Hugging Face's words, for the card of an export

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 2) logits and (batch,) int64 kinds -> a scalar."""
        return F.cross_entropy(outputs, targets)

    def metrics(self) -> MetricCollection:
        """Accuracy: 0.5 for a guess, higher is better."""
        return MetricCollection({"accuracy": MulticlassAccuracy(len(KINDS), average="micro")})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: probabilities, (batch, 2), and kinds."""
        metrics.update(outputs.softmax(dim=-1), targets)

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as tables and pictures; it sees what the metrics see."""
        return MetricCollection({"confusion": ConfusionMatrix(len(KINDS)), "per_class": PerClass(len(KINDS))})

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 2) logits -> (batch,) int64, the likelier kind."""
        return outputs.argmax(dim=-1)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 2) logits -> the kind and each kind's probability."""
        probabilities = outputs.softmax(dim=-1)
        each = {kind: probabilities[:, number] for number, kind in enumerate(KINDS)}
        return {"kind": probabilities.argmax(dim=-1), **each}
