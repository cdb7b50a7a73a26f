"""What the repetitions of a training say together: a line for each, a table, and the table as a file."""

import csv
import io
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from ..saving.atomic import write_text
from .endings import LOG
from .overview import number_of
from .repetitions import Repetition, Repetitions
from .statistics import Estimate, estimate
from .table import Column, lines_of
from .told import SHOWN, WIDTH, cut, duration, folder_name

FILE = "estimates.csv"
SHARED = """\
Folds share data, so the intervals are approximate, and often too narrow
(Bengio and Grandvalet 2004)."""


def line(repetition: Repetition, seconds: float) -> str:
    """One that says how a repetition has ended, with as many metrics as there is room for."""
    start = f"{time.strftime('%H:%M:%S')}   {folder_name(repetition.number)}"
    if repetition.error:
        return cut(f"{start}  failed: {repetition.error}")
    if not repetition.metrics:
        return f"{start}  was killed, and goes on"
    words = [f"{name} {number_of(value)}" for name, value in repetition.metrics.items()]
    lines = ["  ".join([start, f"{duration(seconds):>7}", *words[:length]]) for length in range(len(words) + 1)]
    return max((text for text in lines if len(text) <= WIDTH), key=len)


def estimates(repetitions: Sequence[Repetition]) -> dict[str, tuple[int, Estimate]]:
    """Of each metric, how many repetitions have it, and what they say of it."""
    names = dict.fromkeys(name for one in repetitions for name in one.metrics)
    values = {name: [one.metrics[name] for one in repetitions if name in one.metrics] for name in names}
    return {name: (len(found), estimate(found)) for name, found in values.items()}


def summary(repetitions: Repetitions, is_folds: bool) -> list[str]:
    """The lines at the end."""
    every = repetitions.all()
    done, failed = [one for one in every if one.metrics], [one for one in every if one.error]
    counts = {"done": len(done), "failed": len(failed), "under way elsewhere": len(every) - len(done) - len(failed)}
    lines = ["", ", ".join(f"{number} {name}" for name, number in counts.items() if number or name == "done")]
    for one in failed[:SHOWN]:
        text = f"{folder_name(one.number)} failed: {one.error}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    if failed:
        run = repetitions.folder / folder_name(failed[0].number)
        lines += [f"  see {run / LOG}; without its folder, the same command tries it again"]
    if done:
        lines += ["", *table(estimates(done)), *([SHARED] if is_folds else []), ""]
        lines += [f"Estimates:   {repetitions.folder / FILE}"]
    return lines


def table(found: dict[str, tuple[int, Estimate]]) -> list[str]:
    rows = [
        (name, number_of(one.mean), two_digits(one.deviation), f"{number_of(one.low)} to {number_of(one.high)}")
        for name, (_, one) in found.items()
    ]
    names, means, deviations, intervals = zip(*rows, strict=True)
    columns = [Column("mean", means), Column("deviation", deviations), Column("95% interval of the mean", intervals)]
    return lines_of([Column("", names, to_the_right=False), *columns])


def two_digits(value: float) -> str:
    return f"{value:#.2g}".rstrip(".") if abs(value) < 100 else f"{value:.0f}"


def write(folder: Path, repetitions: Sequence[Repetition]) -> None:
    """Keep the table, with numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "runs", "mean", "deviation", "low", "high"])
    writer.writerows([name, count, *one] for name, (count, one) in estimates(repetitions).items())
    write_text(folder / FILE, text.getvalue())
