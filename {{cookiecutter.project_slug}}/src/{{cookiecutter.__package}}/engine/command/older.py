"""A run that is older than the code: what has changed since, and what to try where it does not fit any more.

Weights have names and shapes, by which another network is noticed. Another activation or preprocessing has neither, so
a run keeps check sums of the files in front.
"""

import ast
import json
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..saving.runs import CONFIG

MANIFEST = "manifest.json"
PACKAGE = Path(__file__).parents[2]
Sums = dict[str, int]


def code_in_front() -> Sums:
    """Check sums of the package's files in front, without what changes no result: comments and layout."""
    files = (path for path in PACKAGE.rglob("*.py") if "engine" not in path.relative_to(PACKAGE).parts)
    return {path.relative_to(PACKAGE).as_posix(): sum_of(path) for path in sorted(files)}


def sum_of(file: Path) -> int:
    source = file.read_text(encoding="utf-8", errors="replace")
    with suppress(SyntaxError, ValueError):  # of a file that nothing imports
        source = ast.unparse(ast.parse(source))
    return zlib.crc32(source.encode())


def report_changed_code(name: str, kept: object) -> None:
    """Say which files have changed since a model was trained; nothing if that is not known.

    Args:
        name: the run's, or the folder's.
        kept: the check sums of that time.
    """
    if not isinstance(kept, dict):
        return
    now = code_in_front()
    changed = sorted(file for file in kept.keys() | now if isinstance(file, str) and kept.get(file) != now.get(file))
    if changed:
        files = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        print(f"Changed since {name} was trained, so that it may answer otherwise: {files}", file=sys.stderr)


def code_of(run: Path) -> object:
    """The check sums that a run has kept."""
    return manifest_of(run).get("code")


def what_to_try(run: Path) -> str:
    """What to try with a run that does not fit the code any more."""
    git = manifest_of(run).get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return f"the code with which it was trained{f', of commit {commit}' if commit else ''}"


def manifest_of(run: Path) -> dict[str, Any]:
    """What a run's manifest says; nothing if it is gone or damaged, since it is kept for people."""
    try:
        kept = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def of_run(error: RunError, run: Path) -> RunError:
    """The same of settings that are not those that were typed, but those that a run has kept."""
    return RunError(f"{run / CONFIG} does not fit the code: {error}", what_to_try(run))
