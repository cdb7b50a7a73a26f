"""The command `compare`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..errors import RunError
from ..search.comparison import metric_rows, settings_rows
from ..search.records import Record, records_in
from ..search.table import Column, blocks_of
from . import configurations
from .arguments import FlagParser, runs_folder
from .project import Project
from .runs import chosen

FORMATS = (".png", ".svg", ".pdf")


def main(args: list[str], project: Project) -> None:
    """Compare runs: the settings that differ, metrics side by side, and their curves over one another in a picture."""
    parser = FlagParser(prog=f"{project.program} compare", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="+", metavar="RUN", help="a run, or a sweep for all of its runs")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the picture; compare.png in the folder of runs")
    parser.add_argument("--runs", type=Path, default=Path(runs_folder(project)), help="folder in which all runs lie")
    flags = parser.parse_args(args[1:])
    records = chosen(records_in(flags.runs, configurations.read), flags.names, flags.runs)
    if len(records) < 2:
        raise RunError("there is one run, and nothing to compare it with", "compare RUN RUN")
    output = flags.output or flags.runs / "compare.png"
    if output.suffix.lower() not in FORMATS:
        raise RunError(f"--output {output}: a picture is one of {', '.join(FORMATS)}", f"{output.stem}.png")
    settings = settings_rows(records)
    print_side_by_side("setting", records, settings)
    print("" if settings else "The settings are the same.\n")
    print_side_by_side("metric", records, metric_rows(records))
    if draw(records, output):
        print(f"\nCurves:      {output.resolve()}")


def print_side_by_side(what: str, records: Sequence[Record], rows: Sequence[Sequence[str]]) -> None:
    """A column for each run; those that have no room beside the others stand below them."""
    if not rows:
        return
    names, *cells = zip(*rows, strict=True)
    columns = [Column(record.name, column) for record, column in zip(records, cells, strict=True)]
    print("\n".join(blocks_of(Column(what, names, to_the_right=False), columns)))


def draw(records: Sequence[Record], output: Path) -> bool:
    """Draw all curves; False if there are none."""
    from ..search.charts import draw_curves, panels_of, save_picture  # which import matplotlib

    names = [record.name for record in records]
    panels = panels_of([record.folder for record in records])
    draws = [
        partial(draw_curves, title=metric, curves=curves, is_several=True, names=names)
        for metric, curves in panels.items()
    ]
    if draws:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            save_picture(draws, output)
        except OSError as error:
            raise RunError(f"{output} cannot be written: {error.strerror}", "--output with another file") from error
    return bool(draws)
