"""config.yaml: the settings of a training, kept in its run folder."""

from pathlib import Path

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from ..saving.runs import CONFIG, is_run
from ..saving.secrets import without_secrets
from ..training.metrics_file import MetricsFile
from .arguments import RUN_FLAGS
from .init_from import InitFrom, write_record

CHOSEN_ANEW = (*RUN_FLAGS, "runs", "config")


class RunConfig(pl.Callback):
    """Keeps the whole configuration of a training in its run folder, and shows it to the loggers.

    Args:
        parser: the parser of the configuration.
        config: every setting of the training.
        begun: the weights with which the run began, if they were not new.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, begun: InitFrom | None) -> None:
        self.parser = parser
        self.config = config
        self.begun = begun

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not earlier: settings with which a run cannot go on would replace those with which it can.
        if not trainer.is_global_zero:
            return
        config = without_secrets(self.config)
        for key in CHOSEN_ANEW:
            config.pop(key, None)
        run = Path(trainer.default_root_dir)
        run.mkdir(parents=True, exist_ok=True)
        goes_on = is_run(run)
        write_record(run, self.begun)
        text = self.parser.dump(config, skip_none=False, skip_validation=True)
        (run / CONFIG).write_text(text, encoding="utf-8")
        for logger in trainer.loggers:
            if not isinstance(logger, MetricsFile) and not goes_on:  # MLflow takes each setting once
                logger.log_hyperparams(config.as_dict())
