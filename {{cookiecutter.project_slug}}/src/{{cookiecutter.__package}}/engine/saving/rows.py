"""Reads metrics.csv and the other tables of a run as far as they are whole: a kill or a disk may have cut them."""

import csv
from pathlib import Path
from typing import Any

Points = list[tuple[int, float]]  # (optimizer step, value)


def read(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns and rows of a file, as far as they can be read; none if there is no file."""
    rows = []
    try:
        with path.open(newline="", errors="replace") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            for row in reader:
                rows.append(row)
    except (FileNotFoundError, IsADirectoryError):
        return [], []
    except csv.Error:  # what follows is no text
        pass
    return columns, rows


def is_whole(row: dict[str, Any]) -> bool:
    """Whether a row has a number in each of its cells, if any, and a step."""
    try:
        values = [float(value) for value in row.values() if value != ""]
    except (TypeError, ValueError):  # a row that is too short has None, one that is too long a list
        return False
    return bool(values) and row.get("step", "").isdigit()


def read_panels(path: Path) -> dict[str, dict[str, Points]]:
    """Curves by metric and stage: {"loss": {"train": points, "val": points}, ..., "learning rate": ...}."""
    names, rows = read(path)
    panels: dict[str, dict[str, Points]] = {}
    # Losses first, learning rates last, training before validation: the same places and colours in every picture.
    columns = sorted(set(names) - {"epoch", "step"}, key=lambda name: ("/" not in name, "/loss" not in name, name))
    for column in columns:
        stage, _, name = column.rpartition("/")
        points = [(int(row["step"]), float(row[column])) for row in filter(is_whole, rows) if row[column]]
        if not points:
            continue
        panels.setdefault(name if stage else "learning rate", {})[stage or name] = points
    return panels
