"""Processes that run commands beside one another, each in the folder of a run: what `sweep` and `repeat` share."""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..errors import RunError
from ..saving.runs import Runs, is_run
from ..search.assignment import PARENT, VARIABLE, Assignment
from ..search.endings import LOG, is_signal, reason_in, signal_name, size_of
from ..search.processes import Processes, terminate
from ..training.signals import STOPPING
from .arguments import RunFlags
from .project import Project

SECONDS_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True)
class Job:
    """A command that a process is to run.

    Args:
        folder: the run's, in which its output is kept.
        args: the command and its flags.
        assignment: what it is to do beside that.
    """

    folder: Path
    args: list[str]
    assignment: Assignment


class Pool:
    """Runs so many commands at a time, until there are none left or a signal comes. It ends what it has started.

    Args:
        project: what the files in front hand to the engine.
        group: the name of all runs together.
        workers: how many commands run at a time.
        imported: modules that the runs need beside those of the project.
    """

    def __init__(self, project: Project, group: str, workers: int, imported: Sequence[str] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment.setdefault("WANDB_RUN_GROUP", group)
        if workers > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
        self.project, self.workers = project, workers
        self.processes = Processes(project.package, environment, project.variable(PARENT), imported)
        self.handlers: dict[int, Any] = {}
        self.signum = 0
        self.gpus, self.processes_each = 0, 1

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.close()
        for signum, handler in self.handlers.items():
            signal.signal(signum, handler)

    def check(self, probes: Sequence[list[str]], assignment: Assignment) -> dict[str, Any]:
        """Look at settings, and train one batch with the first of them; RunError if something is wrong.

        Args:
            probes: flags of `fit`.
            assignment: what these processes are to look at.

        Returns:
            What was found: see `probe` in assigned.py.
        """
        with tempfile.TemporaryDirectory(prefix=f"{self.project.program}-check-") as folder:
            result = Path(folder, "found.json")
            looks = replace(assignment, probes=probes, result=str(result))
            self._try(Job(Path(folder), ["fit"], looks), as_copy=True)
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            self.gpus, self.processes_each = found["gpus"], found["processes"]
            one_batch = ["--runs", folder, "--run", "check", "--trainer.fast_dev_run=1"]
            self._try(Job(Path(folder), ["fit", *probes[0], *one_batch], assignment), self.processes_each == 1)
        return found

    def _try(self, job: Job, as_copy: bool) -> None:
        """Run a command; RunError with its own line if it fails."""
        log = job.folder / LOG
        begin = size_of(log)
        process = self.processes.start(job.args, log, self._variables(job), as_copy)
        if code := self.processes.wait(process):
            if code < 0:
                raise RunError(f"the check before the first training was killed by {signal_name(code)}")
            text = log.read_text(encoding="utf-8", errors="replace")[begin:]
            hints = [line.partition(": try: ")[2] for line in text.splitlines() if ": try: " in line]
            if "error: " not in text:
                print(text, file=sys.stderr)
            raise RunError(reason_in(log, begin, self.project.program), hints[-1] if hints else "")

    def work(self, next_job: Callable[[], Job | None], end: Callable[[Job, int, str], None]) -> None:
        """Keep as many commands running as there are workers; SystemExit once they have ended after a signal.

        Args:
            next_job: the next command; None if there is none left.
            end: is told how a command has ended, with its exit code and why it failed; not of those that were stopped.
        """
        watched = [signum for signum in STOPPING if signal.getsignal(signum) != signal.SIG_IGN]
        self.handlers = {signum: signal.signal(signum, self._receive) for signum in watched}
        running: dict[int, tuple[Job, int, int]] = {}  # by its place: a command, its process, where its log begins
        has_asked_to_stop = False
        while True:
            for place in range(self.workers):
                if place not in running and not self.signum and (job := next_job()):
                    running[place] = self._start(job, place)
            if not running:
                break
            if self.signum and not has_asked_to_stop:
                has_asked_to_stop = True
                for _, process, _ in running.values():
                    terminate(process)
            for place, (job, process, begin) in list(running.items()):
                if (code := self.processes.ended(process)) is not None:
                    del running[place]
                    if not (self.signum and is_signal(code)):
                        end(job, code, reason_in(job.folder / LOG, begin, self.project.program) if code else "")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self.signum:
            print(f"Stopped by {signal.Signals(self.signum).name}; the same command goes on")
            sys.exit(128 + self.signum)

    def _start(self, job: Job, place: int) -> tuple[Job, int, int]:
        job.folder.mkdir(exist_ok=True)
        log = job.folder / LOG
        begin = size_of(log)
        variables = self._variables(job) | self._gpus_of(place)
        return job, self.processes.start(job.args, log, variables, self.processes_each == 1), begin

    def _variables(self, job: Job) -> dict[str, str]:
        return {self.project.variable(VARIABLE): job.assignment.to_text()}

    def _gpus_of(self, place: int) -> dict[str, str]:
        """With several GPUs, a process that runs beside others sees its own."""
        if self.workers == 1 or not self.gpus:
            return {}
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
        first = place * self.processes_each
        own = [seen[(first + number) % len(seen)] for number in range(min(self.processes_each, len(seen)))]
        return {"CUDA_VISIBLE_DEVICES": ",".join(own)}

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:  # the second signal does not wait
            self.processes.close()
            os._exit(128 + signum)
        self.signum = signum


def cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def refuse_what_no_pool_takes(flags: RunFlags, workers: int, command: str, project: Project) -> None:
    if flags.fresh or flags.ckpt_path:
        raise RunError(f"{command} takes no --fresh or --ckpt_path", "--run NAME for another folder; --init_from")
    if workers < 1:
        raise RunError(f"--workers is {workers}, and must be at least 1")
    if project.callbacks:
        hint = "trainer.callbacks in the configuration"
        raise RunError(f"{command} trains in processes of its own, without the callbacks given to main", hint)


def flags_of_fit(flags: RunFlags) -> list[str]:
    """Those of the flags for a run that say how it is trained: a run whose weights are meant lies beside the folder."""
    if not flags.init_from:
        return ["--init_partial"] if flags.init_partial else []
    run = flags.runs / flags.init_from
    named = [f"--init_from={run if is_run(run) else flags.init_from}"]
    return [*named, "--init_partial"] if flags.init_partial else named


def folder_of(flags: RunFlags, name: str, marker: str, command: str, project: Project) -> Path:
    """The folder of all runs together; RunError if something else lies there.

    Args:
        flags: those that name it.
        name: its name without --run.
        marker: a file that is in it once it has been begun.
        command: what puts runs there.
        project: what the files in front hand to the engine.
    """
    folder = Runs(flags.runs, project.variable("RUN")).folder_named(flags.run or name)
    if is_run(folder) or (folder.exists() and not (folder / marker).is_file() and any(folder.iterdir())):
        raise RunError(f"{folder} exists and is none of {command}", "--run with another name")
    return folder
