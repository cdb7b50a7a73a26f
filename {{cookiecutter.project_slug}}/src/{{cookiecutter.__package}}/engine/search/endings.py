"""How a process has ended, and why it failed: by its exit code, and by what it has printed."""

import os
import re
import signal
from pathlib import Path

from ..training.signals import STOPPING

LOG = "log.txt"  # in a run's folder: what its processes print
MOST_KILLS = 3  # after which a run is resumed
PLACE_IN_TORCH = re.compile(r"\[enforce fail at [^]]*\] \S+ == \S+ ")  # before what its allocator says


def is_signal(code: int) -> bool:
    """Whether a process with this exit code was killed or stopped by a signal."""
    return code < 0 or code - 128 in STOPPING


def signal_name(code: int) -> str:
    """That of the signal behind an exit code."""
    try:
        return signal.Signals(-code if code < 0 else code - 128).name
    except ValueError:
        return f"signal {-code}"


def killed_too_often(kills: int, code: int) -> str:
    return f"killed {kills} times, by {signal_name(code)} at last"


def reason_in(log: Path, begin: int, program: str) -> str:
    """Why a command has failed: the line that it ends with, or the last line of a traceback.

    Args:
        log: what it has printed.
        begin: where its output begins in the file, in bytes.
        program: the name with which our own lines begin.
    """
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    told = [line for line in lines if line.startswith(f"{program}: error: ")]
    if told:
        return PLACE_IN_TORCH.sub("", told[-1].removeprefix(f"{program}: error: "))
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit|Warning)?: ", line)]
    raised = [line for line in raised if not line.startswith(f"{program}: ")]
    reason = (raised or [line for line in lines if line.strip()] or ["it printed nothing"])[-1].strip()
    return PLACE_IN_TORCH.sub("", reason)


def size_of(path: Path) -> int:
    return os.path.getsize(path) if path.exists() else 0
