"""What a sweep tells the process of a trial, in an environment variable: all of its processes then know it too."""

import json
from dataclasses import asdict, dataclass
from typing import Any

# Environment variables, after the package's name.
VARIABLE = "TRIAL"
PARENT = "TRIAL_PARENT"


@dataclass(frozen=True)
class Assignment:
    """What a process of a sweep is to do.

    Args:
        metric: the metric by which trials are judged.
        mode: min or max.
        probes: flags of `fit` that are to be looked at before the first trial; for a trial, there are none.
        result: the file for what was found by that.
        number: the trial's number; None for a process that only checks.
        study: the name of the study.
        storage: the address of its storage; None for the file in the folder of all trials.
        pruner: the name and the settings of a pruner.
    """

    metric: str
    mode: str
    probes: list[list[str]]
    result: str | None = None
    number: int | None = None
    study: str = ""
    storage: str | None = None
    pruner: dict[str, Any] | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_text(text: str) -> "Assignment":
        return Assignment(**json.loads(text))
