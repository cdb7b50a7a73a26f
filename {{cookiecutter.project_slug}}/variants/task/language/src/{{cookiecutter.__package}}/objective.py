"""Objective: what a good prediction is. Here: few bits to write down the byte that came next."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection

from .engine.training.mean import Mean


@final
class Objective(nn.Module):
    """Cross-entropy, in nats per byte."""

    task = "text-generation"  # in Hugging Face's words, for the card of an export
    # With --preset compile: a large vocabulary makes the loss a large part of a step.
    compiles = True

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss: (batch, time, vocabulary) logits and (batch, time) int64 bytes -> a scalar."""
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def metrics(self) -> MetricCollection:
        """Bits per byte: what an ideal coder would need; 8 for a uniform guess, lower is better."""
        return MetricCollection({"bits_per_byte": Mean()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """What the metrics see of a batch: the loss in bits, and the number of bytes of which it is the mean."""
        metrics.update(loss / math.log(2), weight=targets.numel())

    def prediction(self, outputs: Tensor) -> Tensor:
        """The answer to give: (batch, time, vocabulary) logits -> (batch, time) int64, the likeliest next byte."""
        return outputs.argmax(dim=-1)

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What the network says of a text's next byte: (batch, time, vocabulary) logits -> two of (batch,)."""
        probability, byte = outputs[:, -1].softmax(dim=-1).max(dim=-1)
        return {"byte": byte, "probability": probability}

    def scores(self, outputs: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """For `predict --input`, of each window of a file: how many bytes were predicted, and the bits they need.

        Args:
            outputs: (windows, time, vocabulary) logits.
            tokens: (windows, time) int64 bytes that they were computed from.
        """
        nats = F.cross_entropy(outputs[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        bits = nats.view(len(tokens), -1).sum(dim=1) / math.log(2)
        return {"bytes": torch.full_like(bits, tokens.shape[1] - 1, dtype=torch.int64), "bits": bits}

    def summary(self, scores: dict[str, Tensor]) -> dict[str, float]:
        """What `predict --input` writes of a file, by column, from the scores of all its windows."""
        predicted = int(scores["bytes"].sum())
        return {"bytes": predicted + 1, "bits_per_byte": float(scores["bits"].double().sum()) / predicted}
