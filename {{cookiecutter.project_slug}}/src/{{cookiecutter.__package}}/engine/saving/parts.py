"""A file that is written in parts beside its place, so that a command that was killed goes on where it was."""

import csv
import hashlib
import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import RunError
from .atomic import make_folder, part_of, write_bytes, write_text
from .lock import locked
from .tables import Columns, format_of

ABOUT = "about.json"
REJECTS = ("id", "place", "reason")


class Joined(NamedTuple):
    """What a finished output consists of: the number of answers, and that of rejects."""

    answers: int
    rejects: int


class Parts:
    """The parts of an output. Each is there whole or not at all, and all are from the same inputs and the same model.

    Args:
        output: the file that they become, with an ending of tables.FORMATS.
        about: by name, what all parts depend on, as text: parts that depended on something else are thrown away.
        overwrite: whether the output may be there already.
    """

    def __init__(self, output: Path, about: dict[str, str], overwrite: bool) -> None:
        self.output = output
        self.about = about
        self.overwrite = overwrite
        self.folder = folder_of(output)
        self.rejects = rejects_of(output)
        self.format = format_of(output)
        self.held = ExitStack()

    def begin(self) -> set[int]:
        """Take hold of the folder, and return the numbers of the parts that are there already.

        Raises:
            RunError: if another process writes them, or the output is there and may not be overwritten.
        """
        make_folder(self.output.parent, "output")
        self.held.enter_context(locked(self.folder, f"{self.output} is being written", "another --output"))
        before = self._read_about()
        changed = [name for name, value in self.about.items() if before.get(name) != value]
        existing = [path for path in (self.output, self.rejects) if path.exists()]
        # What is there may be this very output, if a kill came before its last part was removed.
        if existing and not self.overwrite and (changed or before["overwrites"]):
            self.held.close()
            with suppress(OSError):  # not empty: parts of another command
                self.folder.rmdir()
            raise exists(existing[0])
        if changed:
            if before:
                print(f"Starts over, because other parts of {self.output} are there, of another {', '.join(changed)}")
            self._remove_parts()
            write_text(self.folder / ABOUT, json.dumps({**self.about, "overwrites": bool(existing)}))
        return {int(path.stem) for path in self.folder.glob("*.answers")}

    def write(self, number: int, columns: Columns, rejects: list[tuple[str, str, str]]) -> None:
        """Keep a part; without columns, it has rejects alone."""
        answers = len(next(iter(columns.values()), []))
        text = json.dumps({"answers": answers, "rejects": rejects})
        write_text(self._path(number, "json"), text)
        write_bytes(self._path(number, "answers"), self.format.encode(columns) if answers else b"")

    def join(self, count: int) -> Joined:
        """Make the output of so many parts, and one of their rejects if there are any, and remove the parts."""
        files = [self._path(number, "answers") for number in range(count)]
        if missing := [file for file in files if not file.exists()]:
            raise RunError(f"{missing[0]} is missing", "the same command, which makes it anew")
        joined = self._join_rejects(count)
        filled = [file for file in files if file.stat().st_size]
        if not filled:
            write_bytes(files[0], self.format.encode({"id": []}))
            filled = files[:1]
        with part_of(self.output).open("wb") as file:
            self.format.join(filled, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part_of(self.output), self.output)
        self._remove_parts()
        (self.folder / ABOUT).unlink()  # last: without it, what is left of the parts would not be known as theirs
        self.held.close()
        self.folder.rmdir()
        return joined

    def _join_rejects(self, count: int) -> Joined:
        answers = rejects = 0
        with part_of(self.rejects).open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(REJECTS)
            for number in range(count):
                part = json.loads(self._path(number, "json").read_text(encoding="utf-8"))
                table.writerows(part["rejects"])
                answers, rejects = answers + part["answers"], rejects + len(part["rejects"])
        if rejects:
            os.replace(part_of(self.rejects), self.rejects)
        else:
            part_of(self.rejects).unlink()
            self.rejects.unlink(missing_ok=True)  # of the output that is overwritten
        return Joined(answers, rejects)

    def _read_about(self) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _remove_parts(self) -> None:
        for pattern in ("*.answers", "*.json", ".*.part"):
            for path in self.folder.glob(pattern):
                if path.name != ABOUT:
                    path.unlink()

    def _path(self, number: int, ending: str) -> Path:
        return self.folder / f"{number:06}.{ending}"


def folder_of(output: Path) -> Path:
    """Where the parts of an output lie until it is whole."""
    return output.with_name(f".{output.name}.parts")


def rejects_of(output: Path) -> Path:
    """Where bad inputs are listed. Named after the output, so that two outputs in one folder have a list each."""
    return output.with_name(f"{output.stem}.rejects.csv")


def refuse_existing(output: Path) -> None:
    """Raise RunError if a file is there that a new output would overwrite, and none of its own parts are."""
    for path in (output, rejects_of(output)):
        if path.exists() and not folder_of(output).exists():
            raise exists(path)


def exists(path: Path) -> RunError:
    return RunError(f"{path} is there already", "--overwrite, or another --output")


def fingerprint(path: Path) -> str:
    """What tells a file, or a folder's files that are not hidden, from others: names, sizes, times of last changes."""
    digest = hashlib.sha256()
    if not path.is_dir():
        add_file(path, digest)
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))  # nor what Python compiles
        for name in sorted(names):
            if not name.startswith("."):
                add_file(Path(folder, name), digest)
    return digest.hexdigest()


def add_file(path: Path, digest: Any) -> None:
    state = path.stat() if path.exists() else None
    text = f"{path.absolute()}\0{state and (state.st_size, state.st_mtime_ns)}\n"
    digest.update(text.encode("utf-8", "backslashreplace"))
