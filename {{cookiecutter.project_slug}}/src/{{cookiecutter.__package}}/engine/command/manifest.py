"""manifest.json: what a training was run with, and the version of its run folder's format."""

import json
import os
import platform
import socket
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunError
from ..saving.atomic import write_text
from . import older

if TYPE_CHECKING:  # whether a run can be read is asked before torch is imported
    import pytorch_lightning as pl

FILE = older.MANIFEST
FORMAT = 1  # of the whole run folder; a later template reads the earlier ones
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy")


def write(run: Path, program: str, command: str, trainer: "pl.Trainer") -> None:
    """Write the manifest of a training that begins.

    Args:
        run: the run's folder.
        program: the name of the installed command.
        command: the command line, without secrets.
        trainer: the Trainer, once it has its devices.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    manifest = {
        "format": FORMAT,
        "command": command,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "git": git_state(Path(__file__).parent),
        "versions": versions((*PACKAGES, program)),
        "hardware": hardware(trainer),
        "seed": int(seed) if seed else None,
        "code": older.code_in_front(),
    }
    write_text(run / FILE, json.dumps(manifest, indent=2) + "\n")


def refuse_newer(run: Path) -> None:
    """Raise RunError if a later template than this one has written the run's folder."""
    try:
        number = json.loads((run / FILE).read_text(encoding="utf-8"))["format"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # it is kept for people, and a run can do without
        return
    if isinstance(number, int) and number > FORMAT:
        message = f"run {run.name} has format {number}, and this version of the engine reads formats up to {FORMAT}"
        raise RunError(message, "cruft update, which brings the newest engine")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit, and whether files differ from it; None outside a repository, or before its first commit."""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or not commits[0].isalnum():  # "(initial)"
        return None
    return {"commit": commits[0], "dirty": any(not line.startswith("# ") for line in lines)}


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
