"""Network: pictures in; for each cell of a coarse grid, scores of kinds of objects and the sides of a box out."""

from typing import final

from torch import Tensor, nn

from .data import KINDS

STRIDE = 4  # pixels per cell
GROUPS = 4  # of channels that are normalised together


@final
class Network(nn.Module):
    """Convolutions: (batch, 1, 32, 32) grey levels -> (batch, kinds + 4, 8, 8).

    Logits: whether an object of a kind has its middle in the cell. And the left, top, right and bottom side of its box,
    from the middle of the cell, in cells.

    Args:
        width: channels of the first convolution; the others have twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = convolution(1, width, stride=2), convolution(width, 2 * width, stride=2)
        self.features = nn.Sequential(first, second, convolution(2 * width, 2 * width, stride=1))
        self.head = nn.Conv2d(2 * width, len(KINDS) + 4, kernel_size=1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.features(pictures))


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A normalised 3 x 3 convolution: its stride divides height and width."""
    # Normalised in each picture, not over a batch: the same training for any number of devices.
    norm = nn.GroupNorm(GROUPS, outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), norm, nn.ReLU())
