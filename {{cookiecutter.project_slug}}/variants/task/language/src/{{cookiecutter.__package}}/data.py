"""DataModule: where batches come from. Here: the source code of Python's own standard library."""

import json
import os
import platform
import random
import sysconfig
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from .engine.errors import RunError, require
from .engine.saving.atomic import make_folder, new_folder
from .engine.training.batches import Batches, SizedDataset, refuse_unloadable
from .engine.training.folds import fold_bounds, refuse_impossible_fold
from .engine.training.inputs import Inputs, files_of

# Tests and other people's packages are installed in some places and not in others.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
PARTS = ("train", "val", "test")
BYTES = 256  # values of one
SIZES = "sizes.json"  # of the test files, in bytes, by name, in the order in which they are joined


class DataModule(pl.LightningDataModule):
    """The bytes of the running interpreter's library, about 12 MB in 700 files.

    A batch is a pair of (batch, context) int64 bytes: what was read, and what came next. Validation and test
    are whole files that training never sees; they differ a little from one Python version to the next.

    Args:
        folder: where each part is written once as a file of tokens, from which batches are read as they are needed.
        context: bytes that the network sees at once.
        val_fraction: share of the files that are held out for validation. Not used with a fold.
        test_fraction: share of the files that are held out for the test.
        fold: the part of all files but the test's that is held out, for cross-validation; null for none of them.
        folds: how many such parts there are.
        batch_size: windows of `context` bytes per optimizer step, in all processes together.
        num_workers: processes that load batches; 0 is fastest for bytes on a local disk.
        seed: decides which files are held out, and the order of the batches.
    """

    def __init__(
        self,
        folder: str,
        context: int,
        val_fraction: float,
        test_fraction: float,
        fold: int | None,
        folds: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        refuse_unloadable(batch_size, num_workers, seed)
        require(context=context, at_least=1)
        require(val_fraction=val_fraction, above=0, below=1)
        require(test_fraction=test_fraction, above=0, below=1 - val_fraction)
        refuse_impossible_fold(fold, folds)
        held_out = f"{val_fraction}-{test_fraction}-{seed}" + (f"-fold-{fold}-of-{folds}" if fold is not None else "")
        self.folder = Path(folder, f"python-{platform.python_version()}-{held_out}")
        self.context = context
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.fold = fold
        self.folds = folds
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download and a tokenizer would go."""
        if self.folder.exists():
            return
        files = library_files()
        if not files:
            raise RuntimeError("this Python comes without the source of its standard library; use another build")
        make_folder(self.folder.parent, "data.folder")
        parts = split(files, self.val_fraction, self.test_fraction, self.fold, self.folds, self.seed)
        with new_folder(self.folder) as folder:
            for name, members in zip(PARTS, parts, strict=True):
                with (folder / name).open("wb") as tokens:
                    tokens.writelines(file.read_bytes() for file in members)
            sizes = {os.path.relpath(file, sysconfig.get_path("stdlib")): file.stat().st_size for file in parts[-1]}
            (folder / SIZES).write_text(json.dumps(sizes), encoding="utf-8")

    def setup(self, stage: str) -> None:
        self.train, self.val, self.test = (Windows(self.folder / name, self.context) for name in PARTS)

    def train_dataloader(self) -> Batches:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader(self.val)

    def test_dataloader(self) -> Batches:
        return self._loader(self.test)

    def predict_dataloader(self) -> Batches:
        return self._loader(self.test)

    def preprocessing(self) -> nn.Module:
        """From bytes to what the network is trained on: the same."""
        return nn.Identity()

    def read_inputs(self, path: Path) -> Inputs:
        """Texts to measure: a file, or a folder of them."""
        return Inputs(files_of(path), self.windows_of, in_pieces=True)

    def windows_of(self, path: Path) -> Iterator[Tensor]:
        """A file's windows side by side: batches of (windows, context + 1) int64 bytes, the last one shorter.

        Each window begins with the last byte of the one before, so each byte but the first is predicted once.
        """
        if path.stat().st_size < 2:
            raise ValueError("fewer than two bytes, so there is none to predict")
        text = np.memmap(path, dtype=np.uint8, mode="r")
        full = (len(text) - 1) // self.context
        for first in range(0, full, self.batch_size):
            starts = [window * self.context for window in range(first, min(first + self.batch_size, full))]
            windows = np.stack([text[start : start + self.context + 1] for start in starts])
            yield torch.from_numpy(windows.astype(np.int64))
        if (rest := text[full * self.context :]).size > 1:
            yield torch.from_numpy(rest.astype(np.int64)).unsqueeze(0)

    def continuation(self, model: nn.Module, prompt: str, length: int, temperature: float) -> str:
        """How a text may go on: `length` bytes, each drawn from what the model says of the `context` bytes before.

        Args:
            model: (1, time) int64 bytes -> (1, time, vocabulary) logits.
            prompt: the text, encoded as UTF-8.
            length: bytes to add.
            temperature: divides the logits; with 0, the likeliest byte is taken.
        """
        device = next(model.parameters()).device
        tokens = torch.tensor([list(prompt.encode())], device=device)
        for _ in range(length):
            logits = model(tokens[:, -self.context :])[:, -1, :BYTES].float()
            likeliest = logits.argmax(dim=-1, keepdim=True)
            drawn = torch.multinomial((logits / temperature).softmax(dim=-1), 1) if temperature else likeliest
            tokens = torch.cat([tokens, drawn], dim=1)
        return bytes(tokens[0, -length:].tolist()).decode(errors="replace")

    def sample(self, model: nn.Module) -> str:
        """What the model makes of a beginning: kept by `test`, and shown in a report."""
        beginning = "def main("
        return beginning + self.continuation(model, beginning, length=300, temperature=0.8)

    def examples(self) -> list[Tensor]:
        """Some texts, on which an export is checked: (time,) int64 bytes each. Two lengths say that any will do."""
        text = np.frombuffer(Path(__file__).read_bytes(), dtype=np.uint8)[: self.context].astype(np.int64)
        return [torch.from_numpy(text[:length]) for length in (len(text), len(text) // 2)]

    def test_groups(self) -> dict[str, list[str]]:
        """The file in which each window of the test begins: its metrics are told by file.

        A folder that was prepared before sizes were kept has no groups.
        """
        if not (self.folder / SIZES).is_file():
            return {}
        sizes = json.loads((self.folder / SIZES).read_text(encoding="utf-8"))
        names, ends = list(sizes), list(accumulate(sizes.values()))
        return {"file": [names[bisect_right(ends, index * self.context)] for index in range(len(self.test))]}

    def source_files(self) -> list[Path]:
        """What the data is read from; a run's manifest.json has the hash of each."""
        return [self.folder / name for name in PARTS]

    def _loader(self, dataset: SizedDataset, shuffle: bool = False) -> Batches:
        return Batches(dataset, self.batch_size, shuffle, self.num_workers, self.seed)


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """A file of tokens cut into windows side by side: pairs of (context,) int64, the second one token further on.

    Args:
        file: tokens as uint8, as many as the disk can hold. The last ones that do not fill a window are left out.
        context: length of a window.
    """

    def __init__(self, file: Path, context: int) -> None:
        self.file = file
        self.context = context
        self.tokens = file.stat().st_size
        if not len(self):
            raise RunError(f"data.context is {context}, and {file} has {self.tokens} bytes", "a shorter context")

    def __len__(self) -> int:
        return max(0, self.tokens - 1) // self.context

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self.batch([index])
        return inputs[0], targets[0]

    def batch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Windows as a batch: two of (batch, context)."""
        # Mapped for one batch: a worker needs nothing but the file's name, and memory holds no more than is read.
        text = np.memmap(self.file, dtype=np.uint8, mode="r")
        starts = [index * self.context for index in indices]
        windows = np.stack([text[start : start + self.context + 1] for start in starts])
        tokens = torch.from_numpy(windows.astype(np.int64))
        return tokens[:, :-1], tokens[:, 1:]


def library_files() -> list[Path]:
    """The standard library's source files, in a fixed order."""
    found = []
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = set(folders) - LEFT_OUT  # in place, so that these are not searched: 20 times the files
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def split(
    files: list[Path], val_fraction: float, test_fraction: float, fold: int | None, folds: int, seed: int
) -> list[list[Path]]:
    """Files for training, validation and test, none in two of them."""
    files = random.Random(seed).sample(files, len(files))
    count = round(len(files) * test_fraction)
    test, rest = files[:count], files[count:]
    begin, end = 0, round(len(files) * val_fraction)
    if fold is not None:
        begin, end = fold_bounds(len(rest), fold, folds)
    return [rest[:begin] + rest[end:], rest[begin:end], test]
