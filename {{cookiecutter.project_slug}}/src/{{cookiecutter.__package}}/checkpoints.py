"""How a run is saved and found again: one folder a run, runs/NAME."""

import io
import os
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.plugins.io import AsyncCheckpointIO
from torch import Tensor

from . import shards
from .secrets import without_secrets

RUNS = Path("runs")
# The processes that Lightning starts beside the first one learn the run's name from here.
VARIABLE = f"{__package__.upper()}_RUN"


class RunError(Exception):
    """What was asked for cannot be had; the message is for the user, and so is what to try instead, if anything."""

    def __init__(self, message: str, attempt: str = "") -> None:
        super().__init__(message)
        self.attempt = attempt


class Finished(Exception):
    """There is nothing left to train; the message is for the user."""


def unfinished_run(name: str | None, fresh: bool) -> Path | None:
    """The folder of a training that goes on: one with this name exists, and no fresh one is wanted."""
    name = shared_name() or name or job_name()
    run = named_run(name) if name and not fresh else None
    return run if run and (run / "config.yaml").is_file() else None


def new_run(name: str | None, fresh: bool) -> Path:
    """The folder for a new training, beside those that exist.

    The name is the given one, or that of the SLURM or torchrun job, so that all its processes agree,
    or else the time.
    """
    if shared := shared_name():
        return RUNS / shared
    name = name or job_name()
    run = named_run(name) if name else timed_run()
    number = 2
    while fresh and (run / "config.yaml").exists():
        run = RUNS / f"{name}-{number}"
        number += 1
    os.environ[VARIABLE] = run.name
    return run


def last_checkpoint(run: Path) -> tuple[Path | None, int]:
    """Where an unfinished training goes on, and its step; None and 0 if nothing has been saved.

    Raises:
        Finished: if the training has come to its end.
    """
    file = run / "checkpoints" / "last.ckpt"
    if not file.exists() and old(file).exists():
        os.replace(old(file), file)
    if not file.exists():
        return None, 0
    saved = read(file)
    if saved.get("resume", {}).get("finished"):
        raise Finished(f"run {run.name} is finished; --fresh starts over beside it, another --run a new one")
    return file, saved["global_step"]


def old_run(name: str | None, path: str | None) -> Path | None:
    """The folder of the named training, or that in which a checkpoint lies, or that of the newest training, if any."""
    known = sorted(RUNS.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
    if name and not (named_run(name) / "config.yaml").is_file():
        newest = ", ".join(path.parent.name for path in known[:-4:-1]) or "none"
        raise RunError(f"there is no run {name!r} in {RUNS.resolve()}; the newest there: {newest}")
    if name:
        return named_run(name)
    folder = Path(path or "").parent
    if folder.name == "checkpoints" and (folder.parent / "config.yaml").is_file():
        return folder.parent
    return known[-1].parent if known else None


def checkpoint(run: Path | None, path: str) -> Path:
    """The file behind --ckpt_path: `best` and `last` are the run's own, anything else is a path."""
    if "://" in path:
        raise RunError(f"--ckpt_path {path} is an address; download the file and give its path")
    own = path in ("best", "last")
    if own and run is None:
        raise RunError(f"there is no training in {RUNS.resolve()} yet; start one with fit")
    file = run / "checkpoints" / f"{path}.ckpt" if own and run else Path(path)
    if not file.exists():
        raise RunError(f"there is no checkpoint {file}; give --ckpt_path best, last or a path")
    read(file)
    return file


def read(file: Path) -> dict[str, Any]:
    """What a checkpoint holds, read without running any code from it; tensors stay on disk until they are used."""
    try:
        if file.is_dir():
            return shards.summary(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever the unpickler meets in a file that is torn or made by somebody else
        raise unreadable(file, error) from error


def unreadable(file: Path, error: BaseException) -> RunError:
    code = "it holds more than tensors and plain values, and loading that could run code"
    reason = code if "Weights only load failed" in str(error) else "the file is damaged or no checkpoint"
    return RunError(f"{file} cannot be loaded: {reason}")


def refuse_other_model(file: Path, saved: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Raise RunError with the first difference if a checkpoint's weights do not fit these: {name: tensor}."""
    for name in [*weights, *saved]:
        shapes = [tuple(where[name].shape) if name in where else "missing" for where in (saved, weights)]
        if shapes[0] != shapes[1]:
            raise RunError(f"{file} is of another model: {name} is {shapes[0]} in it and {shapes[1]} here")


class CheckpointIO(AsyncCheckpointIO):
    """Saves in the background, and only what can be read back without running code; reads nothing else."""

    def __init__(self) -> None:
        super().__init__(WholeFiles())
        self.tried = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        make_plain(checkpoint, tried=self.tried)
        self.tried = True
        # Lightning copies the tensors where they are, and on a device there may be no room for a second state.
        checkpoint = apply_to_collection(checkpoint, Tensor, Tensor.cpu)
        super().save_checkpoint(checkpoint, path, storage_options)


class WholeFiles(TorchCheckpointIO):
    """A checkpoint is there whole or not at all; the one before it stays until then."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")  # always the same name: what a kill leaves is used again
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            put(part, path)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            part.unlink(missing_ok=True)
            free = shutil.disk_usage(path.parent).free / 2**20
            raise RunError(
                f"{path} cannot be written, with {free:.0f} MiB left on its disk; the one before it is kept, if there"
                f" is one, and the same command goes on from it ({' '.join(str(error).split())[:80]})"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only=True)


def make_plain(checkpoint: dict[str, Any], tried: bool = False) -> None:
    """Take secrets out of a checkpoint; raise RunError, unless it was tried before, for what could not be loaded."""
    for section in [key for key in checkpoint if key.endswith("hyper_parameters")]:
        checkpoint[section] = without_secrets(checkpoint[section])
    if not tried:
        refuse_code(checkpoint)


def put(part: Path, path: Path) -> None:
    """Have a whole checkpoint take the place of the one before it, which a kill in between leaves under OLD."""
    if part.is_file() and not path.is_dir():
        os.replace(part, path)
        return
    remove(old(path))
    if path.exists():
        os.replace(path, old(path))
    os.replace(part, path)
    remove(old(path))


def old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def refuse_code(checkpoint: dict[str, Any]) -> None:
    """Raise RunError for what could be saved, and then not be loaded safely."""
    for section in checkpoint.keys() - {"state_dict", "optimizer_states"}:  # tensors, too many to try
        value = checkpoint[section]
        for name, part in value.items() if isinstance(value, dict) else [("", value)]:
            if not is_plain(part):
                raise RunError(
                    f"{section} {name} is a {type(part).__name__}, which no checkpoint can be loaded with safely;"
                    " use numbers, text, lists, dicts or tensors"
                )


def is_plain(value: object) -> bool:
    """Whether a value survives a checkpoint."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # each kind of object has its own way not to be saved or loaded
        return False
    return True


def shared_name() -> str | None:
    """The run's name in a process that Lightning starts beside the first one."""
    return os.environ.get(VARIABLE) if int(os.environ.get("LOCAL_RANK", 0)) > 0 else None


def job_name() -> str | None:
    if job := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{job}"
    job = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if job != "none":
        return f"torchrun-{job}"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if os.environ["GROUP_WORLD_SIZE"] != "1":
            raise RunError("several hosts need one name for their run", "torchrun --rdzv-id NAME, or fit --run NAME")
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
