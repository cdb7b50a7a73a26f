"""The run that a command is about, and the settings that were typed: all that can be found before torch is imported.

Importing torch and Lightning takes seconds. A preset, a run or a file that does not exist is told without waiting for
them.
"""

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import RunError
from ..saving.runs import CONFIG, Runs, checkpoint_of
from . import configurations, init_from, manifest
from .arguments import RunFlags, expand_presets, refuse_contradictions, runs_folder, split_run_flags
from .project import Project
from .question import Question, refuse_unanswerable, split_question


class Choice(NamedTuple):
    """What the words of a command have chosen.

    Args:
        stage: fit, validate, test or predict.
        run_flags: the flags that find or name a run.
        runs: the folder in which all runs lie.
        source: the run that goes on, or whose model is used; None for a new training.
        trained: the run whose checkpoints --ckpt_path and --init_from may mean; None if there is none.
        own_settings: those that `source` has kept.
        flags: the flags that are settings, with presets spelled out.
        typed: all settings in them and in their files, as text, by flag or by key.
        question: what `predict` is to answer; None for the test data.
    """

    stage: str
    run_flags: RunFlags
    runs: Runs
    source: Path | None
    trained: Path | None
    own_settings: dict[str, Any]
    flags: list[str]
    typed: dict[str, str]
    question: Question | None = None


def choose(args: list[str], project: Project) -> Choice:
    """Find the runs that the flags speak of, and read the configurations that they name; RunError for a mistake."""
    stage = args[0]
    question, args = split_question(args)
    run_flags, flags = split_run_flags(args[1:], project)
    refuse_contradictions(run_flags, stage)
    runs = Runs(run_flags.runs, project.variable("RUN"))
    name, ckpt_path = run_flags.run, run_flags.ckpt_path
    if stage == "fit":
        trained = runs.trained(None, ckpt_path)  # a run from whose weights this one may begin
        source = runs.unfinished(name, run_flags.fresh)
    else:
        trained = source = runs.trained(name, ckpt_path)
    if run_flags.ckpt_path:
        checkpoint_of(trained, run_flags.ckpt_path)  # RunError if it is not there
    if run_flags.init_from and not source:  # a run that goes on needs them no longer
        init_from.find(run_flags.init_from, runs)
    if source:
        manifest.refuse_newer(source)
    if question:
        question = refuse_unanswerable(question, source, bool(ckpt_path))
    own_settings = saved_settings(source) if source else {}
    flags, typed = configurations.read_all_in(expand_presets(flags, project.presets))
    return Choice(stage, run_flags, runs, source, trained, own_settings, flags, typed, question)


def newest_run(project: Project) -> Path:
    """The newest run of those in the folder of all runs; RunError if there is none."""
    runs = Runs(Path(runs_folder(project)), project.variable("RUN"))
    run = runs.trained(None, None)
    if run is None:
        raise RunError(f"there is no run yet in {runs.folder.absolute()}", f"{project.program} fit")
    return run


def saved_settings(run: Path) -> dict[str, Any]:
    """The settings that a run has kept; RunError if they cannot be read."""
    path = run / CONFIG
    try:
        return configurations.read(path)
    except RunError as error:
        reason = str(error).removeprefix(str(path)).lstrip(" ,:")
        raise RunError(f"{path} is damaged: {reason}", "put it back, or --fresh to start over beside it") from error
