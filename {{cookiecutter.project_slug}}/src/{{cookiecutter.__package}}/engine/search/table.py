"""A table as text: as many columns as fit, and a word about those that do not."""

import re
import shutil
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

GAP = "  "
LONGEST = 40  # letters in a cell
# A name or a setting may be anybody's: what a terminal would obey is shown as what it is.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class Column(NamedTuple):
    """A column.

    Args:
        name: a part before the last / or . is set above the rest.
        cells: the texts in it.
        rank: the columns with the lowest are kept where there is no room for all.
        to_the_right: whether cells stand at the right, as numbers do.
    """

    name: str
    cells: Sequence[str]
    rank: int = 0
    to_the_right: bool = True


def lines_of(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """The lines of a table, two of them a heading; then, below it, what had no room.

    Args:
        columns: in the order in which they stand; the first one is always there.
        width: the letters of a line; those of the terminal by default, and 80 in a file.
    """
    width = width or shutil.get_terminal_size((80, 24)).columns
    kept: set[int] = set()
    room = width + len(GAP)
    for number, column in sorted(enumerate(columns), key=lambda pair: pair[1].rank):
        needed = wide(texts_of(column)[0]) + len(GAP)
        if needed <= room or not kept:
            kept.add(number)
            room -= needed
    lines = drawn([column for number, column in enumerate(columns) if number in kept])
    absent = [column.name for number, column in enumerate(columns) if number not in kept]
    return [*lines, *(wrapped(f"No room for: {', '.join(absent)}", width) if absent else [])]


def blocks_of(first: Column, columns: Sequence[Column]) -> list[str]:
    """The lines of as many tables as it takes to show all columns, each with the first one."""
    width = shutil.get_terminal_size((80, 24)).columns
    room = width - wide(texts_of(first)[0])
    blocks: list[list[Column]] = [[]]
    left = room
    for column in columns:
        needed = len(GAP) + wide(texts_of(column)[0])
        if needed > left and blocks[-1]:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *drawn([first, *block])]
    return lines


def drawn(columns: Sequence[Column]) -> list[str]:
    texts = [texts_of(column) for column in columns]
    lines = [GAP.join(cells).rstrip() for cells in zip(*texts, strict=True)]
    return lines if lines[0] else lines[1:]  # no heading has two lines


def texts_of(column: Column) -> list[str]:
    """The cells of a column with two lines of heading, all of one width."""
    above, below = heading_of(column.name)
    cells = [shortened(cell) for cell in (above, below, *column.cells)]
    width = max(map(wide, cells))
    padding = [" " * (width - wide(cell)) for cell in cells]
    pairs = zip(cells, padding, strict=True)
    return [space + cell if column.to_the_right else cell + space for cell, space in pairs]


def heading_of(name: str) -> tuple[str, str]:
    parts = re.fullmatch(r"(.*[/.])([^/.]+)", name)
    return (parts[1].rstrip("/."), parts[2]) if parts else ("", name)


def shortened(cell: str, most: int = LONGEST) -> str:
    """A cell of at most so many letters: the middle of a name tells least."""
    cell = CONTROL.sub("?", cell)
    while wide(cell) > most:
        middle = len(cell) // 2
        cell = f"{cell[: middle - 2]}...{cell[middle + 2 :]}".replace("......", "...")
    return cell


def wide(cell: str) -> int:
    """The columns of a terminal that a text takes: East Asian letters take two."""
    if cell.isascii():
        return len(cell)
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in cell)


def wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in CONTROL.sub("?", text).split():
        line = f"{lines[-1]} {word}".strip()
        lines[-1:] = [line] if wide(line) <= width or not lines[-1] else [lines[-1], word]
    return lines
