"""What a good prediction is: a high probability for the right class."""

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .network import CLASSES


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy: (batch, 10) logits and (batch,) int64 classes -> a scalar, in nats."""
    return F.cross_entropy(outputs, targets)


def metrics() -> MetricCollection:
    """Accuracy: the share of all pictures that are classified rightly."""
    return MetricCollection({"accuracy": MulticlassAccuracy(CLASSES, average="micro")})


def prediction(outputs: Tensor) -> Tensor:
    """The answer to give: (batch, 10) logits -> (batch,) int64, the likeliest class."""
    return outputs.argmax(dim=-1)
