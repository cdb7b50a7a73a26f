"""What the user typed: the flags that find a run, and presets spelled out."""

import argparse
import shlex
from pathlib import Path
from typing import NamedTuple, NoReturn

from jsonargparse import Namespace

from ..errors import RunError
from ..saving.runs import has_runs, in_group
from . import configurations
from .project import Project

# They say which run is meant, not how it is trained, so a configuration may not set them.
RUN_FLAGS = {
    "run": "--run NAME",
    "fresh": "--fresh",
    "preset": "--preset NAME",
    "ckpt_path": "--ckpt_path FILE",
    "init_from": "--init_from FILE_OR_RUN",
    "init_partial": "--init_partial",
    "traceback": "--traceback",
    "input": "--input FILE_OR_FOLDER",
    "output": "--output FILE",
    "overwrite": "--overwrite",
    "prompt": "--prompt TEXT",
    "length": "--length NUMBER",
    "temperature": "--temperature NUMBER",
}


class RunFlags(NamedTuple):
    """The flags that find or name a run.

    Args:
        runs: the folder of all runs.
        run: the run's name.
        fresh: whether to start over beside a run that exists.
        ckpt_path: best, last, or a path.
        init_from: a run or a file with whose weights a training begins.
        init_partial: whether some of those may not fit.
    """

    runs: Path
    run: str | None
    fresh: bool
    ckpt_path: str | None
    init_from: str | None
    init_partial: bool


def split_run_flags(args: list[str], project: Project) -> tuple[RunFlags, list[str]]:
    """Split flags into those that find a run and all others, which are settings."""
    parser = FlagParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runs", default=runs_folder(project))
    parser.add_argument("--run")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--ckpt_path")
    parser.add_argument("--init_from")
    parser.add_argument("--init_partial", action="store_true")
    found, settings = parser.parse_known_args(args)
    for name in ("runs", "run", "ckpt_path", "init_from"):
        if getattr(found, name) == "":
            raise RunError(f"--{name} is empty", f"{RUN_FLAGS.get(name, '--runs FOLDER')}, or no --{name}")
    found.runs = Path(found.runs)
    if found.run:
        found.runs, found.run = in_group(found.runs, found.run)
    return RunFlags(**vars(found)), settings


class FlagParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RunError(message)


def runs_folder(project: Project) -> str:
    """Where runs lie unless --runs says so: the environment variable, or the line in default.yaml."""
    if folder := project.environment("RUNS"):
        return folder
    return str(configurations.read(project.default_config).get("runs") or "runs")


def naming(run: Path, project: Project) -> str:
    """The flags with which a command finds this run again."""
    if has_runs(run.parent):
        return naming(run.parent, project).replace(run.parent.name, f"{run.parent.name}/{run.name}", 1)
    is_elsewhere = run.parent != Path(runs_folder(project))
    return f"--run {run.name}" + (f" --runs {shlex.quote(str(run.parent))}" if is_elsewhere else "")


def refuse_run_flags(config: Namespace, run_flags: RunFlags) -> None:
    """Raise RunError if a configuration says what only the command line can: it is read before any configuration."""
    for key, flag in RUN_FLAGS.items():
        if config.get(key) is not None:
            raise RunError(f"{key} is no setting, and a configuration cannot hold it", f"{flag} on the command line")
    if config.runs != str(run_flags.runs):
        raise RunError(
            f"runs: {config.runs} stands in a configuration other than default.yaml, and is read too late there",
            f"--runs {config.runs}",
        )


def refuse_contradictions(flags: RunFlags, stage: str) -> None:
    """Raise RunError if --init_from and --init_partial stand where they would have no effect."""
    if flags.init_from is None:
        if flags.init_partial:
            raise RunError("--init_partial says how --init_from loads weights, and there is none", "--init_from FILE")
        return
    if stage != "fit":
        raise RunError(f"--init_from begins a training, and {stage} uses a trained model", "--ckpt_path")
    if flags.ckpt_path:
        raise RunError("--ckpt_path goes on with a training, --init_from begins one with weights alone", "one of both")


def expand_presets(args: list[str], presets: dict[str, Path]) -> list[str]:
    """Replace each `--preset NAME` by `--config` with the packaged file of that name."""
    remaining = iter(args)
    expanded = []
    for arg in remaining:
        flag, _, name = arg.partition("=")
        if flag != "--preset":
            expanded.append(arg)
            continue
        name = name or next(remaining, "")
        if name not in presets:
            raise RunError(f"there is no preset {name!r}; choose from: {', '.join(presets) or 'none'}")
        expanded += ["--config", str(presets[name])]
    return expanded
