"""Optuna, which the extra `sweep` installs: imported by the commands that need it alone."""

import importlib
from typing import Any


def optuna() -> Any:
    return importlib.import_module("optuna")
