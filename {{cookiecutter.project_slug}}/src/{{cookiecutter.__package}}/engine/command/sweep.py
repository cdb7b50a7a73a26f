"""The command `sweep`."""

import argparse
import importlib.util
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import RunError
from ..saving.atomic import make_folder, write_text
from ..saving.runs import SWEEP, Runs, is_run
from ..saving.secrets import masked, without_secrets
from ..search import found, space, told
from ..search.assignment import PARENT, VARIABLE, Assignment
from ..search.processes import Processes, terminate
from ..search.storage import JOURNAL, open_storage
from ..search.sweep_file import Sweep, read
from ..search.trials import Claimed, Trials, is_signal, open_study, reason_in, signal_name, size_of
from ..search.wandb_file import wandb_sweep
from ..training.signals import STOPPING
from . import configurations, report
from .arguments import FlagParser, RunFlags, naming, split_run_flags
from .project import Project

STORAGE = "STORAGE"  # the environment variable, after the package's name: an address may hold a password
SECONDS_BETWEEN_LOOKS = 0.02


def main(args: list[str], project: Project) -> None:
    """Search settings for the best value of a metric, with Optuna.

    Each trial is a run, runs/SWEEP/000 and so on. A sweep that was stopped or killed goes on with the same command, and
    a trial that was under way goes on from its last checkpoint. All other flags are those of `fit`, for each trial.
    """
    run_flags, options, flags = parsed(args, project)
    file = find(options.sweep, project)
    settings = configurations.read(file)
    sweep = read_in(file, settings, flags)
    if options.wandb:
        return write_wandb(sweep, Path(options.wandb), project)
    folder = folder_of(run_flags, file, project)
    if signum := Search(sweep, folder, options.workers, project, masked(args)).run(settings):
        print(f"Stopped by {signal.Signals(signum).name}; the same command goes on")
        sys.exit(128 + signum)


def parsed(args: list[str], project: Project) -> tuple[RunFlags, argparse.Namespace, list[str]]:
    """The flags that name the sweep, those of the command, and those of `fit`."""
    parser = FlagParser(prog=f"{project.program} sweep", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("sweep", help=f"a file that says what is searched, or one of: {listed(project)}")
    parser.add_argument("--workers", type=int, default=1, help="how many trials run at a time; 1 by default")
    parser.add_argument("--wandb", metavar="FILE", help="write the same search as a sweep file of W&B, and end")
    for flag, text in (
        ("--run", "name of the sweep's folder; that of the file by default"),
        ("--runs", "folder in which all runs lie"),
    ):
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text)
    if not args[1:] or (args[1].startswith("-") and args[1] not in ("-h", "--help")):
        raise RunError("sweep needs a file that says what is searched", f"sweep FILE, or one of: {listed(project)}")
    run_flags, rest = split_run_flags(args[1:], project)
    options, flags = parser.parse_known_args(rest)
    refuse_absent_optuna(project)
    refuse_what_no_sweep_takes(run_flags, options.workers, project)
    flags += [f"--init_from={run_flags.init_from}"] if run_flags.init_from else []
    flags += ["--init_partial"] if run_flags.init_partial else []
    return run_flags, options, flags


def listed(project: Project) -> str:
    return ", ".join(project.sweeps) or "none yet"


def refuse_absent_optuna(project: Project) -> None:
    if importlib.util.find_spec("optuna") is None:
        raise RunError("sweep needs optuna, not installed here", f"uv run --extra sweep {project.program} sweep")


def refuse_what_no_sweep_takes(flags: RunFlags, workers: int, project: Project) -> None:
    if flags.fresh or flags.ckpt_path:
        raise RunError("a sweep takes no --fresh or --ckpt_path", "--run NAME for another sweep; --init_from")
    if workers < 1:
        raise RunError(f"--workers is {workers}, and must be at least 1")
    if project.callbacks:
        hint = "trainer.callbacks in the configuration"
        raise RunError("a sweep's trials are processes of their own, without the callbacks given to main", hint)


def find(wanted: str, project: Project) -> Path:
    """The file of a sweep: a path, or the name of one in configs/sweeps."""
    if os.path.isfile(wanted):
        return Path(wanted)
    if wanted in project.sweeps:
        return project.sweeps[wanted]
    known = tuple(project.sweeps)
    raise RunError(f"there is no file {wanted}, and {space.unknown(wanted, known, 'sweep')}")


def read_in(file: Path, settings: dict[str, Any], flags: list[str]) -> Sweep:
    try:
        return read(settings, flags)
    except RunError as error:
        raise RunError(f"{file}: {error}", error.hint) from error


def write_wandb(sweep: Sweep, path: Path, project: Project) -> None:
    if os.path.lexists(path):
        raise RunError(f"{path} exists, and is not overwritten", "another file")
    write_text(path, yaml.safe_dump(wandb_sweep(sweep, project.package), sort_keys=False))
    print(f"Written to {path}; start it with: wandb sweep {shlex.quote(str(path))}")


def folder_of(flags: RunFlags, file: Path, project: Project) -> Path:
    """The folder of a sweep; RunError if something else lies there."""
    name = flags.run or file.stem
    folder = Runs(flags.runs, project.variable("RUN")).folder_named(name)
    if is_run(folder) or (folder.exists() and not (folder / SWEEP).is_file() and any(folder.iterdir())):
        raise RunError(f"{folder} exists and is no sweep", "--run with another name")
    return folder


class Search:
    """One process that works on a sweep.

    Args:
        sweep: what is searched.
        folder: the sweep's.
        workers: how many trials run at a time.
        project: what the files in front hand to the engine.
        words: the command line, without secrets.
    """

    def __init__(self, sweep: Sweep, folder: Path, workers: int, project: Project, words: list[str]) -> None:
        self.sweep, self.folder, self.workers, self.project, self.words = sweep, folder, workers, project, words
        self.storage = project.environment(STORAGE) or sweep.storage
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment.setdefault("WANDB_RUN_GROUP", folder.name)
        if workers > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
        self.processes = Processes(project.package, environment, project.variable(PARENT))
        self.study_name = f"{project.package}/{folder.name}"
        self.signum = 0
        self.has_asked_to_stop = False

    def run(self, settings: dict[str, Any]) -> int:
        """Check everything, run all trials, and say what was found; the number of a signal that stopped it, or 0."""
        handlers: dict[int, Any] = {}
        try:
            is_begun = (self.folder / SWEEP).is_file()
            if is_begun:
                self.open(settings)
            if not (is_begun and self.trials.are_complete()):
                self.check()
            if not is_begun:
                self.open(settings)
            self.say_beginning()
            watched = [signum for signum in STOPPING if signal.getsignal(signum) != signal.SIG_IGN]
            handlers = {signum: signal.signal(signum, self.receive) for signum in watched}
            self.work()
        finally:
            self.processes.close()
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
        if not self.signum:
            program = self.project.program
            print("\n".join(told.summary(self.trials, program, lambda run: naming(run, self.project))))
        self.write_report()
        return self.signum

    def write_report(self) -> None:
        """Write the sweep's page, once a trial has ended. No sweep fails because there is no room for it."""
        found.write(self.trials, told.importances(self.trials))
        if (sweep := found.read(self.folder)) and sweep.has_ended():
            try:
                report.write(report.of_sweep(self.folder, sweep, self.project), self.folder / report.FILE)
            except RunError as error:
                print(f"{self.project.program}: {error}", file=sys.stderr)

    def open(self, settings: dict[str, Any]) -> None:
        """Join the sweep in its folder, or begin it; RunError if another one has begun there."""
        make_folder(self.folder, "runs")
        study = open_study(self.sweep, self.study_name, open_storage(self.storage, self.folder))
        header = f"# {shlex.join([self.project.program, *self.words])}\n"
        write_text(self.folder / SWEEP, header + yaml.safe_dump(without_secrets(settings), sort_keys=False))
        refuse_lost_study(study, self.folder)
        self.trials = Trials(self.sweep, study, self.folder)

    def check(self) -> None:
        """Look at all settings that trials may have, and whether the metric is logged; RunError if not."""
        bases = [[*self.sweep.flags, *space.flags_of(chosen)] for chosen in space.probes(self.sweep.search)]
        with tempfile.TemporaryDirectory(prefix=f"{self.project.program}-sweep-") as folder:
            result = Path(folder, "found.json")
            self._try(["fit"], Path(folder), self._assignment(probes=bases, result=str(result)), as_copy=True)
            found = json.loads(result.read_text(encoding="utf-8"))
            self.is_alone, self.gpus, self.processes_each = found["processes"] == 1, found["gpus"], found["processes"]
            of_runs = ["--runs", folder, "--run", "check", "--trainer.fast_dev_run=1"]
            self._try(["fit", *bases[0], *of_runs], Path(folder), self._assignment(), as_copy=self.is_alone)
        self.own_flags: list[str] = []
        if found["keeps_best"]:  # best.ckpt is the one with the best value of the metric
            monitor, mode = self.sweep.metric, self.sweep.mode
            self.own_flags = [f"--best_checkpoint.monitor={monitor}", f"--best_checkpoint.mode={mode}"]

    def _try(self, args: list[str], folder: Path, assignment: Assignment, as_copy: bool) -> None:
        """Run a command; RunError with its own line if it fails."""
        log = folder / told.LOG
        begin = size_of(log)
        process = self.processes.start(args, log, self._environment(assignment, 0), as_copy)
        if code := self.processes.wait(process):
            if code < 0:
                raise RunError(f"the check before the first trial was killed by {signal_name(code)}")
            text = log.read_text(encoding="utf-8", errors="replace")[begin:]
            hints = [line.partition(": try: ")[2] for line in text.splitlines() if ": try: " in line]
            if "error: " not in text:
                print(text, file=sys.stderr)
            raise RunError(reason_in(log, begin, self.project.program), hints[-1] if hints else "")

    def _assignment(self, **own: Any) -> Assignment:
        return Assignment(metric=self.sweep.metric, mode=self.sweep.mode, **{"probes": [], **own})

    def _environment(self, assignment: Assignment, place: int) -> dict[str, str]:
        """Variables of a process that runs beside others; with several GPUs, it sees its own."""
        environment = {self.project.variable(VARIABLE): assignment.to_text()}
        if self.workers > 1 and assignment.number is not None and self.gpus:
            seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self.gpus)))).split(",")
            first = place * self.processes_each
            own = [seen[(first + number) % len(seen)] for number in range(min(self.processes_each, len(seen)))]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return environment

    def say_beginning(self) -> None:
        is_counted = self.sweep.trials < float("inf")
        end = told.count(int(self.sweep.trials), "trial") if is_counted else f"{self.sweep.hours:g} hours"
        beside = f", {self.workers} at a time" if self.workers > 1 else ""
        print(f"Sweep:       {self.folder.resolve()}: {end}{beside}, to {self.sweep.direction} {self.sweep.metric}")
        there = self.trials.all()
        if there:
            begun = sum(not trial.state.is_finished() for trial in there)
            under_way = f", {begun} under way" if begun else ""
            print(f"Goes on:     {told.count(len(there) - begun, 'trial')} there{under_way}")
        print(f"Each trial:  {self.folder / 'NUMBER' / told.LOG}\n\n{told.heading(self.sweep)}")

    def work(self) -> None:
        """Keep as many trials running as there are workers, until there are none left."""
        running: dict[int, tuple[Claimed, int, int]] = {}  # by its place: a trial, its process, where its log begins
        while True:
            for place in range(self.workers):
                if place not in running and not self.signum and (trial := self.trials.claim()):
                    running[place] = self.start(trial, place)
            if not running:
                return
            if self.signum and not self.has_asked_to_stop:
                self.has_asked_to_stop = True
                for _, process, _ in running.values():
                    terminate(process)
            for place, (trial, process, begin) in list(running.items()):
                if (code := self.processes.ended(process)) is not None:
                    del running[place]
                    self.end(trial, code, begin)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def start(self, trial: Claimed, place: int) -> tuple[Claimed, int, int]:
        name = told.folder_name(trial.number)
        run = self.folder / name
        run.mkdir(exist_ok=True)
        assignment = self._assignment(
            number=trial.number, study=self.study_name, storage=self.storage, pruner=self.sweep.pruner
        )
        of_run = ["--runs", str(self.folder), "--run", name]
        args = ["fit", *of_run, *self.own_flags, *self.sweep.flags, *trial.flags]
        begin = size_of(run / told.LOG)
        process = self.processes.start(args, run / told.LOG, self._environment(assignment, place), self.is_alone)
        return trial, process, begin

    def end(self, trial: Claimed, code: int, begin: int) -> None:
        """Note how a trial has ended, unless it was the sweep that stopped it."""
        if self.signum and is_signal(code):
            return
        log = self.folder / told.folder_name(trial.number) / told.LOG
        ended = self.trials.end(trial.number, code, reason_in(log, begin, self.project.program) if code else "")
        if ended is None:
            print(f"{time.strftime('%H:%M:%S')} {told.folder_name(trial.number)} was killed, and goes on")
        else:
            print(told.line(ended, self.trials))
            found.write(self.trials, {})

    def receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:  # the second signal does not wait
            self.processes.close()
            os._exit(128 + signum)
        self.signum = signum


def refuse_lost_study(study: Any, folder: Path) -> None:
    """Raise RunError if there are runs of trials, and no study that knows them."""
    if not study.get_trials(deepcopy=False) and any(folder.glob("[0-9][0-9][0-9]/config.yaml")):
        raise RunError(f"{folder} has trials, and their study is gone", f"put {JOURNAL} back, or --run NAME")


def cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
