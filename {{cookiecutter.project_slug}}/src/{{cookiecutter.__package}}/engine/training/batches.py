"""Batches whose order and randomness follow from the seed and the position alone, so that a run can go on anywhere.

torch's DataLoader draws them from generators whose state is gone when a process dies, and from each worker's own.
torchdata's StatefulDataLoader (0.11) keeps the order, for the same number of workers, but not what is drawn at random.
Here nothing has to be remembered but the numbers of the epoch and the batch.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset, TensorDataset, get_worker_info

from ..devices.processes import rank_and_world_size
from ..errors import RunError, require
from .random_streams import seed_generators, seeded
from .samples import same

Request = tuple[int, list[int]]  # a seed, and the indices of one batch
Order = Callable[[int, torch.Generator], "Sequence[int] | Tensor | np.ndarray[Any, Any]"]
# Each batch has two seeds, so that what is drawn while it is loaded does not depend on what is drawn while it is used.
STREAM_LOADING, STREAM_USING = 0, 1
# torch takes seeds of 64 bits, and adds the number of the epoch.
SEEDS = 2**63
# Passes over a loader within one epoch have seeds of their own, of epochs that no training reaches.
EPOCHS = 2**24  # torch looks at 32 bits of a seed
# Options of DataLoader that would take the order of the batches out of our hands.
NOT_OURS_TO_GIVE = {"batch_size", "shuffle", "sampler", "batch_sampler", "generator"}


class SizedDataset(Protocol):
    """A dataset with a length. One that has `__getitems__` too is asked for all samples of a batch at once.

    One that has a method `batch(indices)` is asked for the batch itself, which saves collating it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


class Batches:
    """A DataLoader for datasets with a length, whose next batch can be any batch of any epoch.

    Each batch is shared out among the processes of a training, so all of them together see every sample once an
    epoch. Samples that are too few for one per process join the batch before them. Augmentation that draws random
    numbers in `dataset[i]`, and dropout in the training step, are the same for any number of workers: what Python's
    random, NumPy's global generator, torch and `batch_generator()` draw. A generator that a dataset keeps, such as
    `numpy.random.default_rng()`, is not: it goes its own way in each worker.

    Args:
        dataset: a torch Dataset with a length, or anything else that has items and one.
        batch_size: samples per optimizer step, in all processes together.
        shuffle: a new order each epoch.
        num_workers: processes that load batches, for each process of the training.
        seed: decides the order, and all that is drawn at random while a batch is loaded and used.
        order: instead of `shuffle`, gives the samples of an epoch in their order, from the number of the epoch and a
            generator that is seeded for it. Indices may repeat or be left out, and be as many in each epoch: for
            weighted or balanced sampling, batches of similar length, or a curriculum.
        drop_last: whether an incomplete last batch is left out.
        options: others of DataLoader, such as collate_fn, pin_memory or prefetch_factor.

    Raises:
        RunError: for an option of DataLoader that decides the order, a number out of bounds, or an empty dataset.
    """

    def __init__(
        self,
        dataset: SizedDataset,
        batch_size: int,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        *,
        order: Order | None = None,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        if shuffle and order:
            raise RunError("Batches has both shuffle and an order", "order alone; it has a generator to shuffle with")
        refuse_unloadable(batch_size, num_workers, seed)
        if not len(dataset):
            raise RunError(f"{type(dataset).__name__} has no samples", "look at the data, and at how it is split")
        in_order = shuffled(len(dataset)) if shuffle else unshuffled(len(dataset))
        in_order = repeatable(order) if order else in_order
        self.batch_sampler = SeededBatchSampler(in_order, batch_size, drop_last, seed, None if order else len(dataset))
        collated = "collate_fn" not in options and gives_batches(dataset)
        options |= {"collate_fn": unchanged} if collated else {}
        self.loader = loader_of(
            SeededDataset(dataset, collated), num_workers, options, NOT_OURS_TO_GIVE, batch_sampler=self.batch_sampler
        )

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        # Lightning makes iterators before it sets the epoch; a generator reads it only with its first batch.
        sampler = self.batch_sampler
        rank, _ = rank_and_world_size()
        if sampler.begin:
            sampler.lap, sampler.first = sampler.begin
        sampler.begin = None  # only the first pass after a resume begins in its middle
        for number, batch in enumerate(self.loader, start=sampler.first):
            seed_generators(sampler.seed_of(number, rank, STREAM_USING))
            yield batch
        sampler.lap, sampler.first = sampler.lap + 1, 0

    def state_dict(self) -> dict[str, int]:
        """What Lightning keeps in a checkpoint: the batch to begin with, and how many there are.

        Because of these two methods, Lightning knows that the loader can begin in the middle of an epoch. The position
        is filled in by loop_state.py, which knows what the training has finished.
        """
        return {"first": 0, "lap": 0, "batches": len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.batch_sampler.begin = state.get("lap", 0), state["first"]

    def check_repeat(self) -> None:
        """Print a line with the first batch if the dataset does not give the same when it is asked for it again."""
        self.loader.dataset.checks_repeat = True  # type: ignore[attr-defined] # a SeededDataset

    def repeat_first_epoch(self) -> None:
        """Have each epoch take the batches of the first one."""
        indices = self.batch_sampler.indices()
        self.batch_sampler.order = lambda epoch, generator: indices


def refuse_unloadable(batch_size: int, num_workers: int, seed: int) -> None:
    """Raise RunError for numbers that no loader can take; a DataModule may do so before it prepares anything."""
    require(batch_size=batch_size, at_least=1)
    require(num_workers=num_workers, at_least=0)
    require(seed=seed, at_least=0, below=SEEDS)


def loader_of(
    dataset: Dataset[Any], num_workers: int, options: dict[str, Any], refused: set[str], **ours: Any
) -> DataLoader[Any]:
    """A DataLoader with a team's options; RunError for those that would decide the order."""
    if unwanted := sorted(options.keys() & refused):
        raise RunError(f"{unwanted[0]} is decided by the loader that it was given to", "order, batch_size or seed")
    defaults = {"persistent_workers": num_workers > 0, "pin_memory": torch.cuda.is_available()}
    generator = torch.Generator()  # so that starting workers draws nothing from the training's own generator
    return DataLoader(dataset, num_workers=num_workers, generator=generator, **{**defaults, **options, **ours})


def gives_batches(dataset: object) -> bool:
    """Whether a dataset can give a batch as a whole: by a method of its own, or because its tensors lie in memory."""
    if type(dataset) is Subset:
        return gives_batches(dataset.dataset)
    return type(dataset) is TensorDataset or hasattr(dataset, "batch")


def batch_of(dataset: Any, indices: list[int]) -> Any:
    """The batch with these samples, from a dataset that can give it as a whole."""
    if type(dataset) is Subset:
        return batch_of(dataset.dataset, chosen(dataset.indices, indices))
    if type(dataset) is TensorDataset:
        places = torch.tensor(indices)  # once, and not for each of its tensors
        return [tensor[places] for tensor in dataset.tensors]
    return dataset.batch(indices)


def chosen(numbers: Any, places: list[int]) -> list[int]:
    """The numbers in these places of a list, a tensor or an array."""
    if isinstance(numbers, Tensor | np.ndarray):
        return cast(list[int], numbers[places].tolist())
    return [numbers[place] for place in places]


def unchanged(batch: Any) -> Any:
    return batch


def shuffled(samples: int) -> Order:
    return lambda epoch, generator: torch.randperm(samples, generator=generator)


def unshuffled(samples: int) -> Order:
    return lambda epoch, generator: range(samples)


def repeatable(order: Order) -> Order:
    """A team's order, which may draw from other generators than its own."""

    def seeded_order(epoch: int, generator: torch.Generator) -> Any:
        with seeded(generator.initial_seed()):
            return order(epoch, generator)

    return seeded_order


def refuse_empty_shares(batch_size: int, world_size: int) -> None:
    if batch_size < world_size:
        raise RunError(
            f"data.batch_size is {batch_size}: less than one sample a process, of {world_size}",
            f"--data.batch_size {world_size}, or more: it counts the samples of all processes",
        )


def tell_not_repeated(dataset: object) -> None:
    print(
        f"{type(dataset).__name__} gives other samples when it is asked again: a training that is stopped goes on with"
        " other ones than it would have had. Draw from batch_generator() in engine/training/random_streams.py, or from"
        " random, instead of a generator of your own",
        file=sys.stderr,
        flush=True,
    )


def is_first_worker() -> bool:
    """Whether this is the process that loads the first batch of all."""
    worker = get_worker_info()
    return rank_and_world_size()[0] == 0 and (worker is None or worker.id == 0)


class SeededBatchSampler(Sampler[Any]):
    """The indices of each batch of one pass, from batch `first` on: as many as fall to this process.

    Args:
        order: gives the samples of an epoch in their order.
        batch_size: samples per optimizer step, in all processes together.
        drop_last: whether an incomplete last batch is left out.
        seed: seeds the order's generator, with the epoch.
        samples: how many an epoch has; None to count them in the order of the first one.
    """

    def __init__(self, order: Order, batch_size: int, drop_last: bool, seed: int, samples: int | None = None) -> None:
        super().__init__()
        self.order = order
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self.lap = 0  # the number of this pass within its epoch: beside a longer loader, there may be several
        self.first = 0
        self.begin: tuple[int, int] | None = None  # the lap and the batch with which a resumed training goes on
        self._samples = samples

    @property
    def sampler(self) -> "SeededBatchSampler":
        """Itself, because Lightning sets the epoch of a loader's batch_sampler.sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.lap, self.first = epoch, 0, 0

    @property
    def samples(self) -> int:
        """How many samples an epoch has."""
        if self._samples is None:
            self._samples = len(self.indices())
        return self._samples

    def __len__(self) -> int:
        _, world_size = rank_and_world_size()
        refuse_empty_shares(self.batch_size, world_size)
        full, rest = divmod(self.samples, self.batch_size)
        if self.drop_last:
            if not full:
                raise RunError(
                    f"drop_last leaves no batch of {self.batch_size} from {self.samples} samples",
                    "a smaller data.batch_size, or drop_last=False",
                )
            return full
        return full + (rest >= world_size or (rest > 0 and full == 0))

    def __iter__(self) -> Iterator[Request]:
        rank, world_size = rank_and_world_size()
        order, last = self.indices(), len(self) - 1
        if len(order) != self.samples:
            raise RunError(f"order gives {len(order)} samples in epoch {self.epoch}, and gave {self.samples} before")
        for number in range(self.first, last + 1):
            ends_here = number == last and not self.drop_last
            end = self.samples if ends_here else (number + 1) * self.batch_size
            share = order[number * self.batch_size + rank : end : world_size]
            yield self.seed_of(number, rank, STREAM_LOADING), [int(index) for index in share]

    def indices(self) -> Any:
        """The samples of this pass in order; as an array, of eight bytes each, where a list would take 36."""
        epoch = self.epoch + self.lap * EPOCHS
        order = self.order(self.epoch, torch.Generator().manual_seed(self.seed + epoch))
        return order if isinstance(order, range) else np.asarray(order)

    def seed_of(self, number: int, rank: int, stream: int) -> int:
        """A seed for one batch in one process. Python's hash of integers is the same everywhere, and spreads well."""
        return hash((self.seed, self.epoch + self.lap * EPOCHS, number, rank, stream)) % 2**63


class SeededDataset(Dataset[Any]):
    """Loads each batch with random generators that are seeded for it.

    Args:
        dataset: where the samples come from.
        collated: whether it gives batches as a whole.

    Attributes:
        checks_repeat: whether the first batch is loaded twice, and a line printed if the two differ.
    """

    def __init__(self, dataset: SizedDataset, collated: bool) -> None:
        self.dataset = dataset
        self.collated = collated
        self.checks_repeat = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, request: Request) -> Any:
        """The samples of a batch, or the batch itself."""
        samples = self._load(*request)
        # Here, in the worker: a dataset may open its files with the first batch, and no process may share them.
        if self.checks_repeat and is_first_worker():
            self.checks_repeat = False
            if not same(self._load(*request), samples):
                tell_not_repeated(self.dataset)
        return samples

    def _load(self, seed: int, indices: list[int]) -> Any:
        seed_generators(seed)
        if self.collated:
            return batch_of(self.dataset, indices)
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(indices)
        return [self.dataset[index] for index in indices]
