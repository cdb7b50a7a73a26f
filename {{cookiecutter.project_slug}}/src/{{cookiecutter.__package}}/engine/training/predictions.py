"""predictions.pt: what `predict` answers, in the order of the data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..devices.processes import gather
from ..errors import RunError
from .answers import answer_to, layout_of, plain
from .sets import set_names

FILE = "predictions.pt"


class SavePredictions(pl.Callback):
    """Keeps the predictions in the run folder: what `predict_step` returns, for all batches and processes together.

    That is a tensor or a list with an entry for each sample, or dicts, tuples and dataclasses of these, which are kept
    as dicts and tuples. The tensors of all batches become one, or a list with a tensor for each sample if batches
    differ in shape or dtype. With a dict of loaders, the file is a dict of the predictions for each, with a list of
    loaders a list. Nothing is written where a model returns nothing.
    """

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.names = set_names(trainer.predict_dataloaders, len(trainer.num_predict_batches))
        self.layouts: dict[int, Any] = {}

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Refuse what cannot be kept as soon as it is there, not after the work of all batches."""
        if outputs is None:
            return
        layout = layout_of(answer_to(batch, outputs))
        expected = self.layouts.setdefault(dataloader_idx, layout)
        if layout != expected:
            raise RunError(f"predict_step returned {layout} for batch {batch_idx}, and {expected} before")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        predictions = trainer.predict_loop.predictions
        of_sets = [join(batches) for batches in (predictions if len(self.names) > 1 else [predictions])]
        if not trainer.is_global_zero or all(answer is None for answer in of_sets):
            return
        whole: Any = of_sets if len(of_sets) > 1 else of_sets[0]
        if isinstance(trainer.predict_dataloaders, Mapping):
            whole = dict(zip(self.names, of_sets, strict=True))
        torch.save(whole, Path(trainer.default_root_dir, FILE))


def join(batches: Sequence[Any]) -> Any:
    """The answers of all processes to all batches as one, in the order of the data; None if there are none."""
    answers = [None if batch is None else plain(batch) for batch in batches]
    # Each process has a share of every batch, so there are equally many shares.
    in_shares = [shares for shares in zip(*gather(answers), strict=True) if set(map(type, shares)) != {type(None)}]
    for shares in in_shares:
        layouts = [layout_of(share) for share in shares]
        if any(layout != layout_of(in_shares[0][0]) for layout in layouts):
            raise RunError(f"predict_step returned other parts in other processes, for one batch {layouts}")
    return concatenate(in_shares) if in_shares else None


def concatenate(batches: Sequence[Sequence[Any]]) -> Any:
    """Batches, each in the shares of the processes, as one."""
    first = batches[0][0]
    if isinstance(first, dict | tuple):
        keys = first if isinstance(first, dict) else range(len(first))
        parts = {key: concatenate([[share[key] for share in shares] for shares in batches]) for key in keys}
        return parts if isinstance(first, dict) else tuple(parts.values())
    in_order = [interleave(shares) for shares in batches]
    if fit_together(in_order):
        return torch.cat(in_order)
    return [entry for batch in in_order for entry in batch]


def interleave(shares: Sequence[Any]) -> Any:
    """A batch as it was before batches.py dealt it out, one sample after the other, to so many processes."""
    if len(shares) == 1:
        return shares[0]
    samples = sum(map(len, shares))
    batch: Any = [None] * samples
    if fit_together(shares):
        batch = shares[0].new_empty(samples, *shares[0].shape[1:])
    for rank, share in enumerate(shares):
        batch[rank :: len(shares)] = share
    return batch


def fit_together(parts: Sequence[Any]) -> bool:
    """Whether these are tensors that differ in their number of samples alone."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    return len(tensors) == len(parts) and len({(tensor.shape[1:], tensor.dtype) for tensor in tensors}) == 1
