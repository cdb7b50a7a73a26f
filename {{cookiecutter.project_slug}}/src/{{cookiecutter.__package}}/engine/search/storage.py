"""Where the trials of a sweep are kept: a file in its folder, or a database that several hosts reach."""

import os
import random
import re
import time
import warnings
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..saving.lock import WITHOUT_LOCKS, lock
from ..saving.secrets import without_secrets
from . import library

JOURNAL = "study.journal"
SECONDS_BETWEEN_TRIES = 0.002
# What databases say if several hosts that begin a sweep make its tables at once, of which one succeeds.
MADE_AT_ONCE = re.compile("already exists|duplicate key", re.IGNORECASE)
TRIES, SECONDS_BETWEEN_HOSTS = 20, 0.2


class JournalLock:
    """Lets one process at a time write the journal; a kill releases it, where Optuna's own waits half a minute.

    Args:
        path: the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> bool:
        self.file = self.path.with_name(f".{self.path.name}.lock").open("a", encoding="utf-8")
        while True:
            try:
                lock(self.file)
                break
            except OSError as error:
                if error.errno in WITHOUT_LOCKS:
                    break
                time.sleep(SECONDS_BETWEEN_TRIES)
        remove_torn_line(self.path)
        return True

    def release(self) -> None:
        self.file.close()


def remove_torn_line(path: Path) -> None:
    """Remove the end of a journal that a kill has left without its end of line: the next line would join it."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            begin = max(0, end - 4096)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
        if end < size:
            file.truncate(end)


def open_storage(address: str | None, folder: Path) -> Any:
    """Optuna's storage at an address, or in a sweep's folder without one."""
    optuna = library.optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")  # of bounds that no number of steps reaches
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if address is None:
        path = folder / JOURNAL
        backend = optuna.storages.journal.JournalFileBackend(str(path), lock_obj=JournalLock(path))
        return optuna.storages.JournalStorage(backend)
    for _ in range(TRIES):
        try:
            return optuna.storages.get_storage(address)
        except ImportError as error:
            driver = getattr(error.__cause__, "name", None) or getattr(error.__context__, "name", None)
            hint = f"uv add {driver}" if driver else ""
            what = f"storage: the driver of that database is not installed: {driver or error}"
            raise RunError(what, hint) from error
        except Exception as error:  # each database has its own
            reason = str(without_secrets(str(error))).partition("\n")[0]
            if not MADE_AT_ONCE.search(reason):
                break
            time.sleep(SECONDS_BETWEEN_HOSTS * (1 + random.random()))
    raise RunError(f"storage {without_secrets(address)} cannot be used: {reason}")
