"""Which commit the code is of, and how files differ from it, without what is secret."""

import subprocess
from pathlib import Path
from typing import Any

from ..saving.secrets import is_secret_file, masked_lines

DIFF = "git.diff"
MOST_BYTES = 2**20  # of a diff
MOST_NAMES = 100  # of files that git does not follow
SECONDS = 10
# Neither colours nor a program of the user's own decide what is kept.
PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit, whether files differ from it, and the names of those that git does not follow.

    None outside a repository, or before its first commit.
    """
    text = answer_of(folder, "status", "--porcelain=v2", "--branch", "-z")
    entries = (text or "").split("\0")
    commits = [entry.split()[-1] for entry in entries if entry.startswith("# branch.oid ")]
    if not commits or not commits[0].isalnum():  # "(initial)"
        return None
    state: dict[str, Any] = {"commit": commits[0], "dirty": any(entry and entry[:2] != "# " for entry in entries)}
    if untracked := [entry[2:] for entry in entries if entry.startswith("? ")]:
        state["untracked"] = [*untracked[:MOST_NAMES], *(["..."] if untracked[MOST_NAMES:] else [])]
    return state


def diff(folder: Path) -> str:
    """How the files that git follows differ from the commit: text, at most MOST_BYTES of it.

    Files whose names say that they hold secrets are left out, and values that are secret by their names hidden, so a
    diff may not apply as it stands. Of binary files, git says only that they differ.
    """
    top = (answer_of(folder, "rev-parse", "--show-toplevel") or "").removesuffix("\n")
    names = (answer_of(folder, "diff", "--name-only", "--no-renames", "--no-relative", "-z", "HEAD") or "").split("\0")
    if not top or names == [""]:
        return ""
    secret = [name for name in names if is_secret_file(name)]
    paths = [":(top)", *(f":(top,exclude,literal){name}" for name in secret)]
    content = beginning_of(["git", "-C", top, "diff", *PLAIN, "HEAD", "--", *paths])
    lines = masked_lines(content[:MOST_BYTES].decode(errors="replace").splitlines())
    lines += [f"# {name} differs too, and is left out: its name says that it holds secrets" for name in secret]
    if len(content) > MOST_BYTES:
        lines.append(f"# cut after {MOST_BYTES:,} bytes")
    return "\n".join([*lines, ""]) if lines else ""


def answer_of(folder: Path, *words: str) -> str | None:
    """What git prints; None if it fails, or does not end soon."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def beginning_of(command: list[str]) -> bytes:
    """The first bytes that a command prints, one more than a diff may have if there are more."""
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            content = process.stdout.read(MOST_BYTES + 1)
            process.kill()
    except OSError:
        return b""
    return content
