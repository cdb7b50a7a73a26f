"""Random generators that are seeded for one batch: Python's, NumPy's, torch's, and one for data sets to draw from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..errors import RunError

_seed: int | None = None
_generator: np.random.Generator | None = None


def seed_generators(seed: int) -> None:
    """Seed Python, NumPy and torch, faster than torch.manual_seed, which also prepares devices that are not used."""
    seed_cpu_generators(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


def seed_cpu_generators(seed: int) -> None:
    global _seed, _generator
    _seed, _generator = seed, None
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)


def batch_generator() -> np.random.Generator:
    """NumPy's recommended generator, seeded for the batch that is being loaded or used: the same on any worker.

    A dataset asks for it in each `__getitem__`, instead of keeping a `numpy.random.default_rng()` of its own.

    Raises:
        RunError: where no batch has been begun, as in `setup`; use numpy.random.default_rng(seed) there.
    """
    global _generator
    if _seed is None:
        raise RunError(
            "batch_generator() was asked for outside of a batch", "numpy.random.default_rng(seed), with a fixed seed"
        )
    if _generator is None:
        _generator = np.random.default_rng(_seed)
    return _generator


State = tuple[Any, ...]


class Apart:
    """A context whose generators go on where its last use left them, apart from those outside."""

    def __init__(self) -> None:
        self._inside = get_state()

    def __enter__(self) -> None:
        self._outside = get_state()
        set_state(self._inside)

    def __exit__(self, *error: object) -> None:
        self._inside = get_state()
        set_state(self._outside)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of the CPU for a while; those outside go on as if nothing had been drawn."""
    with Apart():
        seed_cpu_generators(seed)
        yield


def get_state() -> State:
    """Where the generators of the CPU are."""
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state(), _seed, _generator


def set_state(state: State) -> None:
    global _seed, _generator
    python, numpy, cpu, _seed, _generator = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.default_generator.set_state(cpu)
