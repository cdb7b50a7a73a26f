"""Network: a line in tokens in, a score for each kind out, by way of a transformers model from a saved state."""

from pathlib import Path
from typing import final

from torch import Tensor, nn
from transformers import AutoModel

from .data import KINDS
from .engine.errors import RunError


@final
class Network(nn.Module):
    """A pretrained encoder, and a linear layer on the mean of what it says of each token: tokens -> (batch, 2) logits.

    Args:
        encoder: folder of a model, as `save_pretrained` and `hf download` leave it. Its weights are those with which a
            training begins. Afterwards, the weights are in the checkpoint, and those in the folder do not count.
    """

    def __init__(self, encoder: str) -> None:
        super().__init__()
        if not Path(encoder, "config.json").exists():
            raise RunError(f"there is no transformers model in {encoder}", "--model.network.encoder FOLDER")
        self.encoder = AutoModel.from_pretrained(encoder, local_files_only=True)
        self.encoder.train()  # it comes without dropout, as for evaluation
        self.head = nn.Linear(self.encoder.config.hidden_size, len(KINDS))

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        states = self.encoder(**tokens).last_hidden_state
        is_text = tokens["attention_mask"].unsqueeze(-1)  # and not padding
        return self.head((states * is_text).sum(dim=1) / is_text.sum(dim=1))
