"""The trials of a sweep: which one is next, whose it is, and what became of it."""

import contextlib
import math
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import RunError
from ..saving.atomic import write_text
from ..saving.lock import acquire, locked
from . import library, replica
from .endings import MOST_KILLS, is_signal, killed_too_often
from .space import flags_of
from .sweep_file import Sweep

WORKERS = ".workers"  # a folder with a lock for each process of the sweep that runs
ASKING = ".asking"  # the lock of the one that chooses its next trial
# Attributes of a trial and, the last one, of the study.
WORKER, KILLS, SECONDS, ERROR, DEFINITION = "worker", "killed", "seconds", "error", "sweep"


@dataclass(frozen=True)
class Claimed:
    """A trial that this process has to run.

    Args:
        number: its number, and the name of its run.
        flags: the flags of what was proposed for it.
    """

    number: int
    flags: list[str]


class Trials:
    """What all processes of a sweep share.

    Args:
        sweep: what is searched.
        study: Optuna's study.
        folder: the sweep's.
    """

    def __init__(self, sweep: Sweep, study: Any, folder: Path) -> None:
        self.sweep = sweep
        self.study = study
        self.folder = folder
        self.running: dict[int, float] = {}  # by their numbers: when the trials of this process have started
        self.worker, self.lock = new_worker(folder)

    def all(self) -> list[Any]:
        return list(self.study.get_trials(deepcopy=False))

    def are_complete(self) -> bool:
        """Whether there is nothing left to do."""
        trials = self.all()
        return self._is_enough(trials) and all(trial.state.is_finished() for trial in trials)

    def claim(self) -> Claimed | None:
        """The next trial: one that a killed process has left, or a new one; None if there is none."""
        with exclusive(self.folder):
            trials = self.all()
            abandoned = [trial for trial in trials if self._is_abandoned(trial)]
            if abandoned:
                return self._prepare(abandoned[0].number)
            if self._is_enough(trials):
                return None
            return self._prepare(self._begin())

    def _begin(self) -> int:
        """The number of a new trial. It has its worker from the first moment: without one, any host would take it."""
        optuna = library.optuna()
        running = optuna.trial.TrialState.RUNNING
        self.study.add_trial(optuna.trial.create_trial(state=running, user_attrs={WORKER: self.worker}))
        own = [trial.number for trial in self.all() if trial.user_attrs.get(WORKER) == self.worker]
        return max(own)

    def _prepare(self, number: int) -> Claimed:
        """Take a trial, and give it its values unless it has them."""
        optuna = library.optuna()
        trial = optuna.trial.Trial(self.study, self.all()[number]._trial_id)
        if trial.user_attrs.get(WORKER) != self.worker:
            trial.set_user_attr(WORKER, self.worker)
        if replica.PROPOSED not in trial.user_attrs:
            trial.set_user_attr(replica.PROPOSED, replica.propose(self.study, self.sweep, number))
        chosen = replica.keep_proposed(trial, self.sweep.search)
        self.running[number] = time.monotonic()
        return Claimed(number, flags_of(chosen))

    def _is_abandoned(self, trial: Any) -> bool:
        """Whether nobody runs a trial that has begun."""
        if trial.state.name != "RUNNING" or trial.number in self.running:
            return False
        worker = trial.user_attrs[WORKER]
        return bool(worker == self.worker or is_gone(self.folder / WORKERS / worker))

    def _is_enough(self, trials: list[Any]) -> bool:
        """Whether no other trial is to begin, by their number or by the time that all have taken together."""
        now = time.monotonic()
        seconds = sum(trial.user_attrs.get(SECONDS, 0.0) for trial in trials)
        seconds += sum(now - started for started in self.running.values())
        return len(trials) >= self.sweep.trials or seconds >= 3600 * self.sweep.hours

    def end(self, number: int, code: int, error: str) -> Any:
        """Note how a trial has ended; None if it is to go on instead.

        Args:
            number: the trial's.
            code: the exit code of its process.
            error: why it failed, if it did.
        """
        optuna = library.optuna()
        states = optuna.trial.TrialState
        frozen = self.all()[number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        taken = frozen.user_attrs.get(SECONDS, 0.0) + time.monotonic() - self.running.pop(number)
        trial.set_user_attr(SECONDS, round(taken, 3))
        value = best_value(frozen, self.sweep.direction)
        if is_signal(code):
            kills = frozen.user_attrs.get(KILLS, 0) + 1
            trial.set_user_attr(KILLS, kills)
            if kills <= MOST_KILLS:
                return None
            error = killed_too_often(kills, code)
        elif code == 0 and frozen.user_attrs.get(replica.DECIDED, {}).get("pruned"):
            self.study.tell(number, state=states.PRUNED)
            return self.all()[number]
        elif code == 0 and value is not None:
            self.study.tell(number, value)
            return self.all()[number]
        elif code == 0:
            error = f"{self.sweep.metric} was never {'a number' if frozen.intermediate_values else 'logged'}"
        trial.set_user_attr(ERROR, error)
        self.study.tell(number, state=states.FAIL)
        return self.all()[number]


def open_study(sweep: Sweep, name: str, storage: Any) -> Any:
    """A sweep's study, which is made if need be; RunError if it searches something else."""
    optuna = library.optuna()
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction=sweep.direction,
        sampler=optuna.samplers.RandomSampler(),  # replica.py has the one that draws
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    before = study.user_attrs.get(DEFINITION)
    if before is None:
        study.set_user_attr(DEFINITION, sweep.fixed_part())
    elif before != sweep.fixed_part():
        hint = "the file as it was, or --run NAME for another sweep; trials and hours may change"
        raise RunError(f"sweep {name.rpartition('/')[2]} has begun with other settings", hint)
    return study


def best_value(trial: Any, direction: str) -> float | None:
    """The best value that a trial has reported; None if there is none that is a number."""
    values = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    return (min if direction == "minimize" else max)(values, default=None)


def new_worker(folder: Path) -> tuple[str, IO[str] | None]:
    """A name for this process, the same after a restart, and its lock, which is held until it ends."""
    number = 0
    while True:
        name = f"{socket.gethostname()}-{token_of(folder / WORKERS)}-{number}"
        try:
            return name, acquire(folder / WORKERS / name, "", "")
        except RunError:
            number += 1


def token_of(folder: Path) -> str:
    """What tells a folder from all others: two hosts may have one name, and two folders one database."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "token"
    if not path.exists():
        with exclusive(folder.parent):
            if not path.exists():
                write_text(path, secrets.token_hex(4))
    return path.read_text(encoding="utf-8")


def is_gone(worker: Path) -> bool:
    """Whether a process of the sweep has ended, here or on another host that shares the folder."""
    if not worker.is_dir():  # of a host that does not
        return False
    try:
        with locked(worker):
            return True
    except RunError:
        return False


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Have one process of a sweep at a time choose a trial."""
    while True:
        try:
            file = acquire(folder / ASKING, "", "")
            break
        except RunError:
            time.sleep(0.01)
    try:
        yield
    finally:
        if file:
            file.close()
