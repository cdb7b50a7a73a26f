"""Network: small grey pictures in, a score for each class out."""

from typing import final

from torch import Tensor, nn

from .engine.errors import require

CLASSES = 10
SIDE = 8
GROUPS = 4  # of channels that are normalised together


@final
class Network(nn.Module):
    """Three convolutions and a linear head: (batch, 1, 8, 8) grey levels in [0, 1] -> (batch, 10) logits.

    Args:
        width: channels of the first convolution, a multiple of 4; the others have twice as many.
        dropout: fraction of the features that the head does not see in training.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        require(width=width, at_least=1, multiple_of=GROUPS)
        require(dropout=dropout, at_least=0, at_most=1)
        self.features = nn.Sequential(
            convolution(1, width),
            convolution(width, 2 * width),
            nn.MaxPool2d(2),
            convolution(2 * width, 2 * width),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width * (SIDE // 2) ** 2, CLASSES))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.features(pictures))


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """A normalised 3 x 3 convolution: (batch, inputs, height, width) -> (batch, outputs, height, width)."""
    # Normalised in each picture, not over a batch: the same training for any number of devices.
    norm = nn.GroupNorm(GROUPS, outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), norm, nn.ReLU())
