"""The table that `validate` and `test` print: what figures.csv has, to four digits, in 80 columns."""

from pathlib import Path

from ..saving.rows import read
from ..training.pictures import shortened

WIDTH = 80
GAP = "  "
ORIGIN = "train and val: the last that the training logged before this checkpoint"


def table_lines(path: Path, stage: str) -> list[str]:
    """The lines of the table, none if nothing was measured. Columns that would be empty are left out."""
    _, rows = read(path)
    columns = {
        stage: [four_digits(row["value"]) for row in rows],
        "95% interval": [row["low"] and f"{four_digits(row['low'])} to {four_digits(row['high'])}" for row in rows],
        "train": [four_digits(row["train"]) for row in rows],
        "val": [four_digits(row["val"]) for row in rows],
    }
    texts = [
        [cell.rjust(max(map(len, [heading, *cells]))) for cell in [heading, *cells]]
        for heading, cells in columns.items()
        if any(cells)
    ]
    figures = [GAP.join(line) for line in zip(*texts, strict=True)]
    if not rows:
        return []
    room = WIDTH - len(GAP) - len(figures[0])
    names = ["", *(shortened(row["metric"], room) for row in rows)]
    longest = max(map(len, names))
    lines = [f"{name:{longest}}{GAP}{line}" for name, line in zip(names, figures, strict=True)]
    return ["", *lines, *([ORIGIN] if any(columns["train"] + columns["val"]) else []), ""]


def four_digits(number: str) -> str:
    """As 0.9900 and 2549; "" stays empty."""
    return number and f"{float(number):#.4g}".rstrip(".")
