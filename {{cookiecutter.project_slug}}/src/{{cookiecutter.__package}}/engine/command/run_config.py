"""config.yaml: the settings of a training, kept in its run folder."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from ..saving.atomic import write_text
from ..saving.runs import CONFIG, is_run
from ..saving.secrets import without_secrets
from ..training.metrics_file import MetricsFile
from . import manifest
from .arguments import RUN_FLAGS
from .init_from import InitFrom, write_record

CHOSEN_ANEW = (*RUN_FLAGS, "runs", "config")


class RunConfig(pl.Callback):
    """Keeps the whole configuration of a training in its run folder, and shows it to the loggers.

    Args:
        config: every setting of the training, without secrets.
        text: the same as YAML.
        begun: the weights with which the run began, if they were not new.
        command: the program's name, and the command line without secrets.
    """

    def __init__(self, config: Namespace, text: str, begun: InitFrom | None, command: tuple[str, str]) -> None:
        self.config = config
        self.text = text
        self.begun = begun
        self.command = command
        self._is_kept = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = Path(trainer.default_root_dir)
        if not trainer.is_global_zero:
            return
        if is_run(run) and trainer.global_step:
            manifest.add_command(run, *self.command)
            return
        run.mkdir(parents=True, exist_ok=True)
        manifest.write(run, *self.command, trainer)
        if not is_run(run):
            for logger in trainer.loggers:
                if not isinstance(logger, MetricsFile):  # MLflow takes each setting once
                    logger.log_hyperparams(self.config.as_dict())
            write_record(run, self.begun)
            self._keep(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # Where a run goes on not earlier: settings that fail would replace those with which it can.
        self._keep(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        self._keep(trainer)  # a training may be stopped with its first batch

    def _keep(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and not self._is_kept:
            write_text(Path(trainer.default_root_dir, CONFIG), self.text)
            self._is_kept = True


def settings_of(parser: LightningArgumentParser, config: Namespace) -> tuple[Namespace, str]:
    """The settings that a run keeps, without secrets; as YAML too."""
    kept = without_secrets(config)
    for key in CHOSEN_ANEW:
        kept.pop(key, None)
    return kept, parser.dump(kept, skip_none=False, skip_validation=True)
