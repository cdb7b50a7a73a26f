"""DataModule: where batches come from. Here: made-up sequences of differing length, until `setup` reads yours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .engine.training.batches import Batches, Order
from .engine.training.inputs import Inputs, rows_of

TOKENS = 20
LENGTHS = (8, 256)  # short ones are more frequent: the logarithm of the length is uniform


class Sample(TypedDict):
    id: str
    tokens: Tensor  # (length,) int64
    target: Tensor  # float32, 0 or 1


class Batch(TypedDict):
    tokens: Tensor  # (batch, longest) int64
    mask: Tensor  # (batch, longest) bool, False for padding
    target: Tensor  # (batch,) float32
    id: list[str]


class DataModule(pl.LightningDataModule):
    """Sequences of tokens, and whether the first token comes again in the last quarter.

    Args:
        samples: how many to make up for training; a quarter as many for validation, and for the test.
        batches_per_bucket: of so many batches, the samples are sorted by length; 1 shuffles alone.
        batch_size: samples per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for tensors in memory.
        seed: decides the sequences, and the order of the batches.
    """

    def __init__(self, samples: int, batches_per_bucket: int, batch_size: int, num_workers: int, seed: int) -> None:
        super().__init__()
        self.samples = samples
        self.batches_per_bucket = batches_per_bucket
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        sizes = {"train": self.samples, "val": self.samples // 4, "test": self.samples // 4}
        parts = ([make_up(f"{part}-{n}", generator) for n in range(size)] for part, size in sizes.items())
        self.train, self.val, self.test = parts

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, self.bucketed)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def bucketed(self, epoch: int, generator: torch.Generator) -> Tensor:
        """Batches of samples of similar length, in another composition and another order in each epoch."""
        lengths = lengths_of(self.train)
        buckets = torch.randperm(len(lengths), generator=generator).split(self.batches_per_bucket * self.batch_size)
        batches = torch.cat([bucket[lengths[bucket].argsort(stable=True)] for bucket in buckets]).split(self.batch_size)
        full = [batch for batch in batches if len(batch) == self.batch_size]
        shuffled = [full[number] for number in torch.randperm(len(full), generator=generator).tolist()]
        # A short batch stays last: before others, it would shift where each of them begins.
        return torch.cat([*shuffled, *batches[len(full) :]])

    def preprocessing(self) -> nn.Module:
        """From inputs as users have them to what the network is trained on. Here: the same tokens and mask."""
        return nn.Identity()

    def read_inputs(self, path: Path) -> Inputs:
        """Sequences to predict: a CSV or Parquet file with a column `tokens`, such as "3 17 4"."""
        return Inputs(rows_of(path, ["tokens"]), tokens_of, collate=pad)

    def examples(self) -> list[dict[str, Tensor]]:
        """Some sequences with padding, on which an export is checked. Two lengths say that any will do."""
        batches = [pad([torch.arange(length) % 7 for length in lengths]) for lengths in ((8, 6), (30, 25))]
        return [{name: part[n] for name, part in batch.items()} for batch in batches for n in range(2)]

    def _loader(self, samples: Sequence[Sample], order: Order | None = None) -> Batches:
        # Held-out samples come by length, which pads least.
        in_order = order or (lambda epoch, generator: lengths_of(samples).argsort(stable=True))
        size, workers, seed = self.batch_size, self.num_workers, self.seed
        return Batches(samples, size, num_workers=workers, seed=seed, order=in_order, collate_fn=collate)


def lengths_of(samples: Sequence[Sample]) -> Tensor:
    return torch.tensor([len(sample["tokens"]) for sample in samples])


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch as long as its longest sample. Padding is token 0, a token like others: the mask alone tells it apart."""
    padded = pad([sample["tokens"] for sample in samples])
    target, ids = torch.stack([sample["target"] for sample in samples]), [sample["id"] for sample in samples]
    return {"tokens": padded["tokens"], "mask": padded["mask"], "target": target, "id": ids}


def pad(sequences: Sequence[Tensor]) -> dict[str, Tensor]:
    tokens = pad_sequence(list(sequences), batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return {"tokens": tokens, "mask": torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)}


def tokens_of(row: Mapping[str, Any]) -> Tensor:
    """The tokens of a row: (length,) int64; ValueError for what is none."""
    tokens = str(row["tokens"]).split()
    if not tokens or not all(token.isdecimal() and int(token) < TOKENS for token in tokens):
        raise ValueError(f"tokens must be one or more numbers from 0 to {TOKENS - 1}")
    return torch.tensor([int(token) for token in tokens])


def make_up(name: str, generator: torch.Generator) -> Sample:
    shortest, longest = LENGTHS
    length = int(shortest * (longest / shortest) ** torch.rand((), generator=generator))
    tokens = torch.randint(TOKENS, (length,), generator=generator)
    last_quarter, first = tokens[-(length // 4) :], int(tokens[0])
    last_quarter[last_quarter == first] = (first + 1) % TOKENS
    comes_again = torch.rand((), generator=generator) < 0.5
    if comes_again:
        last_quarter[torch.randint(len(last_quarter), (1,), generator=generator)] = first
    return {"id": name, "tokens": tokens, "target": comes_again.float()}
