"""The command `sweep`."""

import argparse
import importlib.util
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import RunError
from ..saving.atomic import make_folder, write_text
from ..saving.runs import SWEEP
from ..saving.secrets import masked, without_secrets
from ..search import found, space, told
from ..search.assignment import Assignment
from ..search.endings import LOG
from ..search.storage import JOURNAL, open_storage
from ..search.sweep_file import Sweep, read
from ..search.trials import Trials, open_study
from ..search.wandb_file import wandb_sweep
from . import configurations, report
from .arguments import FlagParser, RunFlags, naming, split_run_flags
from .pool import Job, Pool, flags_of_fit, folder_of, refuse_what_no_pool_takes
from .project import Project

STORAGE = "STORAGE"  # the environment variable, after the package's name: an address may hold a password


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
    folder = folder_of(run_flags, file.stem, SWEEP, "sweep", project)
    with Pool(project, folder.name, options.workers, imported=["optuna"]) as pool:
        Search(sweep, folder, pool, project, masked(args)).run(settings)


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
    refuse_what_no_pool_takes(run_flags, options.workers, "sweep", project)
    return run_flags, options, [*flags, *flags_of_fit(run_flags)]


def listed(project: Project) -> str:
    return ", ".join(project.sweeps) or "none yet"


def refuse_absent_optuna(project: Project) -> None:
    if importlib.util.find_spec("optuna") is None:
        raise RunError("sweep needs optuna, not installed here", f"uv run --extra sweep {project.program} sweep")


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


class Search:
    """One process that works on a sweep.

    Args:
        sweep: what is searched.
        folder: the sweep's.
        pool: runs the trials.
        project: what the files in front hand to the engine.
        words: the command line, without secrets.
    """

    def __init__(self, sweep: Sweep, folder: Path, pool: Pool, project: Project, words: list[str]) -> None:
        self.sweep, self.folder, self.pool, self.project, self.words = sweep, folder, pool, project, words
        self.storage = project.environment(STORAGE) or sweep.storage
        self.study_name = f"{project.package}/{folder.name}"
        self.own_flags: list[str] = []

    def run(self, settings: dict[str, Any]) -> None:
        """Check everything, run all trials, and say what was found."""
        is_begun = (self.folder / SWEEP).is_file()
        if is_begun:
            self.open(settings)
        if not (is_begun and self.trials.are_complete()):
            self.check()
        if not is_begun:
            self.open(settings)
        self.say_beginning()
        try:
            self.pool.work(self.next_job, self.end)
            print("\n".join(told.summary(self.trials, self.project.program, lambda run: naming(run, self.project))))
        finally:  # of a sweep that was stopped too
            self.write_report()

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
        monitor, mode = self.sweep.metric, self.sweep.mode
        seen = self.pool.check(bases, Assignment(metric=monitor, mode=mode))
        if seen["keeps_best"]:  # best.ckpt is the one with the best value of the metric
            self.own_flags = [f"--best_checkpoint.monitor={monitor}", f"--best_checkpoint.mode={mode}"]

    def say_beginning(self) -> None:
        is_counted = self.sweep.trials < float("inf")
        end = told.count(int(self.sweep.trials), "trial") if is_counted else f"{self.sweep.hours:g} hours"
        beside = f", {self.pool.workers} at a time" if self.pool.workers > 1 else ""
        print(f"Sweep:       {self.folder.resolve()}: {end}{beside}, to {self.sweep.direction} {self.sweep.metric}")
        there = self.trials.all()
        if there:
            begun = sum(not trial.state.is_finished() for trial in there)
            under_way = f", {begun} under way" if begun else ""
            print(f"Goes on:     {told.count(len(there) - begun, 'trial')} there{under_way}")
        print(f"Each trial:  {self.folder / 'NUMBER' / LOG}\n\n{told.heading(self.sweep)}")

    def next_job(self) -> Job | None:
        trial = self.trials.claim()
        if trial is None:
            return None
        name = told.folder_name(trial.number)
        args = ["fit", "--runs", str(self.folder), "--run", name, *self.own_flags, *self.sweep.flags, *trial.flags]
        assignment = Assignment(
            metric=self.sweep.metric,
            mode=self.sweep.mode,
            number=trial.number,
            study=self.study_name,
            storage=self.storage,
            pruner=self.sweep.pruner,
        )
        return Job(self.folder / name, args, assignment)

    def end(self, job: Job, code: int, reason: str) -> None:
        """Note how a trial has ended."""
        ended = self.trials.end(int(job.folder.name), code, reason)
        if ended is None:
            print(f"{time.strftime('%H:%M:%S')} {job.folder.name} was killed, and goes on")
        else:
            print(told.line(ended, self.trials))
            found.write(self.trials, {})


def refuse_lost_study(study: Any, folder: Path) -> None:
    """Raise RunError if there are runs of trials, and no study that knows them."""
    if not study.get_trials(deepcopy=False) and any(folder.glob("[0-9][0-9][0-9]/config.yaml")):
        raise RunError(f"{folder} has trials, and their study is gone", f"put {JOURNAL} back, or --run NAME")
