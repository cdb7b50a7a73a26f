"""A loader for data without a length or an index, which goes on in the middle of an epoch as Batches does."""

import copy
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

from torch.utils.data import IterableDataset, default_collate, get_worker_info
from torch.utils.data._utils import worker as torch_worker

from ..devices.processes import rank_and_world_size
from ..errors import RunError, require
from . import random_streams
from .batches import (
    STREAM_LOADING,
    STREAM_USING,
    is_first_worker,
    loader_of,
    refuse_empty_shares,
    refuse_unloadable,
    tell_not_repeated,
)
from .samples import same

NOT_OURS_TO_GIVE = {"batch_size", "shuffle", "sampler", "batch_sampler", "generator", "drop_last", "collate_fn"}
COMPARED = 8  # samples of which to judge whether they repeat
STREAM_READING = 2  # beside those for loading and using a batch


class Stream:
    """Batches of an iterable of any length: shards, a data base's answer, what a generator makes.

    An epoch is a number of batches, and the next one goes on where it ended. When the iterable is exhausted, it is read
    anew. Each batch is shared out among the processes of a training as by Batches: every worker of every process reads
    the samples, in the same order, and prepares those that fall to it. So batches are the same for any number of
    workers and processes, and a stopped training goes on exactly, once its samples have been read again to find the
    place. What is read should therefore be cheap, and what is dear, decoding say, belongs in `prepare`.

    The iterable may have one or more of these:

    - `iter_from(number)`, an iterator that begins with that sample of a pass: no sample has to be read again.
    - `part(number, count)`, an iterable of one of so many parts of the data: each worker reads a part of its own and
      nothing else. Then a training goes on with as many processes and workers as it had, or not at all.
    - `set_epoch(number)`, called before each pass.

    What it draws from `random`, NumPy or torch while it is read, to shuffle in a buffer say, follows from the seed and
    the pass. webdataset's `shuffle` draws from a generator seeded by the clock, unless it is given one: rng=random.

    Args:
        samples: the iterable; it need not and must not know of workers and processes.
        batch_size: samples per optimizer step, in all processes together.
        batches_per_epoch: after so many batches come validation and the next epoch.
        num_workers: processes that prepare batches, for each process of the training.
        seed: decides all that is drawn at random while samples are read and prepared, and a batch is used.
        prepare: makes of each sample that is read the one to be used.
        collate_fn: makes a batch of a list of samples; torch's default unless given.
        restart: whether each epoch begins with the first sample again, as validation needs it.
        options: others of DataLoader, such as pin_memory or prefetch_factor.
    """

    def __init__(
        self,
        samples: Iterable[Any],
        batch_size: int,
        batches_per_epoch: int,
        num_workers: int = 0,
        seed: int = 0,
        *,
        prepare: Callable[[Any], Any] | None = None,
        collate_fn: Callable[[list[Any]], Any] = default_collate,
        restart: bool = False,
        **options: Any,
    ) -> None:
        refuse_unloadable(batch_size, num_workers, seed)
        require(batches_per_epoch=batches_per_epoch, at_least=1)
        if hasattr(samples, "__next__"):
            hint = "an object whose __iter__ begins anew, with yield in it"
            raise RunError(f"Stream was given a {type(samples).__name__}, which can be read only once", hint)
        self.source = StreamedBatches(samples, batch_size, seed, prepare, collate_fn)
        self.batches_per_epoch = batches_per_epoch
        self.restart = restart
        self.loader = loader_of(self.source, num_workers, options, NOT_OURS_TO_GIVE, batch_size=None)
        self.given = 0  # batches since the beginning of the training
        self._first = 0  # the first of this epoch, if a training goes on
        self._running: Iterator[Any] | None = None

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[Any]:
        rank, _ = rank_and_world_size()
        first, self._first = self._first, 0
        if self.restart:
            self.given, self._running = first, None
        for _ in range(first, self.batches_per_epoch):
            if self._running is None:
                self.source.first = self.given
                self._running = iter(self.loader)
            batch = next(self._running)
            random_streams.seed_generators(self.source.seed_of(self.given, rank, STREAM_USING))
            self.given += 1
            yield batch

    def check_repeat(self) -> None:
        """Print a line with the first batch if the samples are others when they are read again."""
        self.source.checks_repeat = True

    def repeat_first_epoch(self) -> None:
        """Have each epoch take the batches of the first one."""
        self.restart = True

    @property
    def parts(self) -> int:
        """In how many parts the data is read; 1 if everybody reads all of it."""
        _, world_size = rank_and_world_size()
        return world_size * max(1, self.loader.num_workers) if hasattr(self.source.samples, "part") else 1

    def state_dict(self) -> dict[str, int]:
        """What Lightning keeps in a checkpoint; loop_state.py takes away the batch that has begun."""
        return {"first": 0, "given": self.given, "batches": len(self), "parts": self.parts}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["parts"] != self.parts:
            raise RunError(
                f"the stream was read in {state['parts']} parts, one for each worker of each process, and has"
                f" {self.parts} now: a training cannot go on in other ones",
                "data.num_workers and the number of processes as they were",
            )
        self._first, self.given = state["first"], state["given"]
        if self.given and not hasattr(self.source.samples, "iter_from") and rank_and_world_size()[0] == 0:
            samples = self.given * self.source.batch_size // self.parts
            print(f"Reads {samples} samples of the stream again, to find the place", file=sys.stderr)


class StreamedBatches(IterableDataset[Any]):
    """Reads samples, and makes batches of those that fall to a worker."""

    def __init__(
        self,
        samples: Any,
        batch_size: int,
        seed: int,
        prepare: Callable[[Any], Any] | None,
        collate_fn: Callable[[list[Any]], Any],
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.prepare = prepare
        self.collate_fn = collate_fn
        self.first = 0
        self.checks_repeat = False

    def __iter__(self) -> Iterator[Any]:
        rank, world_size = rank_and_world_size()
        refuse_empty_shares(self.batch_size, world_size)
        if self.checks_repeat and is_first_worker():
            self._check_repeat()
        worker = get_worker_info()
        workers = worker.num_workers if worker else 1
        # DataLoader asks its workers in turn, the first one first, whichever batch that is.
        numbers = count(self.first + (worker.id if worker else 0), workers)
        # Datasets of others would give each worker a part of what is shared out here.
        torch_worker._worker_info = None
        reading = random_streams.Apart()
        shares: Iterator[list[Any]] | None = None
        for number in numbers:
            with reading:
                shares = shares or self._shares(number, workers, rank, world_size)
                samples = next(shares)
            random_streams.seed_generators(self.seed_of(number, rank, STREAM_LOADING))
            yield self.collate_fn([self.prepare(sample) for sample in samples] if self.prepare else samples)

    def _check_repeat(self) -> None:
        """Print a line if two copies of the samples, read with the same seeds, do not begin alike."""
        begins = []
        for _ in range(2):
            with random_streams.Apart():
                # Copies, since some count how often they are read.
                begins.append(list(islice(copy.deepcopy(self).read(0), COMPARED)))
        if not same(*begins):
            tell_not_repeated(self.samples)

    def _shares(self, number: int, workers: int, rank: int, world_size: int) -> Iterator[list[Any]]:
        """This process's samples of batch `number`, and of each that follows for this worker."""
        size = self.batch_size
        if hasattr(self.samples, "part"):
            share = len(range(rank, size, world_size))
            done, place = divmod(number, workers)
            part = place * world_size + rank
            samples = self.read(done * share, part, workers * world_size)
            while True:
                yield list(islice(samples, share))
        samples = self.read(number * size)
        while True:
            yield list(islice(samples, size))[rank::world_size]
            exhaust(islice(samples, (workers - 1) * size))

    def read(self, skipped: int, part: int = 0, parts: int = 1) -> Iterator[Any]:
        """The samples of a part, one pass after the other, but for the first `skipped` of them all."""
        for number in count():
            random_streams.seed_cpu_generators(self.seed_of(number, part, STREAM_READING))
            samples = self.samples.part(part, parts) if hasattr(self.samples, "part") else self.samples
            if hasattr(samples, "set_epoch"):
                samples.set_epoch(number)
            length = len(samples) if hasattr(samples, "__len__") else math.inf
            begin = min(skipped, length) if hasattr(samples, "iter_from") else 0
            place = begin
            for sample in samples.iter_from(begin) if hasattr(samples, "iter_from") else samples:
                place += 1
                if place > skipped:
                    yield sample
            if place == begin and (begin < length or not length):
                hint = "give it a length, __len__" if begin else "look at the data"
                raise RunError(f"{type(samples).__name__} gives no samples from number {begin} on", hint)
            skipped = max(0, skipped - int(place))

    def seed_of(self, number: int, rank: int, stream: int) -> int:
        return hash((self.seed, number, rank, stream)) % 2**63


def exhaust(iterator: Iterator[Any]) -> None:
    deque(iterator, maxlen=0)
