"""DataModule: where batches come from. Here: the source code of Python's own standard library."""

import os
import random
import sysconfig
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .batches import Batches

# Tests and other people's packages are installed in some places and not in others.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


class DataModule(pl.LightningDataModule):
    """The bytes of the running interpreter's library, about 12 MB in 700 files.

    A batch is a pair of (batch, context) int64 bytes: what was read, and what came next. Validation and test
    are whole files that training never sees; they differ a little from one Python version to the next.

    Args:
        context: bytes that the network sees at once.
        val_fraction, test_fraction: shares of the files that are held out.
        batch_size: windows of `context` bytes per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for bytes in memory.
        seed: decides which files are held out, and the order of the batches.
    """

    def __init__(
        self, context: int, val_fraction: float, test_fraction: float, batch_size: int, num_workers: int, seed: int
    ) -> None:
        super().__init__()
        if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
            raise ValueError("data.val_fraction and data.test_fraction must be above 0 and together below 1")
        self.context = context
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download would go."""
        if not library_files():
            raise RuntimeError("this Python comes without the source of its standard library; use another build")

    def setup(self, stage: str) -> None:
        self.files = split(library_files(), self.val_fraction, self.test_fraction, self.seed)
        self.train, self.val, self.test = (Windows(read(files), self.context) for files in self.files)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def _loader(self, dataset: Dataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


class Windows(Dataset):
    """A text cut into windows side by side: each a pair of (context,) int64 bytes, the second one byte further on.

    Args:
        text: (bytes,) uint8. The last bytes that do not fill a window are left out.
        context: length of a window.
    """

    def __init__(self, text: Tensor, context: int) -> None:
        self.text = text
        self.context = context

    def __len__(self) -> int:
        return (len(self.text) - 1) // self.context

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.context
        window = self.text[start : start + self.context + 1].long()
        return window[:-1], window[1:]


def library_files() -> list[Path]:
    """The standard library's source files, in a fixed order."""
    found = []
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = set(folders) - LEFT_OUT  # in place, so that these are not searched: 20 times the files
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def split(files: list[Path], val_fraction: float, test_fraction: float, seed: int) -> list[list[Path]]:
    """Files for training, validation and test, none in two of them."""
    files = random.Random(seed).sample(files, len(files))
    test = round(len(files) * test_fraction)
    val = test + round(len(files) * val_fraction)
    return [files[val:], files[test:val], files[:test]]


def read(files: list[Path]) -> Tensor:
    """The files' bytes, one after the other: (bytes,) uint8."""
    return torch.frombuffer(bytearray().join(path.read_bytes() for path in files), dtype=torch.uint8)
