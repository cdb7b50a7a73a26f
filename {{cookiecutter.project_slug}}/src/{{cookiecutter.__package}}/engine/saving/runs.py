"""One folder for each training: how it is named, and how it is found again."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ..devices.ranks import number_in
from ..errors import RunError
from .atomic import make_folder, restore_previous

CONFIG = "config.yaml"
# In the folder of a sweep, and of the repetitions of a training: its runs lie below it.
SWEEP = "sweep.yaml"
REPEAT = "repeat.yaml"
CHECKPOINTS = "checkpoints"
OWN = ("best", "last")  # the checkpoints that a run keeps
INDEX = ".metadata"  # in a checkpoint that is a folder of shards
FOLDERS = {CHECKPOINTS: "checkpoints", "validate": "tables and pictures", "test": "tables and pictures"}
TABLES = ("metrics.csv", "throughput.csv")
MEASURED = ("validate.json", "test.json")
FILES = (CONFIG, *TABLES, *MEASURED, "curves.png", "init_from.json", "summary.json", "predictions.pt")
LONGEST_NAME = 200  # in bytes; file systems take 255, also for what is put beside a file


class Runs:
    """The folder in which all runs lie.

    Args:
        folder: where it is; it need not exist yet.
        variable: the environment variable from which the processes that Lightning starts beside the first one learn
            the run's name.
    """

    def __init__(self, folder: Path, variable: str) -> None:
        self.folder = folder
        self.variable = variable
        self.made: Path | None = None  # the folder of a new training, if it was made for it
        self.absent = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]

    def unfinished(self, name: str | None, fresh: bool) -> Path | None:
        """The folder of a training to go on with: a run of this name exists, and no fresh one is wanted."""
        name = self._shared_name() or name or job_name()
        run = self.named(name) if name and not fresh else None
        if run is None or not is_run(run):
            return None
        # A second training in one process must not hand the first one's name to its other processes.
        os.environ[self.variable] = run.name
        return run

    def new(self, name: str | None, fresh: bool) -> Path:
        """The folder for a new training, beside those that exist.

        Its name is the given one, or that of the SLURM or torchrun job, so that all processes agree on it, or the time.
        """
        if shared := self._shared_name():
            return self.folder / shared
        make_folder(self.folder, "runs")
        name = name or job_name()
        run = self.named(name) if name else self._named_by_time()
        number = 2
        while fresh and (is_run(run) or (run / CHECKPOINTS).exists()):
            run = self.folder / f"{name}-{number}"
            number += 1
        os.environ[self.variable] = run.name
        self.made = run if not name or not os.path.lexists(run) else None
        return run

    def remove_unbegun(self, error: type[BaseException] | None, *_: object) -> None:
        """Remove the folder of a training that ended with an error before it began, with what loggers wrote there.

        Called at the end of a command. An empty folder is removed too, and those that were made around it.
        """
        with suppress(OSError):  # where something else lies in them
            if self.made and error and not is_run(self.made):
                shutil.rmtree(self.made)
            elif self.made:
                self.made.rmdir()
            for folder in self.absent:
                folder.rmdir()

    def trained(self, name: str | None, checkpoint: str | None) -> Path | None:
        """The folder of the named training, or that in which a checkpoint lies, or that of the newest training."""
        if name:
            if is_run(self.named(name)):
                return self.named(name)
            raise RunError(
                f"there is no run {name!r} in {self.folder.resolve()}; the newest there: {self.newest_names()}"
            )
        folder = Path(checkpoint or "").parent
        if folder.name == CHECKPOINTS and is_run(folder.parent):
            return folder.parent
        return next(iter(self.newest()), None)

    def newest(self) -> list[Path]:
        """All runs, by the time of their last training: one that goes on is the newest again, and the first here."""
        runs = [path.parent for path in self.folder.glob(f"*/{CONFIG}") if is_run(path.parent)]
        return sorted(runs, key=lambda run: (run / CONFIG).stat().st_mtime, reverse=True)

    def newest_names(self) -> str:
        return ", ".join(run.name for run in self.newest()[:3]) or "none"

    def named(self, name: str) -> Path:
        """The folder of a run of this name; RunError if there can be none."""
        run = self.folder_named(name)
        if has_runs(run):
            what = "is a sweep" if (run / SWEEP).is_file() else "is a training with its repetitions"
            raise RunError(f"{name} {what}", f"--run {name}/NUMBER for one of its runs")
        return run

    def folder_named(self, name: str) -> Path:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise RunError(f"--run {name!r} cannot name a folder", "letters, digits, - _ . as in first-try")
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise RunError(f"--run {name[:20]}... is too long: {len(name)} letters", "a name of at most 100")
        return self.folder / name

    def _named_by_time(self) -> Path:
        """A folder that is made at once, so that two trainings that start in the same second do not share it."""
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        number = 1
        while True:
            run = self.folder / (now if number == 1 else f"{now}-{number}")
            try:
                run.mkdir(parents=True)
                return run
            except FileExistsError:
                number += 1

    def _shared_name(self) -> str | None:
        """The run's name in a process that Lightning started beside the first one."""
        return os.environ.get(self.variable) if number_in("LOCAL_RANK") > 0 else None


def refuse_blocked(run: Path, trains: bool) -> None:
    """Raise RunError if a run's files cannot be written, those of a training too if there is one: not at its end."""
    for name in FILES:
        if (run / name).is_dir():
            raise RunError(f"{run / name} is a folder, where a file of the run belongs", "move it, or another --run")
    for name, what in FOLDERS.items():
        if os.path.lexists(run / name) and not (run / name).is_dir():
            raise RunError(f"{run / name} is no folder, in which {what} belong", "move it, or another --run")
    for folder in (run, run / CHECKPOINTS) if trains else (run,):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise RunError(f"{folder} cannot be written: {os.strerror(errno.EACCES)}", "--runs FOLDER")


def has_runs(folder: Path) -> bool:
    """Whether a folder is that of a sweep, or of the repetitions of a training."""
    return any((folder / marker).is_file() for marker in (SWEEP, REPEAT))


def in_group(folder: Path, name: str) -> tuple[Path, str]:
    """Where the run of a name lies, and its name there: SWEEP/007 is 007 in the folder of the sweep."""
    group, slash, number = name.partition("/")
    return (folder / group, number) if slash and has_runs(folder / group) else (folder, name)


def is_run(folder: Path) -> bool:
    """Whether a training has begun in this folder."""
    config = folder / CONFIG
    return os.path.isfile(config) and config.stat().st_size > 0  # which is False too for a name that is too long


def checkpoint_of(run: Path | None, wanted: str | None) -> Path:
    """The path behind --ckpt_path: `best` and `last` are the run's own, anything else is a path.

    Without --ckpt_path, it is that of the run's best checkpoint, or of its last one if the training keeps no best.
    """
    refuse_address("--ckpt_path", wanted)
    if wanted and wanted not in OWN:
        path = Path(wanted)
    elif run:
        names = (wanted,) if wanted else OWN
        path = kept_in(run, names) or path_in_run(run, names[0])
    else:
        raise RunError("there is no run yet whose checkpoint could be used", "fit, which makes one")
    if not os.path.exists(path):  # unlike Path.exists, it takes a name that is too long
        raise RunError(f"there is no checkpoint {path}", "--ckpt_path best, last or a path")
    return path


def path_in_run(run: Path, name: str) -> Path:
    """Where a run keeps its checkpoint `best` or `last`."""
    return run / CHECKPOINTS / f"{name}.ckpt"


def kept_in(run: Path, names: Sequence[str] = OWN) -> Path | None:
    """The first of these checkpoints that a run keeps: the best one, or the last one; None if it has none."""
    for name in names:
        path = path_in_run(run, name)
        restore_previous(path)
        if path.exists():
            return path
    return None


def refuse_address(flag: str, wanted: str | None) -> None:
    if wanted and "://" in wanted:
        raise RunError(f"{flag} {wanted} is an address", "the path of a file that you have downloaded")


def job_name() -> str | None:
    """A name after the SLURM or torchrun job that started this process; None without one."""
    if job := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{job}"
    job = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if job != "none":
        return f"torchrun-{job}"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if number_in("GROUP_WORLD_SIZE", "torchrun") > 1:
            raise RunError("several hosts need one name for their run", "torchrun --rdzv-id NAME, or fit --run NAME")
        # Without --rdzv-id, the processes of one host have nothing in common but their parent.
        return f"torchrun-{os.getppid()}"
    return None
