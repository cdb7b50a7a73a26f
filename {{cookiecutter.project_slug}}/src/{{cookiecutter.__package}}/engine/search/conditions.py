"""Conditions such as "lr > 0.01", and the names in them: a setting, a metric or a field, by a part of its name too."""

import json
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import RunError
from .records import Record

CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(NamedTuple):
    """A condition as it was typed.

    Args:
        text: all of it.
        name: what is compared.
        sign: = != < <= > or >=.
        value: with what: a number, a text, true, false or null.
    """

    text: str
    name: str
    sign: str
    value: Any


def parsed(text: str) -> Condition:
    """Take a condition apart; RunError if it is none."""
    example = '--filter "lr > 0.01"; a text with spaces in quotes, and --filter once more for a second condition'
    parts = CONDITION.fullmatch(text)
    if not parts or not parts[3]:
        raise RunError(f"--filter {text!r} is no condition: a name, then = != < <= > or >=, then a value", example)
    name, sign, value = parts.groups()
    quoted = QUOTED.fullmatch(value)
    if not quoted and re.search(r"""[\s<>=!"']""", value):
        raise RunError(f"--filter {text!r}: {value!r} is no value", example)
    return Condition(text, name, sign.replace("==", "="), quoted[2] if quoted else plain(value))


def plain(value: str) -> Any:
    """A number, true, false or null; else the text itself."""
    try:
        return json.loads(value, parse_constant=str) if value in ("true", "false", "null") else float(value)
    except ValueError:
        return value


def filtered(records: Sequence[Record], conditions: Sequence[Condition]) -> list[Record]:
    """The records that meet all conditions; RunError for a name that none of them has."""
    records = list(records)
    names = {name for record in records for name in record.values()}
    for condition in conditions if records else ():
        name = full_name(condition.name, names)
        values = [record.values().get(name) for record in records]
        refuse_incomparable(condition, name, values)
        records = [record for record, value in zip(records, values, strict=True) if meets(value, condition)]
    return records


def sorted_by(records: Sequence[Record], name: str, descending: bool) -> list[Record]:
    """The records by a value, numbers before texts; those without one, or with nan, are last in any order."""
    name = full_name(name, {name for record in records for name in record.values()}) if records else name
    keyed = [(key_of(record.values().get(name)), record) for record in records]
    there = [pair for pair in keyed if pair[0] is not None]
    there.sort(key=lambda pair: pair[0] or (), reverse=descending)
    return [record for _, record in [*there, *(pair for pair in keyed if pair[0] is None)]]


def key_of(value: Any) -> tuple[int, Any] | None:
    if value is None or value == "" or value != value:
        return None
    number = as_number(value)
    return (1, str(value)) if number is None else (0, number)


def full_name(name: str, names: Iterable[str]) -> str:
    """The name that is meant: this one, or the only one that ends with it."""
    names = sorted(names)
    if name in names:
        return name
    fitting = [one for one in names if one.endswith((f".{name}", f"/{name}"))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunError(f"{name} may be {', '.join(fitting[:5])}{', ...' if fitting[5:] else ''}", "more of its name")
    last_parts = {re.split("[./]", one)[-1]: one for one in names}
    near = [last_parts.get(one, one) for one in get_close_matches(name, [*names, *last_parts], 1)]
    hint = near[0] if near else "runs --csv, which names all that differ"
    raise RunError(f"no run has a setting or a metric {name}", hint)


def refuse_incomparable(condition: Condition, name: str, values: Sequence[Any]) -> None:
    """Raise RunError if no value can be compared with that of the condition, as when a text is asked to be > 3."""
    there = [value for value in values if value is not None]
    if condition.sign in ORDERS and there and not any(pair_of(value, condition.value) for value in there):
        raise RunError(f"--filter {condition.text!r}: {name} is {there[0]!r}, which is neither more nor less than that")


def meets(value: Any, condition: Condition) -> bool:
    """Whether a value meets a condition. A run that lacks the setting has null there, which differs from any value."""
    if condition.sign in ORDERS:
        pair = pair_of(value, condition.value)
        return bool(pair) and ORDERS[condition.sign](*pair)
    return equals(value, condition.value) == (condition.sign == "=")


def equals(value: Any, wanted: Any) -> bool:
    if wanted is None or isinstance(wanted, bool):
        return value is wanted
    pair = pair_of(value, wanted)
    return pair[0] == pair[1] if pair else as_text(value) == str(wanted)


def pair_of(value: Any, wanted: Any) -> tuple[Any, ...]:
    """Two numbers or two texts that can be compared; nothing if they are of different kinds."""
    numbers = as_number(value), as_number(wanted)
    if None not in numbers:
        return numbers
    return (value, wanted) if isinstance(value, str) and isinstance(wanted, str) else ()


def as_number(value: Any) -> float | None:
    """A number, also one that YAML takes for a text, such as 1e-3."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
