"""Answers for inputs of the user's own: batches of them in, parts of the output out, whenever one is complete."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor, nn

from ..devices.processes import gather, rank_and_world_size
from ..errors import RunError
from ..saving.parts import Joined, Parts
from ..saving.ready import in_one_line, reason_of
from .answers import HINT, answer_to, leaves
from .display import say
from .inputs import ID, Inputs, Item

ITEMS = 1024  # of a part, at least: what a kill costs, and what is in memory

Reject = tuple[str, str, str]  # id, place, reason


@dataclass
class Entry:
    """Items that were answered together, or one item in pieces, and the answers to it so far."""

    ids: list[str]
    answers: list[Any] = field(default_factory=list)


@dataclass
class Part:
    """Items one after the other, of which an output's part is made.

    Attributes:
        batches: how many of its batches wait for their answer.
        is_read: whether there will be no more of them.
    """

    number: int
    entries: list[Entry] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    batches: int = 0
    is_read: bool = False


class InputBatches:
    """A loader of the batches that this process has to answer. A batch is what the network takes.

    Several processes take the parts in turns. With weights in shards, which all of them need for each batch, every
    process answers everything, and the first one writes it.

    Args:
        inputs: what there is to answer.
        preprocessing: what the network was trained on, from samples.
        batch_size: samples of a batch, in each process: the answers do not depend on the number of processes.
    """

    def __init__(self, inputs: Inputs, preprocessing: nn.Module, batch_size: int) -> None:
        self.inputs = inputs
        self.preprocessing = preprocessing.eval()
        self.batch_size = batch_size
        self.items_of_part = -(-ITEMS // batch_size) * batch_size
        self.waiting: deque[tuple[Part, Entry]] = deque()
        self.is_shared = True
        self.done: set[int] = set()
        self.write: Callable[[Part], None] = lambda part: None
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        rank, world_size = rank_and_world_size()
        items = iter(self.inputs.items)
        self.count = 0
        while in_part := list(islice(items, self.items_of_part)):
            is_mine = not self.is_shared or self.count % world_size == rank
            if is_mine and self.count not in self.done:
                yield from self._batches(Part(self.count), in_part)
            self.count += 1

    def _batches(self, part: Part, items: list[Item]) -> Iterator[Any]:
        batches = self._in_pieces(part, items) if self.inputs.in_pieces else self._together(part, items)
        for entry, samples in batches:
            part.batches += 1
            self.waiting.append((part, entry))
            with torch.no_grad(), in_one_line("preprocessing in data.py cannot take a batch of these inputs"):
                batch = self.preprocessing(samples)
            yield batch
        part.is_read = True
        self._write_if_complete(part)

    def _together(self, part: Part, items: list[Item]) -> Iterator[tuple[Entry, Any]]:
        for first in range(0, len(items), self.batch_size):
            entry, samples = Entry([]), []
            for item in items[first : first + self.batch_size]:
                try:
                    samples.append(self._sample(item))
                    entry.ids.append(item.id)
                except (ValueError, OSError) as error:
                    part.rejects.append(reject(item, error))
            if samples:
                part.entries.append(entry)
                with in_one_line("read_inputs in data.py makes no batch of these inputs"):
                    batch = self.inputs.collate(samples)
                yield entry, batch

    def _in_pieces(self, part: Part, items: list[Item]) -> Iterator[tuple[Entry, Any]]:
        for item in items:
            entry = Entry([item.id])
            part.entries.append(entry)
            try:
                for samples in self._sample(item):
                    yield entry, samples
            except (ValueError, OSError) as error:
                part.entries.remove(entry)
                part.rejects.append(reject(item, error))

    def _sample(self, item: Item) -> Any:
        try:
            return self.inputs.sample(item.checked())
        except (OSError, RunError, ValueError):
            raise
        except Exception as error:
            hint = "a ValueError, if the content is bad; --traceback shows where"
            raise RunError(f"read_inputs in data.py failed for {item.place}: {reason_of(error)}", hint) from error

    def answer(self, answers: Any) -> None:
        """Take the answers to the batch that has waited longest."""
        part, entry = self.waiting.popleft()
        if not self.inputs.in_pieces:
            refuse_other_entries(answers, len(entry.ids))
        entry.answers.append(answers)
        part.batches -= 1
        self._write_if_complete(part)

    def _write_if_complete(self, part: Part) -> None:
        if part.is_read and not part.batches:
            self.write(part)


class SaveAnswers(pl.Callback):
    """Writes the answers part by part, and joins the parts at the end.

    Args:
        batches: the loader of the inputs.
        parts: those of the output.
        summary: makes one answer of those to all pieces of an item, if items come in pieces.
        refuse_changed: raises RunError if the input is not the same any more.

    Attributes:
        joined: what the output consists of, in the first process and at the end.
    """

    joined: Joined

    def __init__(
        self,
        batches: InputBatches,
        parts: Parts,
        summary: Callable[[dict[str, Tensor]], dict[str, float]] | None,
        refuse_changed: Callable[[], None],
    ) -> None:
        self.batches = batches
        self.parts = parts
        self.summary = summary
        self.refuse_changed = refuse_changed

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Before the loop begins, which reads the first batch beforehand.
        begun = self.parts.begin() if trainer.is_global_zero else set()
        self.batches.done = gather(begun)[0]
        self.batches.is_shared = is_replicated(trainer.strategy)
        is_writer = trainer.is_global_zero or self.batches.is_shared
        self.batches.write = self._write if is_writer else lambda part: None
        if self.batches.done and trainer.is_global_zero:
            say(f"Goes on: parts of {self.batches.items_of_part:,} inputs that are there: {len(self.batches.done):,}")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs is None:
            raise RunError("predict_step returned nothing, so there is no answer to write")
        # In memory, where they wait for the rest of their part.
        self.batches.answer(apply_to_collection(answer_to(batch, outputs), Tensor, Tensor.cpu))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.parts.held.close()

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gather(None)  # all have written their parts
        if trainer.is_global_zero:
            self.refuse_changed()
            self.joined = self.parts.join(self.batches.count)

    def _write(self, part: Part) -> None:
        columns: dict[str, list[Any]] = {}
        for entry in part.entries:
            answers = self._summary(entry) if self.summary else columns_of(entry.answers[0])
            if ID in answers:
                raise RunError(f"an answer has a column {ID}, which is that of the input", "another name")
            rows = {ID: entry.ids, **answers}
            if columns and columns.keys() != rows.keys():
                raise RunError(f"some answers have the columns {', '.join(rows)}, and others {', '.join(columns)}")
            for name, values in rows.items():
                columns.setdefault(name, []).append(values)
        self.parts.write(part.number, {name: joined(values) for name, values in columns.items()}, part.rejects)

    def _summary(self, entry: Entry) -> dict[str, Any]:
        assert self.summary is not None
        pieces = {name: torch.cat([answers[name] for answers in entry.answers]) for name in entry.answers[0]}
        return {name: [value] for name, value in self.summary(pieces).items()}


def is_replicated(strategy: Strategy) -> bool:
    """Whether each process has all weights, and can answer without the others."""
    return isinstance(strategy, SingleDeviceStrategy | DDPStrategy) and not isinstance(strategy, DeepSpeedStrategy)


def reject(item: Item, error: Exception) -> Reject:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return item.id, item.place, " ".join(reason.split())


def refuse_other_entries(answers: Any, inputs: int) -> None:
    if counts := {len(leaf) for leaf in leaves(answers)} - {inputs}:
        raise RunError(f"{counts.pop()} answers were given to {inputs} inputs, not one for each", HINT)


def columns_of(answers: Any, name: str = "") -> dict[str, Any]:
    """Answers as columns: (batch, ...) tensors as one, or one for each number of a sample, NAME_0, NAME_1 and so on."""
    if isinstance(answers, dict | tuple):
        parts = answers.items() if isinstance(answers, dict) else enumerate(answers)
        columns: dict[str, Any] = {}
        for key, part in parts:
            columns |= columns_of(part, f"{name}.{key}" if name else str(key))
        return columns
    name = name or "prediction"
    if not isinstance(answers, Tensor):
        return {name: answers}
    values = answers.float() if answers.dtype in (torch.float16, torch.bfloat16) else answers
    flat = values.reshape(len(values), -1).numpy()
    if flat.shape[1] == 1:
        return {name: flat[:, 0]}
    return {f"{name}_{number}": flat[:, number] for number in range(flat.shape[1])}


def joined(values: list[Any]) -> Any:
    """A column of a part, from those of its entries."""
    if all(isinstance(value, np.ndarray) for value in values):
        return np.concatenate(values)
    return [cell for value in values for cell in value]


class Once:
    """A loader of one empty batch, for a question that needs no data."""

    def __iter__(self) -> Iterator[Tensor]:
        yield torch.zeros(1)

    def __len__(self) -> int:
        return 1
