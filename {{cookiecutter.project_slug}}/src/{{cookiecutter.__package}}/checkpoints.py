"""How a run is saved and found again: one folder a run, runs/NAME."""

import os
import re
from datetime import datetime
from pathlib import Path

RUNS = Path("runs")
# The processes that Lightning starts beside the first one learn the run's name from here.
VARIABLE = f"{__package__.upper()}_RUN"


class RunError(Exception):
    """A run or checkpoint that cannot be had; the message is for the user."""


def new_run(name: str | None) -> Path:
    """The folder for a new training.

    The name is the given one, or that of the SLURM or torchrun job, so that all its processes agree,
    or else the time.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0 and VARIABLE in os.environ:
        return RUNS / os.environ[VARIABLE]
    name = name or job_name()
    run = named_run(name) if name else timed_run()
    first = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0
    if first and (run / "config.yaml").exists():
        raise RunError(f"run {run.name!r} exists already; choose another name")
    os.environ[VARIABLE] = run.name
    return run


def old_run(name: str | None) -> Path | None:
    """The folder of the named training, or of the one that was started last; None if there is none at all."""
    known = sorted(RUNS.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
    if name and not (named_run(name) / "config.yaml").is_file():
        newest = ", ".join(path.parent.name for path in known[:-4:-1]) or "none"
        raise RunError(f"there is no run {name!r} in {RUNS.resolve()}; the newest there: {newest}")
    if name:
        return named_run(name)
    return known[-1].parent if known else None


def checkpoint(run: Path | None, path: str) -> Path:
    """The file behind --ckpt_path: `best` and `last` are the run's own, anything else is a path."""
    own = path in ("best", "last")
    if own and run is None:
        raise RunError(f"there is no training in {RUNS.resolve()} yet; start one with fit")
    file = run / "checkpoints" / f"{path}.ckpt" if own else Path(path)
    if not file.exists():
        raise RunError(f"there is no checkpoint {file}; give --ckpt_path best, last or a path")
    return file


def job_name() -> str | None:
    if job := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{job}"
    job = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if job != "none":
        return f"torchrun-{job}"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # Without --rdzv-id, the processes of one host have their parent in common, and nothing else.
        return f"torchrun-{os.getppid()}"
    return None


def named_run(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise RunError(f"--run {name!r} cannot name a folder; use letters, digits, - _ . as in first-try")
    return RUNS / name


def timed_run() -> Path:
    """A folder named after the time; made at once, so that two trainings that start together do not share it."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        run = RUNS / (now if number == 1 else f"{now}-{number}")
        try:
            run.mkdir(parents=True)
            return run
        except FileExistsError:
            number += 1
