"""summary.json: how far a training is, how it ended, and its settings once more, so that many runs are read in no time.

Reading the YAML of a thousand runs takes seconds. A damaged or missing summary costs a run its line in a table, and
nothing else: no command depends on it.
"""

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from .atomic import part_of

FILE = "summary.json"
RUNNING, STOPPED, FINISHED, FAILED = "running", "stopped", "finished", "failed"


def write(run: Path, values: dict[str, Any]) -> None:
    """Replace the summary. It is not worth a training that its disk has no room for it, nor the wait for the disk."""
    part = part_of(run / FILE)
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(values) + "\n", encoding="utf-8")
        os.replace(part, run / FILE)


def read(run: str | os.PathLike[str]) -> dict[str, Any]:
    """What was written; nothing if it cannot be read."""
    return read_json(os.path.join(run, FILE))


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """An object in a file; an empty one if it is damaged, or there is none."""
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def fingerprint(content: bytes) -> int:
    """Whether a configuration is still the one that a summary repeats: people edit config.yaml."""
    return zlib.crc32(content)


def flat_values(settings: Any, above: str = "") -> dict[str, Any]:
    """Each setting that is no section, by its name with dots: {"trainer.max_epochs": 5}."""
    if not isinstance(settings, dict) or not settings:
        return {above: settings} if above else {}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        values |= flat_values(value, f"{above}.{key}" if above else str(key))
    return values
