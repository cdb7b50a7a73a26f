"""One trainer a run: a lock on its folder, which the system releases when the process that holds it ends, or is killed.

On POSIX, a record lock (fcntl.lockf): unlike flock's, it is not inherited by the workers of a DataLoader, which may
live on for a while after their parent is killed.
"""

import contextlib
import errno
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import RunError

FILE = ".lock"
# What a file system without locks answers: some network file systems, and those mounted with nolock.
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
own: set[str] = set()  # the runs whose locks this process holds: opening and closing such a file would release it

if sys.platform == "win32":
    import msvcrt

    def lock(file: IO[str]) -> None:
        file.seek(2**30)  # behind the text, which others are to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def is_locked(file: IO[bytes]) -> bool:
        try:
            file.seek(2**30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
            return False
        except OSError:
            return True
else:
    import fcntl

    # struct flock: the kind of a lock, then where it begins and ends, and who has it; the other way round on BSDs.
    LAYOUT, KIND = ("qqihh", 3) if sys.platform == "darwin" else ("hhqqi", 0)

    def lock(file: IO[str]) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_locked(file: IO[bytes]) -> bool:
        wanted = [0] * len(LAYOUT)
        wanted[KIND] = fcntl.F_WRLCK
        found = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(LAYOUT, *wanted))
        return struct.unpack(LAYOUT, found)[KIND] != fcntl.F_UNLCK


@contextlib.contextmanager
def locked(run: Path, use: str = "", hint: str = "another --run, or --fresh") -> Iterator[None]:
    """Hold the lock of a run's folder, which is made if need be; leave no folder behind if nothing has begun in it.

    Args:
        run: the folder.
        use: what another process does with it that holds the lock; without, it trains the run.
        hint: what to try then.

    Raises:
        RunError: if another process holds the lock, or the folder cannot be written.
    """
    file = acquire(run, use or f"run {run.name} is being trained", hint)
    path = os.path.realpath(run)
    own.add(path)
    try:
        yield
    finally:
        own.discard(path)
        with contextlib.suppress(OSError):  # Windows does not delete a file that is open
            if os.listdir(run) == [FILE]:
                Path(run, FILE).unlink()
        if file:
            file.close()


def is_held(run: str | os.PathLike[str]) -> bool:
    """Whether a process trains a run at this moment, without taking its lock even for an instant.

    False where the file system has no locks, or the lock cannot be asked for.
    """
    if own and os.path.realpath(run) in own:
        return True
    try:
        with open(os.path.join(run, FILE), "rb", buffering=0) as file:
            return is_locked(file)
    except OSError:
        return False


def acquire(run: Path, use: str, hint: str) -> IO[str] | None:
    """The locked file; None where the file system has no locks, which a line says."""
    path = run / FILE
    while True:
        try:
            run.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{run} cannot be written: {error.strerror}") from error
        try:
            lock(file)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                print(f"The file system of {run} has no locks: start no second command that writes it", file=sys.stderr)
                return None
            raise RunError(f"{use} by {holder(file)}", hint) from error
        if is_still_there(file, path):
            file.truncate(0)
            json.dump({"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%F %T")}, file)
            file.flush()
            return file
        file.close()  # its holder has just ended and taken it away


def is_still_there(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        return "process {process} on {host} since {since}".format(**json.load(file))
    except (ValueError, KeyError, OSError):
        return "another process"
