"""Optuna's samplers and pruners, by their names and with their settings."""

import inspect
import re
import warnings
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser

from ..errors import RunError
from . import library
from .space import Parameter, unknown

DEFAULTS = {"sampler": "TPESampler", "pruner": "NopPruner"}
# Of all trials, these draw one sequence: seeded anew for each of them, they would begin another one.
IN_SEQUENCE = ("GridSampler", "QMCSampler")
SKIPPED = ("BaseSampler", "BaseGASampler", "PartialFixedSampler", "BasePruner")
INNER = "wrapped_pruner"


def as_settings(kind: str, value: Any) -> dict[str, Any]:
    """The settings of a sampler or a pruner with its `name`, which may be all that is given."""
    if value is None:
        return {"name": DEFAULTS[kind]}
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise RunError(f"{kind} is {value!r}, and must be a name", f"{kind}: {{name: {DEFAULTS[kind]}}}")
    return value


def make(kind: str, settings: dict[str, Any], **own: Any) -> Any:
    """A sampler or a pruner.

    Args:
        kind: `sampler` or `pruner`.
        settings: its `name`, and arguments of that class.
        own: arguments of ours, if the class has them.

    Raises:
        RunError: if Optuna has no such class, or it cannot take the settings.
    """
    optuna = library.optuna()
    module = getattr(optuna, f"{kind}s")
    classes = {name: getattr(module, name) for name in module.__all__ if name not in SKIPPED}
    classes = {name: found for name, found in classes.items() if inspect.isclass(found)}
    name = settings["name"]
    if name not in classes:
        raise RunError(unknown(name, tuple(classes), kind))
    given = {key: value for key, value in settings.items() if key != "name"}
    parameters = inspect.signature(classes[name]).parameters
    for key in given:
        if key not in parameters:
            raise RunError(f"{kind} {name}: {unknown(key, tuple(parameters))}")
    if INNER in given:
        given[INNER] = make(kind, as_settings(kind, given[INNER]))
    own = {key: value for key, value in own.items() if key in parameters and key not in given}
    check_types(kind, name, classes[name], given, skipped={*own, INNER})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of them are experimental, which their name already says
            return classes[name](**given, **own)
    except (ImportError, TypeError, ValueError) as error:
        raise RunError(f"{kind} {name}: {error}") from error


def check_types(kind: str, name: str, found: type, given: dict[str, Any], skipped: set[str]) -> None:
    """Raise RunError for a setting of another type than the class says; the class itself may fail on it much later."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(found, "its", skip=skipped, fail_untyped=False)
    try:
        parser.parse_object({"its": {key: value for key, value in given.items() if key not in skipped}})
    except Exception as error:  # argparse's, or what a type raises
        text = re.sub(r'Parser key "its\.(\w+)":\s*', r"\1: ", str(error)).replace("its.", "")
        raise RunError(f"{kind} {name}: {' '.join(text.split())}") from error


def grid_of(parameters: Sequence[Parameter]) -> dict[str, list[Any]]:
    """All values of all parameters, for a sampler that tries each combination."""
    grid = {}
    for parameter in parameters:
        values = parameter.grid()
        if parameter.when:
            raise RunError(f"sampler GridSampler: search.{parameter.name} has `when`", "sampler: BruteForceSampler")
        if values is None:
            raise RunError(f"sampler GridSampler: search.{parameter.name} has no end of values", "a step, or a choice")
        grid[parameter.name] = values
    return grid
