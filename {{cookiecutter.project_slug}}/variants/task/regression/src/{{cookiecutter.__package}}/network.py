"""Network: features in, one number out."""

from typing import final

from torch import Tensor, nn

from .engine.errors import RunError, require


@final
class Network(nn.Module):
    """A line, or with hidden layers a multilayer perceptron: (batch, features) -> (batch, 1), float32.

    Args:
        features: numbers per row.
        hidden: width of each hidden layer; with none, this is linear regression.
    """

    def __init__(self, features: int, hidden: list[int]) -> None:
        super().__init__()
        require(features=features, hidden=hidden, at_least=1)
        self.features = features
        self.layers = nn.Sequential()
        for width in hidden:
            self.layers.extend([nn.Linear(features, width), nn.ReLU()])
            features = width
        self.layers.append(nn.Linear(features, 1))

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[-1] != self.features:
            raise RunError(f"model.network.features is {self.features}, and a row has {features.shape[-1]}")
        return self.layers(features)
