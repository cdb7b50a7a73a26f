"""The command `report`."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError
from ..saving.atomic import write_text
from ..search import found
from ..search.records import Record, records_in
from . import configurations
from .arguments import FlagParser, naming, runs_folder
from .project import Project
from .runs import chosen, single

FILE = "report.html"


def main(args: list[str], project: Project) -> None:
    """Write a page about a run, a sweep, or several runs compared: one file, which opens from a mail.

    Of a run, it has what was run, curves, metrics, time, and what `test` and `validate` kept; of a sweep, its best
    trials, what mattered, and a chart for each setting that was searched.
    """
    parser = FlagParser(prog=f"{project.program} report", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="RUN", help="runs or sweeps; the newest run without any")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"{FILE} in the folder of the run without it")
    parser.add_argument("--runs", type=Path, default=Path(runs_folder(project)), help="folder in which all runs lie")
    flags = parser.parse_args(args[1:])
    if len(flags.names) == 1 and (sweep := found.read(folder := flags.runs / flags.names[0])):
        return write(of_sweep(folder, sweep, project), flags.output or folder / FILE)
    records = records_in(flags.runs, configurations.read)
    if not records:
        raise RunError(f"there is no run yet in {flags.runs.resolve()}", f"{project.program} fit")
    reported = chosen(records, flags.names, flags.runs) if flags.names else newest(records)
    output = flags.output or place_of(reported, flags.names, flags.runs)
    from ..search.report import report_on  # imports matplotlib

    write(report_on(reported, project.program), output)


def of_sweep(folder: Path, sweep: found.Found, project: Project) -> str:
    """The page of a sweep."""
    from ..search.sweep_page import page_of  # here too

    return page_of(folder, sweep, project.program, lambda run: naming(run, project))


def write(page: str, output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, page)
    except OSError as error:
        raise RunError(f"{output} cannot be written: {error.strerror}", "--output with another file") from error
    print(f"Report:      {output.resolve()}")


def newest(records: Sequence[Record]) -> list[Record]:
    """The run that was started last, no matter what sweeps there are; a run of a sweep if there is nothing else."""
    return [record for record in records if not record.runs][-1:] or single(records)[-1:]


def place_of(records: Sequence[Record], names: Sequence[str], runs: Path) -> Path:
    """In the folder of a run, or of a sweep that is reported as a whole; in that of all runs for others."""
    if len(records) == 1:
        return records[0].folder / FILE
    return (runs / names[0] if len(names) == 1 else runs) / FILE
