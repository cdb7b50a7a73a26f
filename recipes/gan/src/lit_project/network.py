"""Networks: the generator, noise in and a point out; and the discriminator, a point in and a score out."""

from typing import final

from torch import Tensor, nn

from .data import NOISE


@final
class Generator(nn.Module):
    """Two hidden layers: (batch, 8) noise -> (batch, 2) points."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = [nn.Linear(NOISE, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 2))

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


@final
class Discriminator(nn.Module):
    """Two hidden layers: (batch, 2) points -> (batch, 1), the logit that a point is real."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = [nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points)
