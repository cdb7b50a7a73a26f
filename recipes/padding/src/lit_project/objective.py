"""Objective: what a good prediction is. Here: a high probability for what is the case."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryConfusionMatrix


@final
class Objective(nn.Module):
    """Cross-entropy of two classes. Arguments of `__init__` would stand in the configuration, under model.objective."""

    task = "text-classification"  # in Hugging Face's words, for the card of an export

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch,) logits and (batch,) targets -> a scalar, the mean over sequences, long and short."""
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def metrics(self) -> MetricCollection:
        """The share of all sequences that are classified rightly."""
        return MetricCollection({"accuracy": BinaryAccuracy()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: probabilities and targets, (batch,) each."""
        metrics.update(self.prediction(outputs), targets)

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as a table and a picture; it sees what the metrics see."""
        return MetricCollection({"confusion": BinaryConfusionMatrix()})

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch,) logits -> (batch,) probabilities."""
        return outputs.sigmoid()

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch,) logits -> (batch,) probabilities."""
        return {"probability": self.prediction(outputs)}
