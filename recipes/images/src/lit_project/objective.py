"""Objective: what a good prediction is. Here: a high probability for the right class."""

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .data import CLASSES
from .engine.training.analysis import ConfusionMatrix, PerClass


@final
class Objective(nn.Module):
    """Cross-entropy, in nats.

    Args:
        label_smoothing: probability that is spread over all classes; 0 asks for full certainty.
    """

    task = "image-classification"  # in Hugging Face's words, for the card of an export

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, 10) logits and (batch,) int64 classes -> a scalar."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def metrics(self) -> MetricCollection:
        """Accuracy: the share of all pictures that are classified rightly."""
        return MetricCollection({"accuracy": MulticlassAccuracy(len(CLASSES), average="micro")})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the probabilities, (batch, 10), and the classes.

        With two classes too, give them probabilities. torchmetrics' binary metrics decide for each batch anew whether
        they see logits, and take a batch of logits within [0, 1] for probabilities: AUROC 0.25 where 1.0 is right.
        """
        metrics.update(outputs.softmax(dim=-1), targets)

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as tables and pictures; it sees what the metrics see."""
        return MetricCollection({"confusion": ConfusionMatrix(len(CLASSES)), "per_class": PerClass(len(CLASSES))})

    def prediction(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The answer to give: (batch, 10) logits -> (batch,) probability and (batch,) int64 of the likeliest class."""
        return outputs.softmax(dim=-1).max(dim=-1)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 10) logits -> the digit and each digit's probability."""
        probabilities = outputs.softmax(dim=-1)
        each = {f"p{name}": probabilities[:, number] for number, name in enumerate(CLASSES)}
        return {"digit": probabilities.argmax(dim=-1), **each}
