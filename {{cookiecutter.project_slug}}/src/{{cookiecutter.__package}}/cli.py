"""The command line: settings in, run folder out."""

import errno
import json
import logging
import os
import re
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

# Lightning uses features that jsonargparse will remove; users can do nothing about it.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    Checkpoint,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    WeightAveraging,
)
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from . import callbacks, checkpoints, launch
from .arguments import CONFIGS, NAME, PRESETS, Parser, option, parse, refuse, with_presets
from .callbacks import SameBatches
from .data import DataModule
from .logger import loggers
from .model import Model
from .profiling import Profile  # noqa: F401 - a preset names it
from .resume import LastCheckpoint, Stopped
from .sharding import Sharded, merge

# A callback that the Trainer would refuse beside one of its own switches.
SWITCHES = {
    "enable_progress_bar": ProgressBar,
    "enable_checkpointing": Checkpoint | LastCheckpoint,
    "logger": LearningRateMonitor,
}
JUDGING = ("validate", "test", "predict")
STAGES = ("fit", *JUDGING)
COMMANDS = (*STAGES, "merge", "memory")
Kind = TypeVar("Kind", bound=pl.Callback)


def main(args: list[str] | None = None) -> None:
    """Run one command: fit, validate, test, predict, merge or memory.

    Args:
        args: the words after the command's name; those of `sys.argv` unless given.

    Raises:
        SystemExit: with code 2, after a line on the standard error and perhaps one with what to try, for what the
            user can mend; with 130, 138 or 143 when the command was stopped by SIGINT, SIGUSR1 or SIGTERM.
    """
    quieten()
    args = sys.argv[1:] if args is None else args
    try:
        command(args)
    except checkpoints.RunError as error:
        sys.exit(refuse(str(error), error.attempt))
    except MisconfigurationException as error:
        sys.exit(refuse(str(error)))
    except RuntimeError as error:
        if "returned nan values" not in str(error):  # detect_anomaly has told the place before
            raise
        sys.exit(refuse(f"{error} Above is the operation, where it was called."))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(refuse(f"no space is left on the disk: {error.filename}; free some, and the same command goes on"))
    except checkpoints.Finished as nothing_to_do:
        print(nothing_to_do)
    except Stopped as stopped:
        if stopped.first_process:
            print(f"{stopped}\nGo on with: {NAME} fit --run {stopped.run}")
        sys.exit(128 + stopped.signum)
    except (KeyboardInterrupt, SystemExit) as ended:
        # Lightning makes 1 of an interruption before the training, or in validate, test and predict.
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        sys.exit(128 + signal.SIGINT)


def command(args: list[str]) -> None:
    """Those that need no Trainer, and then the others."""
    word = args[0] if args else "nothing"
    if word not in COMMANDS and not word.startswith("-"):
        raise checkpoints.RunError(f"expected one of {', '.join(COMMANDS)}, got {word}")
    if word == "merge":
        merge(args[1:])
    elif word == "memory":
        from . import memory  # which needs the command line itself

        memory.main(args[1:])
    else:
        CLI(args)


def quieten() -> None:
    """Keep back what Lightning says and no user of this project can act on."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(worth_saying)
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # that of a run that goes on
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # as on any host of a cluster
    warnings.filterwarnings("ignore", ".*not supported by the model summary.*")
    warnings.filterwarnings("ignore", ".*overrides the configure_model callback.*")  # which does nothing then


def worth_saying(record: logging.LogRecord) -> bool:
    return not re.search("Tip:|default `ModelSummary`|to estimate number of stepping batches", record.getMessage())


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


class CLI(LightningCLI):
    """Lightning's command line, with presets and one folder for each run."""

    run: Path

    def __init__(self, args: list[str]) -> None:
        self.words = args
        each = {"default_config_files": [str(CONFIGS / "default.yaml")], "allow_abbrev": False}
        try:
            super().__init__(
                Model,
                DataModule,
                save_config_callback=callbacks.RunConfig,
                save_config_kwargs={"save_to_log_dir": False},
                trainer_defaults={"callbacks": [callbacks.Curves(), callbacks.SavePredictions()]},
                parser_class=Parser,
                parser_kwargs={
                    "prog": NAME,
                    "description": "Two commands are not in the list below: `merge` makes one file of a checkpoint in"
                    " shards, `memory` tells what a training needs on each device.",
                    "allow_abbrev": False,
                    **{stage: dict(each) for stage in STAGES},
                },
                args=args,
                auto_configure_optimizers=False,
            )
        finally:
            with suppress(OSError, AttributeError):  # not empty, or not yet known
                self.run.rmdir()

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Only the stage that is asked for gets its arguments: those of all four take four times as long."""
        if subcommand in self.words:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=str | None, help="Name of the run's folder in runs/")
        parser.add_argument("--fresh", action="store_true", help="Start over beside a run that exists")
        parser.add_argument("--preset", type=str | None, help=f"Packaged settings: {', '.join(PRESETS) or 'none yet'}")
        for section, callback in callbacks.CONFIGURED.items():
            parser.add_lightning_class_args(callback, section)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        args = with_presets(args)
        stage, name, fresh = args[0] if args else "", option(args, "--run"), "--fresh" in args
        self.trained = checkpoints.old_run(name if stage in JUDGING else None, option(args, "--ckpt_path"))
        source = checkpoints.unfinished_run(name, fresh) if stage == "fit" else self.trained
        # The settings of the run that goes on, or whose network is used. Flags come later and win.
        known = ["--config", str(source / "config.yaml")] if source and stage in STAGES else []
        known += ["--ckpt_path", "best"] if stage in JUDGING else []
        self.config = parse(parser, [*args[:1], *known, *args[1:]])
        self._name_callbacks_once()
        self.run = source or checkpoints.new_run(name, fresh)

    def _name_callbacks_once(self) -> None:
        """A preset adds its callbacks to those of a run that goes on, where they already are."""
        trainer = self.config.get(f"{self.config.subcommand}.trainer")
        callbacks = as_list(trainer.callbacks)
        trainer.callbacks = [each for number, each in enumerate(callbacks) if each not in callbacks[:number]]

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Without --weights_only: checkpoints.CheckpointIO never loads more."""
        return {stage: skipped | {"weights_only"} for stage, skipped in LightningCLI.subcommands().items()}

    def _parse_ckpt_path(self) -> None:
        """Not Lightning's way, in which hyperparameters of a checkpoint override flags."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        launch.refuse_absent(config.trainer)
        if config.ckpt_path:
            config.ckpt_path = str(checkpoints.checkpoint(self.trained, config.ckpt_path))
        if self.subcommand == "fit":
            own, self.step = checkpoints.last_checkpoint(self.run)
            config.ckpt_path = str(own) if own else config.ckpt_path

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as error:  # a constructor's view of its arguments
            raise MisconfigurationException(str(error)) from error
        path = self.config_init[self.subcommand].ckpt_path
        if path:
            saved = checkpoints.read(Path(path))
            checkpoints.refuse_other_model(Path(path), saved["state_dict"], self.model.state_dict())
            self._refuse_other_use(Path(path), saved)
        if isinstance(self.trainer.strategy, Sharded) and self._callback(WeightAveraging):
            raise checkpoints.RunError("averaged weights are whole, those of --preset fsdp in shards", "one of both")

    def _refuse_other_use(self, path: Path, saved: dict[str, Any]) -> None:
        if path.is_dir() and not isinstance(self.trainer.strategy, Sharded):
            attempt = f"{NAME} merge {path}, and --ckpt_path with the file that it makes; or --preset fsdp"
            raise checkpoints.RunError(f"{path} is in shards, and --trainer.strategy is not", attempt)
        if path.is_file() and self.subcommand == "fit" and "optimizer_states" not in saved:
            attempt = "--ckpt_path with the folder it was made of, and --preset fsdp"
            raise checkpoints.RunError(f"{path} has weights alone, with which no training can go on", attempt)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        if self.subcommand != "fit" or config["fast_dev_run"]:
            config["logger"] = False  # the curves of the training stay as they are, and a trial leaves nothing
        elif config["logger"] in (None, True):
            config["logger"] = loggers(self.run, self.step)
        launched = launch.launched()
        switched_off = tuple(kind for setting, kind in SWITCHES.items() if config[setting] is False)
        wanted = [callback for callback in callbacks if not isinstance(callback, switched_off)]
        # A checkpoint is saved before other callbacks see the batch that follows it.
        wanted.sort(key=lambda callback: not isinstance(callback, LastCheckpoint))
        if config["overfit_batches"]:
            wanted.append(SameBatches())
        config["callbacks"] = wanted + as_list(config["callbacks"])
        config["plugins"] = [*as_list(config["plugins"]), *launched.pop("plugins", []), checkpoints.CheckpointIO()]
        return super()._instantiate_trainer({**config, **launched, "default_root_dir": str(self.run)}, [])

    def _callback(self, kind: type[Kind]) -> Kind | None:
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined] # one of Lightning's connectors sets it
        return next((callback for callback in callbacks if isinstance(callback, kind)), None)

    def after_fit(self) -> None:
        best, last = self._callback(ModelCheckpoint), self._callback(LastCheckpoint)
        stopping = self._callback(EarlyStopping)
        kept = (self.run / "config.yaml").exists()  # a fast_dev_run leaves nothing
        reason = (stopping and stopping.stopping_reason_message) or ""
        self._report(
            {
                "Stopped": reason.removesuffix(" Signaling Trainer to stop.")
                or f"after {self.trainer.current_epoch} epochs, {self.trainer.global_step} steps",
                "Best": best and best.best_model_score and f"{best.monitor} = {best.best_model_score:.4g}",
                "Saving": last and f"{last.share_of_saving():.1%} of the time",
                "Next": kept and f"{NAME} test --run {self.run.name}",
            }
        )

    def after_validate(self) -> None:
        self._keep_metrics()

    def after_test(self) -> None:
        self._keep_metrics()

    def after_predict(self) -> None:
        self._report({"Predictions": self.run / "predictions.pt"})

    def _keep_metrics(self) -> None:
        metrics = {name: value.item() for name, value in self.trainer.callback_metrics.items()}
        path = self.run / f"{self.subcommand}.json"
        if self.trainer.is_global_zero:
            path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        self._report({"Metrics": path})

    def _report(self, lines: dict[str, object]) -> None:
        curves = self.run / "curves.png"
        lines["Run folder"] = self.run.exists() and self.run.resolve()
        lines["Curves"] = curves.exists() and curves.resolve()
        if self.trainer.is_global_zero:
            for title, text in lines.items():
                if text:
                    print(f"{title + ':':12}{text}")
