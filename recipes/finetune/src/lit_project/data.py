"""DataModule: where batches come from. Here: lines of Python's own standard library, which are code or prose."""

import ast
import json
import os
import platform
import random
import sysconfig
import tokenize
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from .engine.saving.atomic import write_text
from .engine.training.batches import Batches
from .engine.training.inputs import Inputs, rows_of

# Tests and other people's packages are installed in some places and not in others.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
PARTS = ("train", "val", "test")
KINDS = ("code", "prose")  # the classes, in the order of their numbers
LENGTHS = range(16, 96)  # of the lines that are used, in characters
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Line = tuple[str, int]  # and the number of its kind
Tokens = dict[str, Tensor]  # input_ids and attention_mask, (lines, tokens) int64
Batch = tuple[Tokens, Tensor]


class DataModule(pl.LightningDataModule):
    """Lines of code and lines of docstrings from the running interpreter's library, as many of both.

    A batch is a pair: what the tokenizer makes of the lines, `input_ids` and `attention_mask` of (batch, tokens)
    int64, and (batch,) int64 kinds. Validation and test are of files that training never sees; they differ a little
    from one Python version to the next.

    Args:
        folder: where the lines are written once.
        tokenizer: folder with the files of a tokenizer; a saved model has its own beside its weights.
        context: tokens after which a line is cut off.
        train_files, val_files, test_files: how many files each part is from.
        lines: how many of each kind are taken from a file at most.
        batch_size: lines per optimizer step, in all processes together.
        num_workers: processes that load batches.
        seed: decides which files and lines are used, and the order of the batches.
    """

    def __init__(
        self,
        folder: str,
        tokenizer: str,
        context: int,
        train_files: int,
        val_files: int,
        test_files: int,
        lines: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.sizes = (train_files, val_files, test_files)
        sizes = "-".join(map(str, [*self.sizes, lines, seed]))
        self.file = Path(folder, f"lines-of-python-{platform.python_version()}-{sizes}.json")
        self.tokenizer = tokenizer
        self.context = context
        self.lines = lines
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Runs once per host, before every process calls `setup`: where a download would go."""
        if not self.file.exists():
            chosen = {
                part: [line for file in files for line in choose(lines_of(file), self.lines, self.seed)]
                for part, files in split(library_files(), self.sizes, self.seed).items()
            }
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.file, json.dumps(chosen))

    def setup(self, stage: str) -> None:
        self.parts: dict[str, list[Line]] = json.loads(self.file.read_text(encoding="utf-8"))
        self.collate = partial(collate, self.encoding())

    def encoding(self) -> Callable[[list[str]], Tokens]:
        """What makes a batch of lines, with as much padding as its longest one asks for."""
        return partial(encode, AutoTokenizer.from_pretrained(self.tokenizer, local_files_only=True), self.context)

    def train_dataloader(self) -> Batches:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._loader("val")

    def test_dataloader(self) -> Batches:
        return self._loader("test")

    def predict_dataloader(self) -> Batches:
        return self._loader("test")

    def preprocessing(self) -> nn.Module:
        """From tokens to what the network is trained on: the same."""
        return nn.Identity()

    def read_inputs(self, path: Path) -> Inputs:
        """Lines to predict: a CSV or Parquet file with a column `text`."""
        return Inputs(rows_of(path, ["text"]), text_of, collate=self.encoding())

    def examples(self) -> list[Tokens]:
        """Some lines, on which an export is checked. Two lengths say that any will do."""
        batches = map(self.encoding(), (["return number + number", "import os"], ["Twice as much.", "double()"]))
        return [{name: part[n] for name, part in batch.items()} for batch in batches for n in range(2)]

    def _loader(self, part: str, shuffle: bool = False) -> Batches:
        sizes = self.batch_size, shuffle, self.num_workers, self.seed
        return Batches(self.parts[part], *sizes, collate_fn=self.collate)


def collate(encoding: Callable[[list[str]], Tokens], lines: list[Line]) -> Batch:
    """A batch of lines and kinds. Workers, if there are any, share this out."""
    texts, kinds = zip(*lines, strict=True)
    return encoding(list(texts)), torch.tensor(kinds)


def encode(tokenizer: Any, context: int, texts: list[str]) -> Tokens:
    return dict(tokenizer(texts, padding=True, truncation=True, max_length=context, return_tensors="pt"))


def text_of(row: Mapping[str, Any]) -> str:
    if not row["text"]:
        raise ValueError("text is empty")
    return str(row["text"])


def library_files() -> list[Path]:
    """The standard library's source files, in a fixed order."""
    found = []
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = set(folders) - LEFT_OUT  # in place, so that these are not searched: 20 times the files
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def split(files: list[Path], sizes: tuple[int, ...], seed: int) -> dict[str, list[Path]]:
    """So many files for each part, none in two of them."""
    shuffled = iter(random.Random(seed).sample(files, len(files)))
    return {part: [next(shuffled) for _ in range(size)] for part, size in zip(PARTS, sizes, strict=True)}


def lines_of(file: Path) -> dict[str, list[str]]:
    """The lines of a source file by their kind: those of its docstrings, and all others but comments and examples."""
    with tokenize.open(file) as source:
        lines = source.read().splitlines()
    prose = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            prose |= set(range(node.body[0].lineno - 1, node.body[0].end_lineno or 0))
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for number, line in enumerate(lines):
        text = line.strip().strip('"')
        if len(text) in LENGTHS and not text.startswith(("#", ">>>", "...")):
            found["prose" if number in prose else "code"].append(text)
    return found


def choose(lines: dict[str, list[str]], count: int, seed: int) -> list[Line]:
    """As many lines of one kind as of the other, `count` of each at most."""
    count = min(count, *map(len, lines.values()))
    sampled = (random.Random(seed).sample(lines[kind], count) for kind in KINDS)
    return [(line, kind) for kind, of_a_kind in enumerate(sampled) for line in of_a_kind]
