"""The other processes of a command that Python has given: what each of them runs."""

import itertools
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import RunError
from .project import Project

# Tells a process that Lightning starts beside the first one in which call of `main` it takes part.
CALL = "CALL"
calls = itertools.count(1)
Command = Sequence[str]


def call_to_take_part_in(project: Project) -> int | None:
    """The number of the call for which another process has started this one; None for a first process."""
    number = project.environment(CALL)
    return int(number) if number else None


def announce(project: Project, call: int) -> None:
    """Have processes that are started from now on know the call in which they take part."""
    os.environ[project.variable(CALL)] = str(call if project.callbacks else 1)


def to_start(project: Project, args: Command) -> Callable[[Callable[[], Command]], Command]:
    """How another process of this command starts, as a function of how Lightning would start it.

    Lightning runs the caller's script once more. That is needed for the caller's callbacks, which are made there; such
    a process does nothing in earlier calls of `main`, and ends with this one. Without callbacks, the command itself
    does, also where there is no script, as in a notebook.
    """

    def command(of_script: Callable[[], Command]) -> Command:
        if not project.callbacks:
            code = f"import sys; sys.path = {sys.path}; from {project.package}.__main__ import main; main()"
            return [sys.executable, "-c", code, *args]
        if hasattr(sys, "ps1") or not os.path.isfile(sys.argv[0]):
            what = "callbacks of your own reach the other processes of a command only from a script"
            raise RunError(what, "trainer.callbacks in a configuration, or --trainer.devices 1")
        return of_script()

    return command
