"""The table of all runs."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from .conditions import as_text
from .records import Record
from .settings import differing, setting, short_names
from .table import Column

FIELDS = ("run", "state", "started", "time", "epoch", "step", "commit")


def columns_of(records: Sequence[Record]) -> list[Column]:
    """The columns of the table, with the ranks by which they stay where there is no room for all."""
    best = unique(record.metric for record in records if record.metric in record.metrics)
    tests = ordered_tests(records, best)
    single = [record for record in records if not record.runs]
    names = differing(single)
    shorter = short_names(names, {name for record in single for name in record.settings})
    commits = {record.commit for record in records}

    def column(name: str, cell: Callable[[Record], str], rank: int, to_the_right: bool = True) -> Column:
        return Column(name, [cell(record) for record in records], rank, to_the_right)

    columns = [
        column("run", lambda one: f"{one.name} ({len(one.runs)} runs)" if one.runs else one.name, 0, False),
        column("state", lambda one: one.state or "?", 1, False),
        column("started", lambda one: day_and_time(one.started), 7, False),
        column("time", lambda one: duration(one.seconds), 5),
        column("step", lambda one: "" if one.step is None else str(one.step), 6),
    ]
    columns += [Column(name, [number_of(record.metrics.get(name)) for record in records], 2) for name in best]
    for place, name in enumerate(tests):
        cells = [number_of(record.tests.get(name)) for record in records]
        columns.append(Column(name, cells, 3 if place == 0 else 8))
    for place, name in enumerate(names):
        cells = ["" if record.runs else in_few_digits(record, name) for record in records]
        is_number = all(isinstance(record.settings.get(name), int | float | None) for record in single)
        columns.append(Column(shorter[name], cells, 4 + (place > 2) * 5 + place, is_number))
    if any(commits):
        columns.append(column("commit", lambda one: one.commit, 5 if len(commits) > 1 else 10, False))
    return columns


def in_few_digits(record: Record, name: str) -> str:
    """A setting as text: what a sweep has drawn has 16 digits."""
    value = record.settings.get(name)
    return f"{value:.4g}" if isinstance(value, float) else setting(record, name)


def ordered_tests(records: Sequence[Record], best: Sequence[str]) -> list[str]:
    """The names of all test metrics; last that of which the validation's is shown already, mostly the loss."""
    names = unique(name for record in records for name in record.tests)
    shown = {name.rpartition("/")[2] for name in best}
    return sorted(names, key=lambda name: name.rpartition("/")[2] in shown)


def rows_of(records: Sequence[Record]) -> tuple[list[str], list[list[Any]]]:
    """The same for programs: one row a run, times in seconds and ISO 8601, numbers in full, settings by full name."""
    metrics = unique(name for record in records for name in record.metrics)
    tests = unique(name for record in records for name in record.tests)
    names = [*FIELDS, *metrics, *(name for name in tests if name not in metrics), *differing(records)]
    rows = []
    for record in records:
        values = record.values()
        rows.append([in_cell(values.get(name, "")) for name in names])
    return names, rows


def in_cell(value: Any) -> Any:
    return "" if value is None else value if isinstance(value, int | float) else as_text(value)


def unique(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def number_of(value: float | None) -> str:
    """Four digits; "" for none."""
    if value is None:
        return ""
    return f"{value:#.4g}".rstrip(".") if abs(value) < 1e4 else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, as 26:05:00."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def day_and_time(started: str) -> str:
    """As "11-26 14:05" of this year, "2025-11-26" of another one."""
    try:
        when = datetime.fromisoformat(started).astimezone()
    except ValueError:
        return ""
    return f"{when:%m-%d %H:%M}" if when.year == datetime.now().year else f"{when:%Y-%m-%d}"
