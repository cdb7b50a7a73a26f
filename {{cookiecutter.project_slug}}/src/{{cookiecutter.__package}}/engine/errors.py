"""How a command ends early. Everything in the engine may raise these; command/dispatch.py turns them into lines."""

from pathlib import Path


class RunError(Exception):
    """What the user asked for is not possible.

    Args:
        message: what is wrong, and why, in one line.
        hint: what to try instead, if anything.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Finished(Exception):
    """There is nothing left to train; the message is for the user."""


class Stopped(Exception):
    """A signal asked the training to stop, and it has saved and stopped.

    Args:
        message: which signal, and after how many steps.
        signum: the signal's number.
        run: the run's folder.
        is_first_process: whether this process is the one that reports to the user.
    """

    def __init__(self, message: str, signum: int, run: Path, is_first_process: bool) -> None:
        super().__init__(message)
        self.signum = signum
        self.run = run
        self.is_first_process = is_first_process
