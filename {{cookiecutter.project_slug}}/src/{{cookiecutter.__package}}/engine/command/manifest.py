"""manifest.json: what a training was run with, and the version of its run folder's format."""

import hashlib
import json
import os
import platform
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunError
from ..saving.atomic import write_text
from . import commit, older

if TYPE_CHECKING:  # whether a run can be read is asked before torch is imported
    import pytorch_lightning as pl

FILE = older.MANIFEST
CODE = Path(__file__).parent
FORMAT = 1  # of the whole run folder; a later template reads the earlier ones
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy")
MOST_COMMANDS = 100  # that are kept of those that came after the training began
MOST_HASHED = 2**31  # bytes of data, some seconds; of what is larger, the size is kept


def write(run: Path, program: str, command: str, trainer: "pl.Trainer") -> None:
    """Write the manifest of a training that begins.

    Args:
        run: the run's folder.
        program: the name of the installed command.
        command: the command line, without secrets.
        trainer: the Trainer, once it has its devices.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    data: Any = getattr(trainer, "datamodule", None)
    git = commit.git_state(CODE)
    manifest = {
        "format": FORMAT,
        "command": command,
        "started": now(),
        "git": git,
        "versions": versions((*PACKAGES, program)),
        "hardware": hardware(trainer),
        "seed": int(seed) if seed else None,
        "code": older.code_in_front(),
        **({"data": hashes(data.source_files())} if hasattr(data, "source_files") else {}),
    }
    (run / commit.DIFF).unlink(missing_ok=True)  # of a training that had not begun
    if git and git["dirty"] and (changes := commit.diff(CODE)):
        write_text(run / commit.DIFF, changes)
    write_text(run / FILE, json.dumps(manifest, indent=2) + "\n")


def add_command(run: Path, program: str, command: str, began: float | None = None) -> None:
    """Add a command to those that used the run after its training had begun.

    Args:
        run: the run's folder. If its manifest is gone or damaged, it stays as it is.
        program: the name of the installed command.
        command: the command line, without secrets.
        began: by time.time, when it began, if it has ended.
    """
    with suppress(OSError, ValueError, AttributeError, TypeError):
        manifest = json.loads((run / FILE).read_text(encoding="utf-8"))
        entry: dict[str, Any] = {"command": command, "started": now(began)}
        if began:
            entry["seconds"] = round(time.time() - began, 1)
        entry |= {"git": commit.git_state(CODE), "versions": versions((*PACKAGES, program))}
        entry["host"] = socket.gethostname()
        later = [*manifest.get("later", []), entry]
        manifest["later"] = later[-MOST_COMMANDS:]
        write_text(run / FILE, json.dumps(manifest, indent=2) + "\n")


def now(moment: float | None = None) -> str:
    when = datetime.now() if moment is None else datetime.fromtimestamp(moment)
    return when.astimezone().isoformat(timespec="seconds")


def hashes(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The size and the SHA-256 of each file of the data, as long as all of them are read in some seconds."""
    found: dict[str, dict[str, Any]] = {}
    left = MOST_HASHED
    for path in map(Path, files):
        try:
            size = path.stat().st_size
            left -= size
            found[str(path)] = {"bytes": size, "sha256": sha256(path) if left >= 0 else None}
        except OSError as error:
            found[str(path)] = {"error": error.strerror}
    return found


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def refuse_newer(run: Path) -> None:
    """Raise RunError if a later template than this one has written the run's folder."""
    try:
        number = json.loads((run / FILE).read_text(encoding="utf-8"))["format"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # it is kept for people, and a run can do without
        return
    if isinstance(number, int) and number > FORMAT:
        message = f"run {run.name} has format {number}, and this version of the engine reads formats up to {FORMAT}"
        raise RunError(message, "cruft update, which brings the newest engine")


def versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a project that is run from its folder
            continue
    return found


def hardware(trainer: "pl.Trainer") -> dict[str, Any]:
    import torch

    device = trainer.strategy.root_device
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": trainer.world_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
