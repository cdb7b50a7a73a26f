"""The search space of a sweep: which values each setting may have, by its dotted name."""

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import RunError

KINDS = ("float", "int", "choice")
WORDS = (*KINDS, "log", "step", "when")
EXAMPLE = "{float: [0.001, 0.1], log: true}, {int: [1, 4]} or {choice: [8, 16]}"


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched.

    Args:
        name: its dotted name, as model.network.width.
        kind: float, int or choice.
        values: the least and the largest value, or the choices. A choice that is a list or a dict is JSON.
        log: whether numbers are spread by their logarithm.
        step: the distance between numbers; None if there is none.
        when: by the name of another parameter, the values with which this one is searched.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    log: bool = False
    step: float | None = None
    when: dict[str, list[Any]] = field(default_factory=dict)

    def applies(self, chosen: dict[str, Any]) -> bool:
        """Whether this one is searched beside what has been chosen for those before it."""
        return all(other in chosen and chosen[other] in values for other, values in self.when.items())

    def suggest(self, trial: Any) -> Any:
        """A value that Optuna's trial suggests."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.name, self.values)
        low, high = self.values
        if self.kind == "float":
            return trial.suggest_float(self.name, low, high, step=self.step, log=self.log)
        return trial.suggest_int(self.name, low, high, step=self.step or 1, log=self.log)

    def grid(self) -> list[Any] | None:
        """All values; None if they cannot be counted."""
        if self.kind == "choice":
            return list(self.values)
        low, high = self.values
        step = self.step or (1 if self.kind == "int" else 0)
        if not step or self.log:
            return None
        return [low + round(number * step, 12) for number in range(int((high - low) / step + 1e-9) + 1)]

    def of_wandb(self) -> dict[str, Any]:
        """The same in a W&B sweep file."""
        if self.kind == "choice":
            return {"values": list(self.values)}
        low, high = self.values
        grid = self.grid()
        if self.step and grid:
            return {"values": grid}
        if self.kind == "int":
            return {"distribution": "q_log_uniform_values" if self.log else "int_uniform", "min": low, "max": high}
        return {"distribution": "log_uniform_values" if self.log else "uniform", "min": low, "max": high}


def suggest(trial: Any, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """A value for each parameter that applies, by its name."""
    chosen: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(chosen):
            chosen[parameter.name] = parameter.suggest(trial)
    return chosen


def flags_of(chosen: dict[str, Any]) -> list[str]:
    """The flags of `fit` for settings by their dotted names."""
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in chosen.items()]


def probes(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """Settings in which each bound and each choice stands at least once, each with what it is searched beside."""
    first: dict[str, Any] = {}
    probed = []
    for parameter in parameters:
        beside = {other: values[0] for other, values in parameter.when.items()}
        for value in parameter.values:
            probed.append(consistent({**first, **beside, parameter.name: value}, parameters))
        first.setdefault(parameter.name, parameter.values[0])
    whole = consistent(first, parameters)
    return [whole, *(one for one in probed if one != whole)]


def consistent(wanted: dict[str, Any], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Of these values, those that apply, and the first one of each parameter that applies and has none."""
    chosen: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(chosen):
            chosen[parameter.name] = wanted.get(parameter.name, parameter.values[0])
    return chosen


def read_space(settings: Any) -> list[Parameter]:
    """The parameters that the section `search` describes; RunError for the first mistake in it."""
    if not isinstance(settings, dict) or not settings:
        raise RunError("search: names no setting", f"a line such as model.network.width: {EXAMPLE}")
    parameters: list[Parameter] = []
    for name, entry in settings.items():
        try:
            parameters.append(read_parameter(str(name), entry, parameters))
        except RunError as error:
            raise RunError(f"search.{name}: {error}", error.hint) from error
    return parameters


def read_parameter(name: str, entry: Any, before: Sequence[Parameter]) -> Parameter:
    if not isinstance(entry, dict):
        raise RunError(f"expected what to search, got {entry!r}", EXAMPLE)
    for word in entry:
        if word not in WORDS:
            raise RunError(unknown(word, WORDS))
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise RunError(f"expected one of {', '.join(KINDS)}, got {' and '.join(kinds) or 'none'}", EXAMPLE)
    kind, values = kinds[0], entry[kinds[0]]
    when = read_when(entry.get("when", {}), before)
    if kind == "choice":
        if extra := [word for word in ("log", "step") if word in entry]:
            raise RunError(f"{extra[0]} is for numbers between two bounds, not for choices")
        return Parameter(name, kind, read_choices(values), when=when)
    low, high = read_bounds(kind, values)
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        raise RunError(f"log is {log!r}, and must be true or false")
    if log and low <= 0:
        raise RunError(f"begins at {low}, and with log it must begin above 0")
    if step is not None:
        step = number(step, kind)
        if step <= 0 or step > high - low:
            raise RunError(f"step is {step}, and must be above 0 and at most {high - low}")
        if log:
            raise RunError("has log and step", "one of both, or a choice")
    return Parameter(name, kind, (low, high), log, step, when)


def read_choices(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise RunError(f"choice is {values!r}, and must be a list of values")
    stored = [json.dumps(value) if isinstance(value, list | dict) else value for value in values]
    for place, value in enumerate(stored):
        if value in stored[:place]:
            raise RunError(f"has the choice {value!r} twice")
    return tuple(stored)


def read_bounds(kind: str, values: Any) -> tuple[float, float]:
    if not isinstance(values, list) or len(values) != 2:
        raise RunError(f"{kind} is {values!r}, and must be [LEAST, LARGEST]")
    low, high = (number(value, kind) for value in values)
    if not low < high:
        raise RunError(f"nothing lies between {low} and {high}", f"[{high}, {low}]" if high < low else "fixed:")
    return low, high


def number(value: Any, kind: str) -> float:
    """A number in YAML, where 1e-4 is text."""
    try:
        found = value if isinstance(value, int) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        raise RunError(f"{value!r} is no number")
    if kind == "int" and found != int(found):
        raise RunError(f"{value!r} is no whole number", "float: [...]")
    return int(found) if kind == "int" else float(found)


def read_when(settings: Any, before: Sequence[Parameter]) -> dict[str, list[Any]]:
    """What `when` says, of parameters that stand before."""
    if not isinstance(settings, dict):
        raise RunError(f"when is {settings!r}, and must be {{OTHER: VALUE}}")
    choices = {parameter.name: parameter.values for parameter in before if parameter.kind == "choice"}
    when = {}
    for other, values in settings.items():
        if other not in choices:
            raise RunError(f"when: {unknown(other, tuple(choices), 'choice that stands before')}")
        when[other] = values if isinstance(values, list) else [values]
        for value in when[other]:
            if value not in choices[other]:
                raise RunError(f"when: {value!r} is none of the choices of {other}: {listed(choices[other])}")
    return when


def unknown(word: object, known: Sequence[str], what: str = "setting") -> str:
    """That there is no such word, with the nearest one that there is."""
    begun = [one for one in known if one.lower().startswith(str(word).lower())]
    close = begun or difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    rest = f"Did you mean {close[0]}?" if close else f"There are: {listed(known) or 'none'}"
    return f"there is no {what} {word!r}. {rest}"


def listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
