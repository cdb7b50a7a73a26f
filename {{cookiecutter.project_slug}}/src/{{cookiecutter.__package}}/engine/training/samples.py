"""What can be said of a batch, whatever it consists of: how many samples it has, and whether it equals another."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import RunError

INDICES = (torch.int64, torch.int32)  # what an embedding takes


def count_samples(batch: Any) -> int:
    """The length of a batch's first tensor, wherever that is in dicts, lists, tuples and dataclasses.

    Raises:
        RunError: if no tensor in the batch has a dimension.
    """
    for tensor in tensors_of(batch):
        return len(tensor)
    raise RunError(
        "a batch has no tensor whose length would tell how many samples it has",
        "a dimension for the samples, the first of each tensor",
    )


def size_of(batch: Any) -> tuple[int, int]:
    """How many samples and tokens a batch has, (0, 0) if no tensor tells: counted at each step, in a microsecond.

    Tokens are the entries of the first tensor if that holds integers in two dimensions, (samples, length) int64 or
    int32: padding counts. Other batches have none.
    """
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch  # where most batches have it
    if not (isinstance(first, Tensor) and first.ndim):
        first = next(tensors_of(batch), None)
    if first is None:
        return 0, 0
    return len(first), first.numel() if first.ndim == 2 and first.dtype in INDICES else 0


def possible_counts(batch: Any) -> set[int]:
    """How many samples a batch may have, as far as its tensors agree; empty if they do not, or there are none."""
    lengths = {len(tensor) for tensor in tensors_of(batch)}
    if len(lengths) != 1:
        return set()
    # A list of pictures of several sizes has a sample in each, and the length of each is its number of channels.
    return lengths | {len(part) for part in parts_of(batch) if is_list_of_pictures(part)}


def is_list_of_pictures(part: Any) -> bool:
    return isinstance(part, list | tuple) and all(isinstance(entry, Tensor) and entry.ndim == 3 for entry in part)


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """The tensors of a batch that have a dimension, in order."""
    yield from (part for part in parts_of(batch) if isinstance(part, Tensor) and part.ndim)


def parts_of(batch: Any) -> Iterator[Any]:
    """A batch and all that is in its dicts, lists, tuples and dataclasses, in order."""
    yield batch
    if dataclasses.is_dataclass(batch):
        batch = vars(batch)
    for part in batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ():
        yield from parts_of(part)


def same(one: Any, other: Any) -> bool:
    """Whether two batches hold the same numbers and text; objects of other kinds are not looked into."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor | np.ndarray):
        return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return not isinstance(one, int | float | complex | str | bytes) or one == other or one != one
