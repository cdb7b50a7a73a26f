"""A training that begins with weights that exist: --init_from and --init_partial, and how the run remembers them."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import RunError
from ..saving.atomic import write_text
from ..saving.runs import INDEX, Runs, is_run, kept_in, refuse_address
from .arguments import RunFlags

# Beside config.yaml and not in it, because that is also used for other runs, of which some go on from a checkpoint.
FILE = "init_from.json"


@dataclass(frozen=True)
class InitFrom:
    """The weights with which a run begins.

    Args:
        init_from: what was typed.
        init_partial: whether some weights may be missing or have another shape.
        path: the file, as an absolute path.
    """

    init_from: str
    init_partial: bool
    path: str


def init_from(flags: RunFlags, runs: Runs, run: Path, has_checkpoint: bool) -> InitFrom | None:
    """The weights with which a run begins, or began: those of --init_from, else those that it remembers.

    A run that has not saved a checkpoint yet begins with them again. One that has goes on from that, so that a job
    can repeat its command.

    Raises:
        RunError: if the run goes on and began otherwise, or if there are no such weights.
    """
    recorded = read_record(run)
    if has_checkpoint:
        began_with = (recorded.init_from, recorded.path) if recorded else ()
        if flags.init_from is not None and flags.init_from not in began_with:
            hint = f"fit --run NEW --init_from {flags.init_from}"
            raise RunError(f"run {run.name} is half done and goes on from its own last.ckpt", hint)
        return recorded
    if flags.init_from is not None:
        path = find(flags.init_from, runs)
        return InitFrom(flags.init_from, flags.init_partial, str(path.resolve()))
    if flags.ckpt_path:
        return None
    if recorded and not Path(recorded.path).exists():
        raise RunError(f"run {run.name} begins with the weights of {recorded.path}, which is gone", "--fresh")
    return recorded


def find(wanted: str, runs: Runs) -> Path:
    """The file behind --init_from: a run's best checkpoint or its last one, else a file, or a folder of shards."""
    refuse_address("--init_from", wanted)
    path = Path(wanted)
    for folder in (runs.folder / wanted, path):
        if is_run(folder):
            path = checkpoint_of(folder)
            break
    if not os.path.exists(path):
        raise RunError(f"--init_from {wanted}: there is no such run or file; the newest runs: {runs.newest_names()}")
    if path.is_dir() and not (path / INDEX).is_file():
        raise RunError(f"--init_from {wanted} is a folder, but neither a run nor a checkpoint")
    return path


def checkpoint_of(run: Path) -> Path:
    if path := kept_in(run):
        return path
    raise RunError(f"run {run.name} has no checkpoint yet", f"fit --run {run.name}, which goes on until it has one")


def read_record(run: Path) -> InitFrom | None:
    """With which weights a run began; None if it began with new ones, or has not begun."""
    file = run / FILE
    if not (is_run(run) and file.exists()):
        return None
    try:
        return InitFrom(**json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise RunError(f"{file} is damaged", "put it back, or --fresh to start over beside the run") from error


def write_record(run: Path, begun: InitFrom | None) -> None:
    """Remember it, before config.yaml makes a run of the folder."""
    file = run / FILE
    if begun is None:
        file.unlink(missing_ok=True)  # of a start that was killed before the run had begun
        return
    write_text(file, json.dumps(asdict(begun), indent=2) + "\n")
