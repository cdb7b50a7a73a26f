"""Files and folders that are there whole or not at all, whenever the process dies."""

import contextlib
import errno
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import RunError

SECONDS_OF_A_DAY = 24 * 60 * 60


def make_folder(folder: Path, setting: str) -> None:
    """Make a folder if need be, in which files can be written; RunError if that is not possible.

    Args:
        folder: where it lies.
        setting: the setting that names it, such as data.folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except (FileExistsError, NotADirectoryError):
        reason = "a file is in its place"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise RunError(f"{folder.absolute()} cannot be written: {reason}", f"--{setting} with another folder")


def part_of(path: Path) -> Path:
    """Where a checkpoint is written first. Always the same name, so what a kill leaves is overwritten, not piled up."""
    return path.with_name(f".{path.name}.part")


def previous(path: Path) -> Path:
    """Where the checkpoint before is kept while another one takes its place."""
    return path.with_name(f".{path.name}.old")


def replace(path: Path, part: Path) -> None:
    """Move a complete checkpoint to its place.

    A file replaces a file in one operation of the file system. Folders cannot, so the previous checkpoint is set aside
    first; `restore_previous` brings it back if the process dies between the two moves.
    """
    if part.is_file() and not path.is_dir():
        os.replace(part, path)
        return
    remove(previous(path))
    if path.exists():
        os.replace(path, previous(path))
    os.replace(part, path)
    remove(previous(path))


def write_text(path: Path, text: str) -> None:
    """Write a small file whole: what a kill or a power cut leaves is the file before, or this one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """The same for bytes."""
    part = part_of(path)
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def restore_previous(path: Path) -> None:
    """Bring back the checkpoint that a kill in the middle of `replace` has left aside."""
    if not path.exists() and previous(path).exists():
        os.replace(previous(path), path)


@contextlib.contextmanager
def new_folder(folder: Path, replaces: bool = False) -> Iterator[Path]:
    """Give a folder to fill, and move it to its place once it is filled.

    If there is one by then, as where another host was faster, that one stays unless `replaces` says otherwise.

    What a kill leaves of it is removed when the same folder is made again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in filter(is_abandoned, folder.parent.glob(f".{folder.name}.part-*")):
        shutil.rmtree(abandoned, ignore_errors=True)
    part = folder.parent / f".{folder.name}.part-{socket.gethostname()}-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)  # of a process that had this number before
    part.mkdir()
    try:
        yield part
        for path in part.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())  # or a power cut could leave the folder in its place, and its files empty
        replace(folder, part) if replaces else part.rename(folder)
    except OSError:
        if replaces or not folder.exists():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_abandoned(part: Path) -> bool:
    """Whether the process that filled this folder is gone. On another host, a day without a change says so."""
    try:
        host, _, process = part.name.rpartition(".part-")[2].rpartition("-")
        if host == socket.gethostname() and sys.platform != "win32":  # there, signal 0 ends a process
            os.kill(int(process), 0)
        return time.time() - part.stat().st_mtime > SECONDS_OF_A_DAY
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's process, or gone meanwhile
        return False


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
