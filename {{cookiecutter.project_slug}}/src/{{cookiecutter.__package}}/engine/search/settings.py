"""The settings in which runs differ, and how they are named in few letters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .conditions import as_text
from .records import Record

MISSING = object()
# In this order; all others follow, such as how progress is shown.
FIRST = ("model.", "data.", "seed_everything", "trainer.")


def differing(records: Sequence[Record]) -> list[str]:
    """The names of the settings that are not the same in all records, from the model's on."""
    found: set[str] = set()
    for record in records[1:]:
        found |= different_in(records[0].settings, record.settings)
    found = {name for name in found if not is_of_a_class_that_some_lack(name, records)}
    return sorted(found, key=lambda name: (place_of(name), name))


def is_of_a_class_that_some_lack(name: str, records: Sequence[Record]) -> bool:
    """Whether it is an argument where other runs have no class, such as 27 of DDPStrategy beside `auto`."""
    owner, is_argument, _ = name.partition(".init_args.")
    return bool(is_argument) and any(f"{owner}.class_path" not in record.settings for record in records)


def different_in(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    if one == other:
        return set()
    changed = {name for name, value in other.items() if one.get(name, MISSING) != value}
    return changed | (one.keys() - other.keys())


def place_of(name: str) -> int:
    return next((place for place, section in enumerate(FIRST) if name.startswith(section)), len(FIRST))


def setting(record: Record, name: str) -> str:
    """A setting as text; - if the run has no such setting."""
    return as_text(record.settings[name]) if name in record.settings else "-"


def short_names(names: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """By name: as many of its last parts as it takes to tell it from all others."""
    endings = Counter(ending for name in {*among, *names} for ending in endings_of(name))
    return {name: next((one for one in endings_of(name) if endings[one] == 1), name) for name in names}


def endings_of(name: str) -> list[str]:
    """The last part of a dotted name, the last two, and so on."""
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(len(parts) - 1, -1, -1)]
