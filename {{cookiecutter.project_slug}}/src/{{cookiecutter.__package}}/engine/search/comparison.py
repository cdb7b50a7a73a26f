"""Several runs side by side: their metrics, and the settings in which they differ."""

from collections.abc import Sequence

from .evaluated import interval_of, intervals_in
from .overview import duration, number_of, ordered_tests, unique
from .records import Record
from .settings import differing, setting


def metric_rows(records: Sequence[Record]) -> list[list[str]]:
    """A line for each metric, with a cell for each run: validation with the best checkpoint, then the test."""
    best = unique(record.metric for record in records if record.metric in record.metrics)
    others = unique(name for record in records for name in record.metrics if name not in best)
    rows = [[name, *(number_of(record.metrics.get(name)) for record in records)] for name in [*best, *others]]
    intervals = [intervals_in(record.folder / "test") for record in records]
    for name in ordered_tests(records, best):
        rows.append([name, *(number_of(record.tests.get(name)) for record in records)])
        sure = [
            interval_of(of_run.get(name)) if name in record.tests else ""
            for record, of_run in zip(records, intervals, strict=True)
        ]
        rows += [["95% interval", *sure]] if any(sure) else []
    rows.append(["state", *(record.state or "?" for record in records)])
    rows.append(["time", *(duration(record.seconds) for record in records)])
    rows.append(["step", *("" if record.step is None else str(record.step) for record in records)])
    return rows


def settings_rows(records: Sequence[Record]) -> list[list[str]]:
    """A line for each setting in which the runs differ, with a cell for each of them."""
    return [[name, *(setting(record, name) for record in records)] for name in differing(records)]
