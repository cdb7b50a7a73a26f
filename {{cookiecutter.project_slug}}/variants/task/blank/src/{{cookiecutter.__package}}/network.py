"""Network: tensors in, tensors out. Here: one layer."""

from typing import final

from torch import Tensor, nn

from .data import FEATURES


@final
class Network(nn.Module):
    """A linear map: (batch, 4) -> (batch, 1), float32.

    Args:
        bias: whether a constant is added.
    """

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 1, bias=bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)
