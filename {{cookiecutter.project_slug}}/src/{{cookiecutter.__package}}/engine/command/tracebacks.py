"""Where an error comes from: the line of the team's own that led to it, and the module that raised it."""

import linecache
import traceback
from pathlib import Path
from types import FrameType


def own_line(error: BaseException, package: Path) -> str:
    """The last line of a team's own files in a traceback, with its place; nothing if there is none.

    Args:
        error: what was raised.
        package: the package's folder. Of its files, `engine/` and `__main__.py` are not a team's own.
    """
    place = ""
    for frame, number in frames(error):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(package) and file.relative_to(package).parts[0] not in ("engine", "__main__.py"):
            source = linecache.getline(str(file), number).strip()
            place = f"{file.relative_to(package)}, line {number}, in {frame.f_code.co_name}: {source}"
    return place


def is_of_engine(error: BaseException, package: Path) -> bool:
    """Whether the engine is the last of the package's files in a traceback."""
    files = [Path(frame.f_code.co_filename) for frame, _ in frames(error)]
    ours = [file.relative_to(package).parts[0] for file in files if file.is_relative_to(package)]
    return ours[-1:] == ["engine"]


def module_that_raised(error: BaseException) -> str:
    *_, (frame, _) = frames(error)
    return str(frame.f_globals.get("__name__", ""))


def frames(error: BaseException) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(error.__traceback__))
