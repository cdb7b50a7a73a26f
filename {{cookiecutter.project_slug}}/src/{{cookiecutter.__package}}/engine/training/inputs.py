"""Inputs of the user's own, which `predict --input` and others answer: rows of a table, or files."""

import csv
import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import RunError
from ..saving.nested import stacked
from ..saving.tables import pyarrow

ID = "id"  # a column of this name says what a row is called
TABLES = (".csv", ".parquet")
ROWS_AT_ONCE = 1024  # of a Parquet file


class Item(NamedTuple):
    """A row or a file.

    Args:
        id: what its answer is called.
        place: where it lies, as FILE:LINE or a path.
        content: a row by column, or a path; or the error because of which there is none.
    """

    id: str
    place: str
    content: Any

    def checked(self) -> Any:
        """The content; raises the error in its place."""
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


class Items(Protocol):
    """Gives the same items in the same order whenever it is iterated over, and holds few of them at a time."""

    def __iter__(self) -> Iterator[Item]: ...


@dataclass(frozen=True)
class Inputs:
    """The inputs in a file or a folder, and how each becomes what the network's preprocessing takes.

    Args:
        items: rows or files.
        sample: the content of an item -> a tensor, or several in a dict or a tuple. Raises ValueError or OSError for
            bad content; the text is the reason that the user reads.
        in_pieces: whether `sample` gives several batches for each item, because an item may be longer than what the
            network sees at once. The objective then has `scores` and `summary`, where it has `answers` otherwise.
        collate: makes a batch of a list of samples. `stacked` needs the same shape for each; one of your own can pad.
    """

    items: Items
    sample: Callable[[Any], Any]
    in_pieces: bool = False
    collate: Callable[[list[Any]], Any] = stacked


@dataclass(frozen=True)
class Csv:
    """The rows of a CSV file, as text by column."""

    path: Path

    def columns(self) -> list[str]:
        with self.path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]

    def __iter__(self) -> Iterator[Item]:
        columns = self.columns()
        # Bytes that are not UTF-8 spoil their own row at most.
        with self.path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            for number, (first, cells) in enumerate(without_errors(lines), start=1):
                place = f"{self.path}:{first}"
                if isinstance(cells, csv.Error):
                    yield Item(str(number), place, ValueError(str(cells)))
                elif len(cells) != len(columns):
                    reason = f"{len(cells)} cells, and the file has {len(columns)} columns"
                    if lines.line_num > first:
                        reason += f"; it goes on to line {lines.line_num}: is a quotation mark left open?"
                    yield Item(str(number), place, ValueError(reason))
                else:
                    row = dict(zip(columns, cells, strict=True))
                    yield Item(row.get(ID) or str(number), place, row)


@dataclass(frozen=True)
class Parquet:
    """The rows of a Parquet file, as values by column."""

    path: Path
    wanted: Sequence[str]

    def columns(self) -> list[str]:
        return list(self._open().schema_arrow.names)

    def __iter__(self) -> Iterator[Item]:
        with self._open() as file:
            read = [name for name in file.schema_arrow.names if name in {*self.wanted, ID}]
            number = 0
            batches = file.iter_batches(ROWS_AT_ONCE, columns=read)
            while batch := self._readable(lambda: next(batches, None)):
                for row in batch.to_pylist():
                    number += 1
                    given = row.get(ID)
                    yield Item(str(number if given is None else given), f"{self.path}:{number}", row)

    def _open(self) -> Any:
        parquet = pyarrow("pyarrow.parquet")
        return self._readable(lambda: parquet.ParquetFile(self.path))

    def _readable(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (ValueError, OSError) as error:  # pyarrow's own errors derive from these
            raise RunError(f"{self.path} is no Parquet file that can be read: {error}") from error


@dataclass(frozen=True)
class Files:
    """A file, or all files with certain endings in a folder and the folders in it, by name."""

    path: Path
    endings: Sequence[str]

    def __iter__(self) -> Iterator[Item]:
        if self.path.is_file():
            yield Item(readable(self.path.name), readable(str(self.path)), self.path)
            return
        for folder, folders, names in os.walk(self.path, onerror=refuse_unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if has_ending(name, self.endings) and not name.startswith("."):
                    path = Path(folder, name)
                    yield Item(readable(path.relative_to(self.path).as_posix()), readable(str(path)), path)


def rows_of(path: Path, columns: Sequence[str]) -> Csv | Parquet:
    """The rows of a CSV or Parquet file, with their number or what stands in a column `id` as their id.

    Args:
        path: a file that ends with .csv or .parquet.
        columns: those that a row must have; there may be others.

    Raises:
        RunError: for a file that cannot be read, has no rows, or lacks a column.
    """
    if not has_ending(path.name, TABLES) or path.is_dir():
        raise RunError(f"{path}: rows are read from a file that ends with {' or '.join(TABLES)}")
    rows = Csv(path) if has_ending(path.name, TABLES[:1]) else Parquet(path, columns)
    try:
        present = rows.columns()
        refuse_other_columns(path, present, columns)
        if next(iter(rows), None) is None:
            raise RunError(f"{path} has no rows")
    except (OSError, csv.Error) as error:
        raise RunError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return rows


def files_of(path: Path, endings: Sequence[str] = ()) -> Files:
    """A file, or the files in a folder and the folders in it, in a fixed order; the id of each is its name therein.

    Args:
        path: a file or a folder.
        endings: those that count, such as .png, in any case; all files without.

    Raises:
        RunError: if there is no such file.
    """
    files, kinds = Files(path, endings), ", ".join(endings) or "any name"
    if path.is_file() and not has_ending(path.name, endings):
        raise RunError(f"{path}: the file must have one of the endings {kinds}")
    if next(iter(files), None) is None:
        raise RunError(f"{path} is a folder without files of {kinds}")
    return files


def numbers(row: Mapping[str, Any], columns: Sequence[str]) -> Tensor:
    """The numbers of a row in some columns: (columns,) float32; ValueError for what is none."""
    return torch.tensor([number(name, row[name]) for name in columns], dtype=torch.float32)


def number(name: str, value: Any) -> float:
    if value is None or value == "":
        raise ValueError(f"{name} is empty")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, which is no number") from None
    if not abs(found) <= torch.finfo(torch.float32).max:  # which is never true of nan
        raise ValueError(f"{name} is {found}")
    return found


def refuse_other_columns(path: Path, present: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise RunError, with the nearest ones, for columns that a table lacks, or has twice."""
    if not present:
        raise RunError(f"{path} is empty", f"a first line with the columns {', '.join(wanted)}")
    if missing := [name for name in wanted if name not in present]:
        near = [match for name in missing for match in difflib.get_close_matches(name, present, n=1)]
        hint = f"rename {' and '.join(near)}" if near else f"its columns are {', '.join(present)}"
        raise RunError(f"{path} has no column {', '.join(missing)}", hint)
    if twice := [name for name in (*wanted, ID) if present.count(name) > 1]:
        raise RunError(f"{path} has the column {twice[0]} twice")


def refuse_unreadable(error: OSError) -> None:
    raise RunError(f"{error.filename} cannot be read: {error.strerror}")


def has_ending(name: str, endings: Sequence[str]) -> bool:
    return not endings or name.lower().endswith(tuple(endings))


def readable(name: str) -> str:
    """A file's name without bytes that are no text, which Linux allows in it."""
    return name.encode("utf-8", "backslashreplace").decode()


def without_errors(lines: Any) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The rows that a csv.reader finds, each with its first line; the error in place of one that cannot be read."""
    while True:
        first = lines.line_num + 1
        try:
            if cells := next(lines):
                yield first, cells
        except StopIteration:
            return
        except csv.Error as error:
            yield first, error
