"""Batches whose order and randomness follow from the seed and the position alone, so that a run can go on anywhere.

torch's DataLoader draws them from generators whose state is gone when a process dies, and from each worker's own.
torchdata's StatefulDataLoader (0.11) keeps the order, for the same number of workers, but not what is drawn at random.
Here nothing has to be remembered but the numbers of the epoch and the batch.
"""

import random
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..devices.processes import rank_and_world_size
from ..errors import RunError

Request = tuple[int, list[int]]  # a seed, and the indices of one batch
# Each batch has two seeds, so that what is drawn while it is loaded does not depend on what is drawn while it is used.
STREAM_LOADING, STREAM_USING = 0, 1


class SizedDataset(Protocol):
    """A dataset with a length. One that has `__getitems__` too is asked for a whole batch at once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


class Batches:
    """A DataLoader for datasets with a length, whose next batch can be any batch of any epoch.

    Each batch is shared out among the processes of a training, so all of them together see every sample once an
    epoch. Samples that are too few for one per process join the batch before them. Augmentation that draws random
    numbers in `dataset[i]`, and dropout in the training step, are the same for any number of workers.

    Args:
        dataset: a torch Dataset with a length, or anything else that has items and one.
        batch_size: samples per optimizer step, in all processes together.
        shuffle: a new order each epoch.
        num_workers: processes that load batches, for each process of the training.
        seed: decides the order, and all that is drawn at random while a batch is loaded and used.
    """

    def __init__(self, dataset: SizedDataset, batch_size: int, shuffle: bool, num_workers: int, seed: int) -> None:
        self.batch_sampler = SeededBatchSampler(len(dataset), batch_size, shuffle, seed)
        self.loader = DataLoader(
            SeededDataset(dataset),
            batch_sampler=self.batch_sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # so that starting workers draws nothing from the training's own generator
        )

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        # Lightning makes iterators before it sets the epoch; a generator reads it only with its first batch.
        rank, _ = rank_and_world_size()
        for number, batch in enumerate(self.loader, start=self.batch_sampler.first):
            seed_generators(self.batch_sampler.seed_of(number, rank, STREAM_USING))
            yield batch

    def state_dict(self) -> dict[str, int]:
        """What Lightning keeps in a checkpoint: the batch to begin with, and how many there are.

        Because of these two methods, Lightning knows that the loader can begin in the middle of an epoch. The position
        is filled in by loop_state.py, which knows what the training has finished.
        """
        return {"first": 0, "batches": len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.batch_sampler.first = state["first"]


class SeededBatchSampler(Sampler[Any]):
    """The indices of each batch of one epoch, from batch `first` on: as many as fall to this process."""

    def __init__(self, samples: int, batch_size: int, shuffle: bool, seed: int) -> None:
        super().__init__()
        self.samples = samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.first = 0

    @property
    def sampler(self) -> "SeededBatchSampler":
        """Itself, because Lightning sets the epoch of a loader's batch_sampler.sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        _, world_size = rank_and_world_size()
        if self.batch_size < world_size:
            raise RunError(f"data.batch_size is {self.batch_size}: less than one sample a process, of {world_size}")
        full, rest = divmod(self.samples, self.batch_size)
        return full + (rest >= world_size or (rest > 0 and full == 0))

    def __iter__(self) -> Iterator[Request]:
        rank, world_size = rank_and_world_size()
        # Only the first epoch after a resume begins in its middle.
        (first, self.first), last = (self.first, 0), len(self) - 1
        # A range or an array takes eight bytes a sample at most; a list would take 36.
        order: Any = range(self.samples)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = torch.randperm(self.samples, generator=generator).numpy()
        for number in range(first, last + 1):
            end = self.samples if number == last else (number + 1) * self.batch_size
            share = order[number * self.batch_size + rank : end : world_size]
            yield self.seed_of(number, rank, STREAM_LOADING), [int(index) for index in share]

    def seed_of(self, number: int, rank: int, stream: int) -> int:
        """A seed for one batch in one process. Python's hash of integers is the same everywhere, and spreads well."""
        return hash((self.seed, self.epoch, number, rank, stream)) % 2**63


class SeededDataset(Dataset[Any]):
    """Loads each batch with random generators that are seeded for it."""

    def __init__(self, dataset: SizedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, request: Request) -> list[Any]:
        seed, indices = request
        seed_generators(seed)
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(indices)
        return [self.dataset[index] for index in indices]


def seed_generators(seed: int) -> None:
    """Seed Python, NumPy and torch, faster than torch.manual_seed, which also prepares devices that are not used."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
