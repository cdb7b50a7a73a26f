"""What `sweep` and `repeat` tell a process that they start, in an environment variable, which it hands on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Environment variables, after the package's name.
VARIABLE = "ASSIGNMENT"
PARENT = "ASSIGNED_BY"


@dataclass(frozen=True)
class Assignment:
    """What a process is to do beside its command.

    Args:
        probes: flags of `fit` that are to be looked at, without any training; none for all other processes.
        result: the file for what was found by that.
        needs: arguments that the DataModule has to have.
        metric: the metric by which the trials of a sweep are judged; a training has to log it.
        mode: min or max.
        number: the trial's number; None for a process that only checks, and for those of `repeat`.
        study: the name of the sweep's study.
        storage: the address of its storage; None for the file in the folder of all trials.
        pruner: the name and the settings of a pruner.
    """

    probes: Sequence[list[str]] = ()
    result: str | None = None
    needs: Sequence[str] = ()
    metric: str = ""
    mode: str = ""
    number: int | None = None
    study: str = ""
    storage: str | None = None
    pruner: dict[str, Any] | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_text(text: str) -> "Assignment":
        return Assignment(**json.loads(text))
