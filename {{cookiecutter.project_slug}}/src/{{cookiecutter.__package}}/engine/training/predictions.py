"""predictions.pt: what `predict` answers, in the order of the data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..devices.processes import gather
from ..errors import RunError

FILE = "predictions.pt"


class SavePredictions(pl.Callback):
    """Keeps the predictions in the run folder: what `predict_step` returns, for all batches and processes together.

    That may be a tensor, a list, or dicts and tuples of these, with an entry for each sample. Nothing is written where
    a model returns nothing.
    """

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if len(trainer.num_predict_batches) > 1:
            raise RunError("predict keeps the answers for one loader; have predict_dataloader return one")
        batches = [to_cpu(batch) for batch in trainer.predict_loop.predictions if batch is not None]
        # Each process has a share of every batch, so there are equally many shares.
        shares = gather(batches)
        if trainer.is_global_zero and batches:
            in_order = [interleave(parts) for parts in zip(*shares, strict=True)]
            torch.save(concatenate(in_order), Path(trainer.default_root_dir, FILE))


def to_cpu(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: to_cpu(value) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(map(to_cpu, batch))
    if not isinstance(batch, Tensor | list) or (isinstance(batch, Tensor) and batch.ndim == 0):
        raise RunError(
            f"predict_step returned a {type(batch).__name__} that has no entry for each sample; return a tensor or a"
            " list that has, or a dict or tuple of these"
        )
    return batch.cpu() if isinstance(batch, Tensor) else batch


def interleave(shares: Sequence[Any]) -> Any:
    """A batch as it was before batches.py dealt it out, one sample after the other, to so many processes."""
    if isinstance(shares[0], dict):
        return {key: interleave([share[key] for share in shares]) for key in shares[0]}
    if isinstance(shares[0], tuple):
        return tuple(interleave(parts) for parts in zip(*shares, strict=True))
    samples = sum(map(len, shares))
    batch: Any = [None] * samples
    if isinstance(shares[0], Tensor):
        batch = shares[0].new_empty(samples, *shares[0].shape[1:])
    for rank, share in enumerate(shares):
        batch[rank :: len(shares)] = share
    return batch


def concatenate(batches: Sequence[Any]) -> Any:
    if isinstance(batches[0], dict):
        return {key: concatenate([batch[key] for batch in batches]) for key in batches[0]}
    if isinstance(batches[0], tuple):
        return tuple(concatenate(parts) for parts in zip(*batches, strict=True))
    if isinstance(batches[0], Tensor):
        return torch.cat(list(batches))
    return [entry for batch in batches for entry in batch]
