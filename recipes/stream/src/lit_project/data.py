"""DataModule: where batches come from. Here: shards of records, of which memory holds a few at a time."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from .engine.saving.atomic import part_of, replace
from .engine.training.batches import Batches
from .engine.training.inputs import Inputs, numbers, rows_of
from .engine.training.stream import Stream

SAMPLES = 128
RECORD = np.dtype([("signal", np.int16, SAMPLES), ("arrival", np.float32)])
COLUMNS = [f"s{number}" for number in range(SAMPLES)]  # of a file with signals to predict
DECAY = 16  # samples in which a pulse falls to 37 %
NOISE = 16  # its standard deviation, in the unit of the records
HELD_OUT = 1024  # records of the validation, and of the test


class DataModule(pl.LightningDataModule):
    """Signals of a detector, each with a pulse, and when that begins: in decay times from the middle of the signal.

    A batch is a pair: (batch, 128) float32, whose noise has a standard deviation of 1, and (batch, 1) float32.

    Args:
        folder: where the shards lie; those that are missing are made.
        shards: how many there are for training.
        records: how many each of them has.
        shuffled_shards: how many are held in memory at a time, and shuffled together.
        batches_per_epoch: after so many batches come validation and the next epoch.
        batch_size: records per optimizer step, in all processes together.
        num_workers: processes that decode records.
        seed: decides the order of the records.
    """

    def __init__(
        self,
        folder: str,
        shards: int,
        records: int,
        shuffled_shards: int,
        batches_per_epoch: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.files = [Path(folder, f"train-{number:04}-{records}.npy") for number in range(shards)]
        self.val_file, self.test_file = (Path(folder, f"{part}-{HELD_OUT}.npy") for part in ("val", "test"))
        self.records = records
        self.shuffled_shards = shuffled_shards
        self.batches_per_epoch = batches_per_epoch
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download would go."""
        self.val_file.parent.mkdir(parents=True, exist_ok=True)
        sizes = {self.val_file: HELD_OUT, self.test_file: HELD_OUT} | dict.fromkeys(self.files, self.records)
        for number, (file, size) in enumerate(sizes.items()):
            if not file.exists():
                with part_of(file).open("wb") as part:
                    np.save(part, simulate(size, np.random.default_rng(number)))
                replace(file, part_of(file))

    def setup(self, stage: str) -> None:
        self.shards = Shards(self.files, self.shuffled_shards)
        self.val, self.test = (held(np.load(file)) for file in (self.val_file, self.test_file))

    def train_dataloader(self) -> Stream:
        sizes = self.batch_size, self.batches_per_epoch
        return Stream(self.shards, *sizes, self.num_workers, self.seed, prepare=decode)

    def val_dataloader(self) -> Batches:
        return Batches(self.val, self.batch_size)

    def test_dataloader(self) -> Batches:
        return Batches(self.test, self.batch_size)

    def predict_dataloader(self) -> Batches:
        return Batches(self.test, self.batch_size)

    def preprocessing(self) -> nn.Module:
        """From signals as they are recorded to what the network is trained on: (batch, 128) float32 -> the same."""
        return Scale()

    def read_inputs(self, path: Path) -> Inputs:
        """Signals to predict: a CSV or Parquet file with the columns s0 to s127, in the unit of the records."""
        return Inputs(rows_of(path, COLUMNS), lambda row: numbers(row, COLUMNS))

    def examples(self) -> list[Tensor]:
        """Some signals as `read_inputs` gives them, on which an export is checked: (128,) float32 each."""
        return list(torch.tensor(simulate(7, np.random.default_rng(0))["signal"], dtype=torch.float32))


class Shards:
    """The records of all shards, in another order in each pass, which follows from how `random` is seeded.

    Args:
        files: the shards; they need not have equally many records.
        shuffled: how many are read at a time and shuffled together: more mix better, and take more memory.
    """

    def __init__(self, files: list[Path], shuffled: int) -> None:
        self.lengths = {file: len(np.load(file, mmap_mode="r")) for file in files}  # reads the headers alone
        self.shuffled = shuffled

    def __len__(self) -> int:
        return sum(self.lengths.values())

    def __iter__(self) -> Iterator[Any]:
        return self.iter_from(0)

    def iter_from(self, number: int) -> Iterator[Any]:
        """The records of a pass from one on: a training that goes on reads none of the shards before it."""
        files = random.sample(list(self.lengths), len(self.lengths))
        for begin in range(0, len(files), self.shuffled):
            together = files[begin : begin + self.shuffled]
            length = sum(self.lengths[file] for file in together)
            order = random.sample(range(length), length)  # also of what is skipped, so that the others stay the same
            if number < length:
                records = np.concatenate([np.load(file) for file in together])
                yield from (records[index] for index in order[number:])
            number = max(0, number - length)


def decode(record: Any) -> tuple[Tensor, Tensor]:
    """What takes time: each worker does it for the records of its own batches, and merely reads the others."""
    return Scale()(torch.tensor(record["signal"], dtype=torch.float32)), torch.tensor([record["arrival"]])


class Scale(nn.Module):
    """From the unit of the records to the standard deviation of the noise, of the same shape."""

    def forward(self, signals: Tensor) -> Tensor:
        return signals / NOISE


def held(records: Any) -> TensorDataset:
    """A small file in memory."""
    signals, arrivals = zip(*map(decode, records), strict=True)
    return TensorDataset(torch.stack(signals), torch.stack(arrivals))


def simulate(count: int, generator: np.random.Generator) -> Any:
    """Pulses that rise at once and decay, 2 to 6 times as high as the noise."""
    arrivals = generator.uniform(-2, 2, (count, 1)).astype(np.float32)
    times = (np.arange(SAMPLES, dtype=np.float32) - SAMPLES / 2) / DECAY - arrivals
    heights = generator.uniform(2, 6, (count, 1)).astype(np.float32)
    signals = heights * np.exp(-np.maximum(times, 0)) * (times > 0)
    signals += generator.standard_normal(signals.shape, dtype=np.float32)
    records = np.zeros(count, RECORD)
    records["signal"], records["arrival"] = np.rint(NOISE * signals), arrivals[:, 0]
    return records
