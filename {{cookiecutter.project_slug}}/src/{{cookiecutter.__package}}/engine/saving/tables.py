"""Tables as CSV, JSON lines and Parquet: made part by part, and joined to one file that is never in memory whole."""

import csv
import importlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import RunError

Columns = Mapping[str, Any]  # by name: an array of one dimension, or a list
INSTEAD_OF_PARQUET = "uv run --extra parquet, or pip install pyarrow; or a CSV file"


class Format(NamedTuple):
    """A format of tables.

    Args:
        encode: a part with these columns, as bytes.
        join: writes parts, in this order, to a file.
    """

    encode: Callable[[Columns], bytes]
    join: Callable[[Sequence[Path], IO[bytes]], None]


def encode_csv(columns: Columns) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*map(cells, columns.values()), strict=True))
    return text.getvalue().encode()


def join_csv(parts: Sequence[Path], file: IO[bytes]) -> None:
    header = b""
    for part in parts:
        with part.open("rb") as lines:
            own = next(lines)
            if own != (header or own):
                raise other_columns(own.decode(), header.decode())
            file.writelines(lines if header else [own, *lines])
            header = own


def encode_json_lines(columns: Columns) -> bytes:
    rows = zip(*([finite(cell) for cell in cells(column)] for column in columns.values()), strict=True)
    lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def join_lines(parts: Sequence[Path], file: IO[bytes]) -> None:
    for part in parts:
        with part.open("rb") as lines:
            file.writelines(lines)


def encode_parquet(columns: Columns) -> bytes:
    table = pyarrow("pyarrow").table(dict(columns))
    content = io.BytesIO()
    pyarrow("pyarrow.parquet").write_table(table, content)
    return content.getvalue()


def join_parquet(parts: Sequence[Path], file: IO[bytes]) -> None:
    parquet = pyarrow("pyarrow.parquet")
    schema = parquet.read_schema(parts[0])
    with parquet.ParquetWriter(file, schema) as writer:
        for part in parts:
            table = parquet.read_table(part)
            if table.schema != schema:
                raise other_columns(str(table.schema), str(schema))
            writer.write_table(table)


FORMATS = {
    ".csv": Format(encode_csv, join_csv),
    ".jsonl": Format(encode_json_lines, join_lines),
    ".parquet": Format(encode_parquet, join_parquet),
}


def format_of(path: Path) -> Format:
    """The format that a file's ending names; RunError if there is none, or what it needs is missing."""
    if path.suffix not in FORMATS:
        raise RunError(f"{path} must end with {' or '.join(FORMATS)}")
    if path.suffix == ".parquet":
        pyarrow("pyarrow.parquet")
    return FORMATS[path.suffix]


def cells(column: Any) -> list[Any]:
    """A column's values as Python's own. A float32 keeps the few digits that tell it from its neighbours."""
    if not hasattr(column, "dtype"):
        return list(column)
    return [float(str(value)) for value in column] if column.dtype == "float32" else column.tolist()


def finite(cell: Any) -> Any:
    """The cell, or None for an infinite number and for nan, which JSON does not have."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def other_columns(own: str, first: str) -> RunError:
    return RunError(f"some answers have the columns {own.strip()}, and those before {first.strip()}")


def pyarrow(name: str) -> Any:
    """A module of pyarrow, an extra of the project; RunError if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RunError("Parquet needs the package pyarrow, not installed here", INSTEAD_OF_PARQUET) from error
