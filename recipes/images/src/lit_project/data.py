"""DataModule: where batches come from. Here: picture files of any size, in a folder for each class."""

import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from .engine.errors import RunError
from .engine.training.batches import Batches, SizedDataset
from .engine.training.folds import refuse_impossible_fold
from .engine.training.inputs import Inputs, files_of
from .engine.training.random_streams import batch_generator

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")  # the names of the folders; a class's number is its place
SIDE = 16
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class Batch(NamedTuple):
    pictures: Tensor  # (batch, 1, 16, 16) float32 in [0, 1]
    classes: Tensor  # (batch,) int64
    files: Sequence[str]  # as 7/0012.png


class Pictures(Dataset[tuple[Tensor, int, str]]):
    """Picture files, each moved at random by up to `max_shift` pixels each way: (1, 16, 16), its class and its name."""

    def __init__(self, folder: Path, files: list[str], max_shift: int = 0) -> None:
        self.folder = folder
        self.files = files
        self.max_shift = max_shift

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
        name = self.files[index]
        picture = Scale()(open_picture(self.folder / name))
        if self.max_shift:
            top, left = batch_generator().integers(2 * self.max_shift + 1, size=2)
            picture = F.pad(picture, [self.max_shift] * 4)[:, top : top + SIDE, left : left + SIDE]
        return picture, CLASSES.index(Path(name).parent.name), name


class DataModule(pl.LightningDataModule):
    """Pictures of the ten digits, anywhere in 8 to 24 pixels each way, until `folder` has a folder `pictures` of yours.

    Args:
        folder: where pictures/CLASS/FILE lie, and checked.json, which tells the files that can be decoded.
        max_rejected: share of files that may be unusable; more of them are an error.
        val_fraction, test_fraction: shares of the files that are held out.
        fold: the part of all but the test's that is held out instead, for cross-validation; null for none of them.
        folds: how many such parts there are.
        max_shift: training pictures are moved at random by up to so many pixels each way.
        batch_size: pictures per optimizer step, in all processes together.
        num_workers: processes that decode pictures.
        seed: decides which pictures are held out, and the order of the batches.
    """

    def __init__(
        self,
        folder: str,
        max_rejected: float,
        val_fraction: float,
        test_fraction: float,
        fold: int | None,
        folds: int,
        max_shift: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.folder = Path(folder, "pictures")
        self.checked = Path(folder, "checked.json")
        self.max_rejected = max_rejected
        refuse_impossible_fold(fold, folds)
        begin, end = 0.0, val_fraction
        if fold is not None:
            begin, end = ((1 - test_fraction) * one / folds for one in (fold, fold + 1))
        self.held_out = {"test": (0.0, test_fraction), "val": (test_fraction + begin, test_fraction + end)}
        self.max_shift = max_shift
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`, so this says once which files are left out."""
        if not self.folder.exists():
            write_whole(self.folder, write_digits)
        checked = check(self.folder, json.loads(self.checked.read_text()) if self.checked.exists() else {})
        write_whole(self.checked, lambda part: part.write_text(json.dumps(checked)))
        faults = [f"{name}, {fault}" for name, (_, fault) in checked.items() if fault]
        told = f"{self.folder}: {len(faults)} of {len(checked)} files are left out: {'; '.join(faults[:3])}"
        if len(faults) > self.max_rejected * len(checked):
            raise RunError(told, "mend the files, or raise --data.max_rejected")
        if faults:
            print(told + ("; …" if len(faults) > 3 else ""), file=sys.stderr)

    def setup(self, stage: str) -> None:
        parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for name in self.usable():
            parts[self.part_of(name)].append(name)
        self.train = Pictures(self.folder, parts["train"], self.max_shift)
        self.val, self.test = (Pictures(self.folder, parts[part]) for part in ("val", "test"))

    def usable(self) -> list[str]:
        return [name for name, (_, fault) in json.loads(self.checked.read_text()).items() if not fault]

    def part_of(self, name: str) -> str:
        """Decided by the file's own name: it stays in the same part when others come or go, or its class is mended."""
        place = zlib.crc32(f"{self.seed} {Path(name).name}".encode()) / 2**32
        return next((part for part, (begin, end) in self.held_out.items() if begin <= place < end), "train")

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From pictures to what the network is trained on: (batch, 1, 16, 16) uint8 -> float32 in [0, 1]."""
        return Scale()

    def read_inputs(self, path: Path) -> Inputs:
        """Pictures to predict: a file, or a folder of them, with bright strokes on a dark ground as in the data."""
        return Inputs(files_of(path, ENDINGS), open_picture)

    def examples(self) -> list[Tensor]:
        """Some pictures as `read_inputs` gives them, on which an export is checked: (1, 16, 16) uint8 each."""
        return [open_picture(self.folder / name) for name in self.usable()[:10]]

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed, collate_fn=collate)


def collate(samples: list[tuple[Tensor, int, str]]) -> Batch:
    return Batch(*default_collate(samples))


def open_picture(path: Path) -> Tensor:
    """A picture in grey, scaled to fit into the middle of a square: (1, 16, 16) uint8; ValueError if it is none."""
    try:
        with Image.open(path) as picture:
            grey = ImageOps.exif_transpose(picture).convert("L")  # upright, however the camera was held
            small = ImageOps.pad(grey, (SIDE, SIDE))
    except Exception as error:  # a damaged file can fail anywhere in a decoder
        raise ValueError(f"no picture that can be read: {error}") from error
    return torch.from_numpy(np.array(small)).unsqueeze(0)


class Scale(nn.Module):
    """Grey levels from 0 to 255 -> float32 from 0 to 1, of the same shape."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.float() / 255


def check(folder: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Size and time of each file, and why it cannot be decoded, if so. Files that are known are not decoded again."""
    if other := {path.name for path in folder.iterdir() if not path.name.startswith(".")} ^ set(CLASSES):
        raise RunError(f"{folder} and CLASSES in data.py differ in {', '.join(sorted(other))}", "one folder for each")
    checked = {}
    for file in sorted(file for name in CLASSES for file in (folder / name).iterdir() if file.name[0] != "."):
        name, stat = file.relative_to(folder).as_posix(), file.stat()
        state = [stat.st_size, stat.st_mtime_ns]
        checked[name] = known[name] if known.get(name, [None])[0] == state else [state, fault_of(file)]
    return checked


def fault_of(file: Path) -> str:
    try:
        open_picture(file)
    except ValueError as error:
        return " ".join(str(error).split())
    return ""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file or a folder elsewhere, and move it to its place all at once, also if several hosts do the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        part = Path(folder, path.name)
        write(part)
        if part.is_file() or not path.exists():
            part.replace(path)


def write_digits(folder: Path) -> None:
    """Scikit-learn's digits, 8 x 8 pixels, each with black borders of its own. Source: Alpaydin and Kaynak 1998."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped] # a second to import, which --help need not wait for

    digits, generator = load_digits(), np.random.default_rng(0)
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(digit) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        ImageOps.expand(picture, tuple(generator.integers(0, 9, 4).tolist())).save(file)
