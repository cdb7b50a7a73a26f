"""How many samples a batch has, whatever it consists of."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ..errors import RunError


def count_samples(batch: Any) -> int:
    """The length of a batch's first tensor, wherever that is in dicts, lists, tuples and dataclasses.

    Raises:
        RunError: if no tensor in the batch has a dimension.
    """
    for tensor in tensors_of(batch):
        return len(tensor)
    raise RunError("a batch has no tensor whose length would tell how many samples it has")


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """The tensors of a batch that have a dimension, in order."""
    if isinstance(batch, Tensor):
        if batch.ndim:
            yield batch
        return
    if dataclasses.is_dataclass(batch):
        batch = vars(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    for part in parts:
        yield from tensors_of(part)
