"""This process among those of its training, as a launcher says in the environment: known before torch is imported."""

import os

from ..errors import RunError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this process is the one that writes, as torchrun, SLURM and Lightning say before a training begins."""
    return not any(number_in(rank) for rank in RANKS)


def number_in(variable: str, launcher: str = "") -> int:
    """The number in a variable of the environment: 0 without it, unless a launcher must have set it.

    Raises:
        RunError: if it is no number, or a launcher has not set it.
    """
    text = os.environ.get(variable, "missing" if launcher else "0")
    if launcher and not (text.isdigit() and int(text) > 0):
        hint = f"start with {launcher}, or in an environment without its variables"
        raise RunError(f"this looks like a process of {launcher}, but {variable} is {text or 'empty'}", hint)
    if not text.isdigit():
        raise RunError(f"the environment's {variable} is {text!r}, and must be a number", f"unset {variable}")
    return int(text)
