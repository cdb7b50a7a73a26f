"""The repetitions of a training: which one is next, whose it is, and what became of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from ..errors import RunError
from ..saving import summary
from ..saving.atomic import write_text
from ..saving.lock import acquire
from .endings import MOST_KILLS, is_signal, killed_too_often
from .records import numbers
from .told import folder_name

FILE = "repetition.json"  # in the folder of its run
CLAIMS = ".claims"  # a folder with a lock for each one that somebody works on


@dataclass
class Repetition:
    """What became of one.

    Args:
        number: which one it is, and the name of its run.
        metrics: what it has reached, by the names of metrics; none before its end.
        error: why it failed, if it did.
        kills: how often it was killed.
    """

    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    kills: int = 0

    @property
    def is_over(self) -> bool:
        return bool(self.metrics or self.error)


class Repetitions:
    """What all processes share that repeat a training, on this host or on others.

    Args:
        folder: the one in which the runs lie.
        count: how many there are to be.
        measures: the commands of `validate` and `test` that follow `fit`.
    """

    def __init__(self, folder: Path, count: int, measures: Sequence[str]) -> None:
        self.folder, self.count, self.measures = folder, count, measures
        self.left: dict[int, list[str]] = {}  # by the numbers of those of this process: commands that are not done
        self.locks: dict[int, IO[str] | None] = {}
        self.running: set[int] = set()

    def all(self) -> list[Repetition]:
        return [self.read(number) for number in range(self.count)]

    def are_over(self) -> bool:
        return all(one.is_over for one in self.all())

    def read(self, number: int) -> Repetition:
        kept = summary.read_json(self.folder / folder_name(number) / FILE)
        return Repetition(**{"number": number, **kept})

    def claim(self) -> tuple[int, str] | None:
        """A repetition that nobody works on, and its next command; None if there is none."""
        for number in range(self.count):
            if number not in self.running and (number in self.left or self._take(number)):
                self.running.add(number)
                return number, self.left[number][0]
        return None

    def _take(self, number: int) -> bool:
        """Make a repetition this process's own, unless it is over, or somebody else's."""
        if self.read(number).is_over:
            return False
        try:
            self.locks[number] = acquire(self.folder / CLAIMS / folder_name(number), "", "")
        except RunError:
            return False
        if self.read(number).is_over:  # by now
            self._leave(number)
            return False
        self.left[number] = ["fit", *self.measures]
        return True

    def _leave(self, number: int) -> None:
        if lock := self.locks.pop(number):
            lock.close()

    def end(self, number: int, code: int, reason: str) -> Repetition | None:
        """Note how the command of a repetition has ended; None if the next one is to follow.

        Args:
            number: the repetition's.
            code: the exit code of its process.
            reason: why it failed, if it did.
        """
        self.running.discard(number)
        if code == 0:
            del self.left[number][0]
            if self.left[number]:
                return None
        repetition = self.read(number)
        if code == 0:
            repetition.metrics = self._measured(number)
            repetition.error = "" if repetition.metrics else f"{' and '.join(self.measures)} measured nothing"
        elif is_signal(code) and repetition.kills < MOST_KILLS:
            repetition.kills += 1
        else:
            repetition.error = killed_too_often(repetition.kills + 1, code) if is_signal(code) else reason
        write_text(self.folder / folder_name(number) / FILE, json.dumps(asdict(repetition), indent=2) + "\n")
        if repetition.is_over:
            del self.left[number]
            self._leave(number)
        return repetition

    def _measured(self, number: int) -> dict[str, float]:
        run = self.folder / folder_name(number)
        return {
            name: value
            for stage in self.measures
            for name, value in numbers(summary.read_json(run / f"{stage}.json")).items()
        }

    def seconds(self, number: int) -> float:
        """How long its training took, over all its starts."""
        taken = summary.read(self.folder / folder_name(number)).get("seconds")
        return taken if isinstance(taken, int | float) else 0.0
