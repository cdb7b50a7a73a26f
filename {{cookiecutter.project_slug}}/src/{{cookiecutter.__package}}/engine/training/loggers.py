"""Where metrics go: metrics.csv, and the loggers that `logger` in the configuration names."""

import importlib.util
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyLogger

from ..devices.ranks import is_first_process
from ..errors import Finished, RunError
from ..saving.atomic import write_text
from ..saving.runs import is_run
from ..saving.secrets import masked
from . import loop_state
from .metrics_file import MetricsFile


def run_loggers(names: Sequence[str], run: Path, project: str, first_step: int | None) -> list[Logger]:
    """The loggers of a command; the first one is `self.logger` in a model.

    Args:
        names: which ones; refuse_absent has seen them.
        run: the run's folder, in which they write all but what goes to a server.
        project: what W&B and MLflow call all runs together.
        first_step: the step from which a training goes on, or 0; None for a command that measures. Its metrics go to
            the loggers of the training, and metrics.csv stays as the training left it.
    """
    loggers = [MAKERS[name](run, project, first_step) for name in dict.fromkeys(names) if name in MAKERS]
    return loggers if first_step is None else [*loggers, MetricsFile(run)]


def refuse_absent(names: Sequence[str]) -> None:
    """Raise RunError for the name of no logger, and for a logger whose package is not installed."""
    for name in names:
        if name not in NAMES:
            hint = "--trainer.logger with the class of another one, or --trainer.logger false for none"
            raise RunError(f"there is no logger {name!r}; choose from: {', '.join(NAMES)}", hint)
        if name in MAKERS and not is_installed(name):
            hint = f"uv add {name}, or --logger csv"
            raise RunError(f"logger {name} needs the package {name}, not installed here", hint)


def is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    # A folder wandb/ in the working folder, with old runs, is found too, as a package without a file.
    return spec is not None and spec.origin is not None


def without_csv(loggers: Sequence[Logger]) -> list[Logger]:
    """Somebody's own loggers, for a command that measures: Lightning's CSVLogger deletes what the training wrote."""
    return [logger for logger in loggers if not isinstance(logger, CSVLogger)]


def tensorboard_logger(run: Path, project: str, first_step: int | None) -> Logger:
    """`tensorboard --logdir runs` shows every run, without what came after the step that a training went on from."""
    return TensorBoardLogger(run, name="", version="tensorboard", purge_step=first_step)


def mlflow_logger(run: Path, project: str, first_step: int | None) -> Logger:
    """A database in the run's folder, unless MLFLOW_TRACKING_URI names a server."""
    if not is_first_process():
        return DummyLogger()  # in each process, MLflow would make the same tables
    return MLflowRun(run, project)


class MLflowRun(MLFlowLogger):
    """Keeps the id that MLflow gives a run, so that whatever goes on with the run goes on in it."""

    def __init__(self, run: Path, project: str) -> None:
        self.folder = run
        self.file = run / "mlflow.id"
        database = run / "mlflow.db"
        server = os.environ.get("MLFLOW_TRACKING_URI")
        # MLflow would refuse other settings for a run that was killed before it had begun.
        run_id = text_of(self.file) if is_run(run) and (server or database.exists()) else ""
        if not (run_id or server):
            for unfinished in run.glob(f"{database.name}*"):  # a kill in the middle may leave some tables out
                unfinished.unlink()
        with one_line_of_mlflow(f"with {self.file} or {database} away, MLflow begins a new run"):
            super().__init__(
                experiment_name=project,
                run_name=run.name,
                # MLflow keeps a connection by its address for the whole process, so the path is absolute.
                tracking_uri=server or f"sqlite:///{database.resolve().as_posix()}",
                artifact_location=(run / "mlflow").resolve().as_uri(),
                run_id=run_id or None,
            )
            if run_id:
                self._mlflow_client.get_run(run_id)

    @property
    def save_dir(self) -> str:
        """Lightning knows none for a database, and `trainer.log_dir` would be None."""
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)  # the first logger finds no folder
        client = super().experiment
        if self._run_id and self._run_id != text_of(self.file):  # only the first process has one
            write_text(self.file, self._run_id)
        return client


@contextmanager
def one_line_of_mlflow(hint: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into a RunError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy"):
            raise
        raise RunError(f"logger mlflow: {str(error).splitlines()[0]}", f"--logger csv; {hint}") from error


def wandb_logger(run: Path, project: str, first_step: int | None) -> Logger:
    """W&B is online where somebody is logged in or WANDB_API_KEY is set, and never asks.

    Elsewhere it keeps its files, and `wandb sync` uploads them later. WANDB_MODE decides instead where it is set.
    """
    import wandb  # type: ignore[import-not-found, unused-ignore] # not in projects with another logger

    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    # W&B's own process keeps the working folder in which it was started, so the path is absolute.
    return WandbRun(
        project=project,
        name=run.name,
        save_dir=run.resolve(),
        mode=mode,
        id=wandb_id(run),
        resume="allow",
        # quiet: without a copy of metrics.csv at the end, in 25 lines. Offline, no address needs to be told.
        settings=wandb.Settings(quiet=True, silent=mode == "offline"),
    )


def wandb_id(run: Path) -> str:
    """W&B's name for the run: made once, so that whatever goes on with the run goes on in it."""
    file = run / "wandb" / "id"
    if not text_of(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, uuid.uuid4().hex[:8])
    return text_of(file)


def text_of(file: Path) -> str:
    """What a small file says; nothing if there is none."""
    return file.read_text() if file.exists() else ""


class WandbRun(WandbLogger):
    """Shows W&B no secrets: it records the command line when its run starts."""

    @property
    def experiment(self) -> Any:
        self._wandb_init.pop("anonymous", None)  # Lightning sets it to None, and W&B warns of it nevertheless
        words, sys.argv = sys.argv, masked(sys.argv)
        try:
            return super().experiment
        finally:
            sys.argv = words


# By name, which is also that of the package that the logger needs.
MAKERS: dict[str, Callable[[Path, str, int | None], Logger]] = {
    "mlflow": mlflow_logger,
    "tensorboard": tensorboard_logger,
    "wandb": wandb_logger,
}
NAMES = ("csv", *MAKERS)  # metrics.csv is always kept, so `csv` adds nothing to it


@contextmanager
def end_of_wandb_run() -> Iterator[None]:
    """End the W&B run that began inside, whichever logger began it: W&B would add the next training to it."""
    before = current_wandb_run()
    exit_code = 1
    try:
        yield
        exit_code = 0
    except Finished:
        exit_code = 0
        raise
    finally:
        run = current_wandb_run()
        if run is not None and run is not before:  # a run of the caller's own goes on
            run.finish(exit_code=exit_code)


def current_wandb_run() -> Any:
    return getattr(sys.modules.get("wandb"), "run", None)


class LogAtCheckpoint(pl.Callback):
    """Has `validate` and `test` log at the last step and epoch before their checkpoint; Lightning would log at 0.

    Args:
        checkpoint: what the checkpoint holds.
    """

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        # Steps are counted from 0. Another program's checkpoint need not say at which it was saved.
        steps = checkpoint.get("resume", {}).get("logged_steps", checkpoint.get("global_step", 0))
        self.step = max(steps - 1, 0)
        self.epoch = checkpoint.get("epoch", 0)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loop_state.set_logged_steps(trainer, self.step)
        trainer.fit_loop.epoch_progress.current.completed = self.epoch

    on_test_epoch_end = on_validation_epoch_end
