"""The command `runs`."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError
from ..search.conditions import filtered, parsed, sorted_by
from ..search.overview import columns_of, rows_of
from ..search.records import Record, records_in
from ..search.table import lines_of
from . import configurations
from .arguments import FlagParser, runs_folder
from .project import Project

ORIGIN = "val: with the best checkpoint; test: by the command test"


def main(args: list[str], project: Project) -> None:
    """List all runs: how far they are, how they ended, what they reached, and the settings in which they differ.

    A sweep is one line; `runs SWEEP` lists its runs. Settings and metrics are named in full or by their last part.
    """
    parser = FlagParser(prog=f"{project.program} runs", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="RUN", help="these runs alone, or those of a sweep")
    parser.add_argument("--filter", action="append", default=[], metavar='"lr > 0.01"', help="may be given again")
    parser.add_argument("--sort", metavar="NAME", help="lowest first; by the time of their start without it")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--csv", action="store_true", help="for programs; with all runs of sweeps")
    parser.add_argument("--runs", type=Path, default=Path(runs_folder(project)), help="folder in which all runs lie")
    flags = parser.parse_args(args[1:])
    conditions = [parsed(text) for text in flags.filter]
    records = chosen(records_in(flags.runs, configurations.read), flags.names, flags.runs)
    if conditions or flags.csv:
        records = single(records)
    found = filtered(records, conditions)
    if flags.sort:
        found = sorted_by(found, flags.sort, flags.reverse)
    elif flags.reverse:
        found = found[::-1]
    if flags.csv:
        names, rows = rows_of(found)
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *rows])
        return
    if not found:
        print(f"no runs{' that meet this' if records else ''} in {flags.runs.resolve()}")
        return
    print("\n".join([*lines_of(columns_of(found)), "", ORIGIN, f"{count(found)} in {flags.runs.resolve()}"]))


def chosen(records: Sequence[Record], names: Sequence[str], folder: Path) -> list[Record]:
    """The records of these names, and all of a sweep; all records without a name."""
    if not names:
        return list(records)
    known = {record.name: record for record in [*records, *single(records)]}
    found: dict[str, Record] = {}
    for name in names:
        record = known.get(name.rstrip("/"))
        if record is None:
            newest = ", ".join([one.name for one in records][:-4:-1]) or "none"
            raise RunError(f"there is no run {name!r} in {folder.resolve()}; the newest there: {newest}")
        found |= {one.name: one for one in record.runs or [record]}
    return list(found.values())


def single(records: Sequence[Record]) -> list[Record]:
    """All runs, those of sweeps each by itself."""
    return [run for record in records for run in record.runs or [record]]


def count(records: Sequence[Record]) -> str:
    runs = len(single(records))
    return f"{runs:,} run{'s' if runs != 1 else ''}"
