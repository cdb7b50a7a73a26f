"""How a command ends early. Everything in the engine may raise these; command/dispatch.py turns them into lines."""

import math
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

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: IPython asks for it, and would show how the engine came here."""
        return [f"error: {self}", *([f"try: {self.hint}"] if self.hint else [])]


class BadSetting(RunError):
    """A setting has a value that it cannot have.

    Args:
        setting: the setting's name, as the constructor that refuses it knows it; a command tells it as a flag.
        value: the value.
        wanted: what it must be.
    """

    def __init__(self, setting: str, value: object, wanted: str) -> None:
        super().__init__(f"{setting} is {value}, and must be {wanted}")
        self.setting = setting
        self.value = value
        self.wanted = wanted


def require(
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    multiple_of: int = 1,
    **settings: float | list[int] | None,
) -> None:
    """Raise BadSetting unless settings are within bounds: `require(width=width, depth=depth, at_least=1)`.

    Args:
        at_least, at_most: bounds that a setting may reach.
        above, below: bounds that it may not reach.
        multiple_of: a number that must divide it, if it has to be a whole one.
        settings: numbers by their names; None is within all bounds, and of a list, each entry must be.
    """
    wanted = bounds_in_words(at_least, at_most, above, below, multiple_of)
    for setting, value in settings.items():
        for number in value if isinstance(value, list) else [value]:
            if number is not None and not (
                at_least <= number <= at_most  # which is never true of nan
                and (above < number or above == -math.inf)
                and (number < below or below == math.inf)
                and (multiple_of == 1 or number % multiple_of == 0)
            ):
                raise BadSetting(setting, value, wanted)


def bounds_in_words(at_least: float, at_most: float, above: float, below: float, multiple_of: int) -> str:
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    words = [f"{bound} {number}" for bound, number in bounds.items() if math.isfinite(number)]
    return " and ".join([*words, *([f"a multiple of {multiple_of}"] if multiple_of > 1 else [])])


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
