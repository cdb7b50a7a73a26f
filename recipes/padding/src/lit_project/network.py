"""Network: sequences of tokens with a mask in, a score for each out."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .data import TOKENS


@final
class Network(nn.Module):
    """Attention from the first token to all: (batch, length) int64 and a mask -> (batch,) logits.

    What stands where the bool mask is False, and how often it is, has no influence.

    Args:
        width: of the embedding, and of what is said of the place of each token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.key = nn.Linear(width, width)
        self.place = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        # A share of the sequence's own length: as one of the padded length, it would depend on the other sequences.
        places = torch.arange(tokens.shape[1], device=tokens.device) / mask.sum(dim=1, keepdim=True)
        keys, values = self.key(self.embedding(tokens)), self.place(places.unsqueeze(2))
        query, keys, values = (part.unsqueeze(1) for part in (keys[:, :1], keys, values))  # one head, which ONNX needs
        attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask[:, None, None])
        return self.head(attended).flatten()
