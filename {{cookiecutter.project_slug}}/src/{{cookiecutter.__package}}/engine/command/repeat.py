"""The command `repeat`."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import RunError
from ..saving.atomic import make_folder, write_text
from ..saving.runs import REPEAT
from ..saving.secrets import masked
from ..search import estimates
from ..search.assignment import Assignment
from ..search.endings import LOG
from ..search.repetitions import Repetitions
from ..search.told import count, folder_name
from . import configurations
from .arguments import FlagParser, RunFlags, split_run_flags
from .changes import WITHOUT_EFFECT, differences, is_in
from .pool import Job, Pool, flags_of_fit, folder_of, refuse_what_no_pool_takes
from .project import Project

SOME_FAILED = 3  # the exit code then
OTHER = "--run NAME for another folder"


class Kind(NamedTuple):
    """In what repetitions differ.

    Args:
        name: seeds or folds.
        settings: those that each repetition has of its own, which thus cannot be typed.
        needs: arguments that the DataModule has to have.
        flags: those of the repetition of a number, of so many.
    """

    name: str
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    flags: Callable[[int, int], list[str]]


KINDS = (
    Kind("seeds", ("seed_everything",), (), lambda number, _: [f"--seed_everything={number}"]),
    Kind(
        "folds",
        ("data.fold", "data.folds"),
        ("fold", "folds"),
        lambda number, count: [f"--data.folds={count}", f"--data.fold={number}"],
    ),
)


def main(args: list[str], project: Project) -> None:
    """Train several times with the same settings, and say mean, deviation and a 95% interval of each metric.

    Each training is a run, runs/seeds/000 and so on, and is tested; with folds, it is also measured on the part of the
    data that it has not seen. A command that was stopped or killed goes on. All other flags are those of `fit`.
    """
    run_flags, options, flags = parsed(args, project)
    kind = next(kind for kind in KINDS if getattr(options, kind.name) is not None)
    refuse_what_repetitions_decide(kind, flags)
    folder = folder_of(run_flags, kind.name, REPEAT, "repeat", project)
    with Pool(project, folder.name, options.workers) as pool:
        repeat = Repeat(kind, getattr(options, kind.name), folder, flags, pool, project)
        repeat.run(f"# {shlex.join([project.program, *masked(args)])}\n")


def parsed(args: list[str], project: Project) -> tuple[RunFlags, argparse.Namespace, list[str]]:
    """The flags that name the folder, those of the command, and those of `fit`."""
    parser = FlagParser(prog=f"{project.program} repeat", description=main.__doc__, allow_abbrev=False)
    add_own_flags(parser)
    parser.add_argument("--run", default=argparse.SUPPRESS, help="name of the folder; seeds or folds by default")
    parser.add_argument("--runs", default=argparse.SUPPRESS, help="folder in which all runs lie")
    run_flags, rest = split_run_flags(args[1:], project)
    options, flags = parser.parse_known_args(rest)
    if (options.seeds is None) == (options.folds is None):
        raise RunError("repeat needs one of --seeds and --folds", "repeat --seeds 5")
    for kind in KINDS:
        number = getattr(options, kind.name)
        if number is not None and number < 2:
            raise RunError(f"--{kind.name} is {number}, and must be at least 2")
    refuse_what_no_pool_takes(run_flags, options.workers, "repeat", project)
    return run_flags, options, [*flags, *flags_of_fit(run_flags)]


def add_own_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, metavar="NUMBER", help="how many, with seed_everything 0 and so on")
    text = "how many, each with another part of the training data held out for validation"
    parser.add_argument("--folds", type=int, metavar="NUMBER", help=text)
    parser.add_argument("--workers", type=int, default=1, help="how many are trained at a time; 1 by default")


def refuse_what_repetitions_decide(kind: Kind, flags: list[str]) -> None:
    for flag in flags:
        if flag.partition("=")[0].removeprefix("--") in kind.settings:
            raise RunError(f"--{kind.name} decides {flag.partition('=')[0]}", "without it")


class Repeat:
    """One process that repeats a training.

    Args:
        kind: in what the repetitions differ.
        count: how many there are to be.
        folder: the one in which their runs lie.
        flags: flags of `fit` that all of them have.
        pool: runs them.
        project: what the files in front hand to the engine.
    """

    def __init__(self, kind: Kind, count: int, folder: Path, flags: list[str], pool: Pool, project: Project) -> None:
        self.kind, self.count, self.folder, self.flags = kind, count, folder, flags
        self.pool, self.project = pool, project

    def run(self, header: str) -> None:
        """Check everything, train all repetitions, and say what they have reached."""
        file = self.folder / REPEAT
        before = configurations.read(file) if file.is_file() else {}
        if before and before["over"] != self.kind.name:
            raise RunError(f"the runs in {self.folder} are {before['over']}, not {self.kind.name}", OTHER)
        self.repetitions = Repetitions(self.folder, self.count, before.get("measures", []))
        if not (before.get("flags") == masked(self.flags) and self.repetitions.are_over()):
            found = self.check(before)
            make_folder(self.folder, "runs")
            kept = {"over": self.kind.name, "flags": masked(self.flags), **found}
            write_text(file, header + yaml.safe_dump(kept, sort_keys=False))
            self.repetitions.measures = found["measures"]
            self.say_beginning()
            self.pool.work(self.next_job, self.end)
        every = self.repetitions.all()
        estimates.write(self.folder, every)
        is_folds = self.kind.name == "folds"
        print("\n".join(estimates.summary(self.repetitions, is_folds)))
        if any(one.error for one in every):
            sys.exit(SOME_FAILED)

    def check(self, before: dict[str, Any]) -> dict[str, Any]:
        """The settings of the first repetition, and how it is measured; RunError if others have begun in the folder."""
        probes = [[*self.flags, *self.kind.flags(number, self.count)] for number in (0, self.count - 1)]
        found = self.pool.check(probes, Assignment(needs=self.kind.needs))
        measures = found["measures"] if self.kind.name == "folds" else found["measures"][-1:]
        if not measures:
            raise RunError("repeat has nothing to measure on", "test_step in model.py, test_dataloader in data.py")
        for name, (earlier, now) in differences(before.get("settings", {}), found["settings"]):
            if not is_in(name, WITHOUT_EFFECT):
                raise RunError(f"the runs in {self.folder} have {name} {earlier}, not {now}", OTHER)
        return {"measures": measures, "settings": found["settings"]}

    def say_beginning(self) -> None:
        beside = f", {self.pool.workers} at a time" if self.pool.workers > 1 else ""
        print(f"Repeat:      {self.folder.resolve()}: {self.count} {self.kind.name}{beside}")
        if over := sum(one.is_over for one in self.repetitions.all()):
            print(f"Goes on:     {count(over, 'run')} there")
        print(f"Each run:    {self.folder / 'NUMBER' / LOG}\n")

    def next_job(self) -> Job | None:
        claimed = self.repetitions.claim()
        if claimed is None:
            return None
        number, command = claimed
        args = [command, "--runs", str(self.folder), "--run", folder_name(number)]
        if command == "fit":
            args += [*self.flags, *self.kind.flags(number, self.count)]
        return Job(self.folder / folder_name(number), args, Assignment())

    def end(self, job: Job, code: int, reason: str) -> None:
        number = int(job.folder.name)
        if ended := self.repetitions.end(number, code, reason):
            print(estimates.line(ended, self.repetitions.seconds(number)))
