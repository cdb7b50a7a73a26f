"""Objective: what a good prediction is. Here: the right class, and the same answer as the teacher's."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .data import UNLABELED
from .engine.training.analysis import ConfusionMatrix, PerClass
from .network import CLASSES


@final
class Objective(nn.Module):
    """Cross-entropy where a class is known, and the distance to the teacher everywhere, in nats.

    The distance is the negative logarithm of a normal density whose variance is learned, so that its weight need not
    be tuned (Kendall et al. 2018, https://arxiv.org/abs/1705.07115).

    Args:
        consistency: weight of the distance to the teacher; 0 learns from the labels alone.
    """

    task = "image-classification"  # in Hugging Face's words, for the card of an export

    def __init__(self, consistency: float) -> None:
        super().__init__()
        self.consistency = consistency
        self.log_variance = nn.Parameter(torch.zeros(1))  # not a scalar, which FSDP2 cannot shard

    def forward(self, outputs: Tensor, targets: Tensor, taught: Tensor | None = None) -> Tensor:
        """The loss: (batch, 10) logits, (batch,) int64 classes, in training the teacher's logits too -> a scalar."""
        # A mean over all samples, labeled or not: then the losses of several processes add up to that of one.
        loss = F.cross_entropy(outputs, targets, ignore_index=UNLABELED, reduction="sum") / len(targets)
        if taught is None:
            return loss
        distance = F.mse_loss(outputs.softmax(dim=-1), taught.softmax(dim=-1))
        return loss + self.consistency * (distance / self.log_variance.exp() + self.log_variance).sum() / 2

    def metrics(self) -> MetricCollection:
        """Accuracy: the share of the labeled pictures that are classified rightly."""
        return MetricCollection({"accuracy": MulticlassAccuracy(CLASSES, average="micro", ignore_index=UNLABELED)})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the probabilities, (batch, 10), and the classes.

        With two classes too, give them probabilities. torchmetrics' binary metrics decide for each batch anew whether
        they see logits, and take a batch of logits within [0, 1] for probabilities: AUROC 0.25 where 1.0 is right.
        """
        metrics.update(outputs.softmax(dim=-1), targets)

    def analysis(self) -> MetricCollection:
        """What `test` and `validate` keep as tables and pictures; it sees what the metrics see."""
        return MetricCollection({"confusion": ConfusionMatrix(CLASSES), "per_class": PerClass(CLASSES)})

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, 10) logits -> (batch,) int64, the likeliest class."""
        return outputs.argmax(dim=-1)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, 10) logits -> the digit and each digit's probability."""
        probabilities = outputs.softmax(dim=-1)
        each = {f"p{digit}": probabilities[:, digit] for digit in range(CLASSES)}
        return {"digit": probabilities.argmax(dim=-1), **each}
