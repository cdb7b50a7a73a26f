"""The commands fit, validate, test and predict: settings in, run folder out."""

import hashlib
import shlex
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ..devices.launch import (
    follow_first_process,
    launcher_settings,
    refuse_missing_hardware,
    refuse_missing_processes,
    started_by,
)
from ..devices.processes import end_others
from ..devices.ranks import is_first_process
from ..errors import BadSetting, RunError
from ..saving import checkpoints, weights
from ..saving.lock import locked
from ..saving.parts import fingerprint
from ..saving.runs import refuse_blocked
from ..saving.secrets import masked
from ..saving.sharded_strategy import Sharded
from ..training import loggers
from ..training.curves import draw_if_missing
from ..training.evaluation import Evaluation
from ..training.module import EngineModule
from ..training.predictions import SavePredictions
from ..training.profiling import NoProfile
from ..training.run_summary import RunSummary, note_finished
from . import changes, configurations, manifest, reports
from .answering import answering_of, lift_limits
from .arguments import refuse_run_flags
from .bounds import flags_in_full, refuse_out_of_bounds
from .caller import unchanged_torch
from .choice import Choice
from .init_from import InitFrom, init_from
from .library_errors import as_mistake, is_out_of_memory
from .log_lines import without_irrelevant_messages
from .mistakes import Parser, in_constructor, parse_read, refuse_misnamed_strategy
from .older import code_of, of_run, report_changed_code, what_to_try
from .project import Project
from .run_config import RunConfig, settings_of
from .settings import add_run_flags, add_sections, folder_flags, parser_settings
from .strangers import flags_of, refuse_links
from .trainer_callbacks import as_list, callback_of, keep_in_run, run_callbacks, switches_of_absent_callbacks

# What libraries raise for a setting, among other things.
LIBRARY_ERRORS = (ArithmeticError, AttributeError, ImportError, RuntimeError, TypeError, ValueError)


def run_stage(chosen: Choice, args: list[str], project: Project, command_line: "type[CLI] | None" = None) -> None:
    """Run one of the commands, on CLI or one that is derived from it; RunError for what the user can mend."""
    apart = unchanged_torch(), without_irrelevant_messages(), started_by(project.to_start)
    try:
        with ExitStack() as at_end, loggers.end_of_wandb_run():
            for context in apart:
                at_end.enter_context(context)
            (command_line or CLI)(chosen, args, project, at_end)
    except (MisconfigurationException, *LIBRARY_ERRORS) as error:
        if mistake := as_mistake(error, project.folder):
            raise mistake from error
        raise


class CLI(LightningCLI):
    """Lightning's command line, with presets and one folder for each run.

    Args:
        chosen: the run that the command is about, and the settings that were typed.
        args: the command and its flags.
        project: what the files in front hand to the engine.
        at_end: what is to be done once everything has ended, loggers too.

    Attributes:
        run: the folder of the run, once the settings have been parsed.
    """

    run: Path

    def __init__(self, chosen: Choice, args: list[str], project: Project, at_end: ExitStack) -> None:
        self.stage, self.run_flags, self.runs = chosen.stage, chosen.run_flags, chosen.runs
        self.source, self.trained, self.own_settings = chosen.source, chosen.trained, chosen.own_settings
        self.command, self.began = shlex.join([project.program, *masked(args)]), time.time()
        self.question = chosen.question
        self.at_end = at_end
        self.project = project
        follow_first_process(project.variable("FIRST_PROCESS"))
        self.parts = project.load_parts()
        settings, self.typed = self._settings(chosen)
        with ExitStack() as self.held, flags_in_full(lambda: self.config[self.stage]):
            super().__init__(
                self.parts.model,
                self.parts.data,
                save_config_callback=None,  # ours is RunConfig
                parser_class=Parser,
                parser_kwargs={
                    "prog": project.program,
                    "allow_abbrev": False,
                    **{stage: parser_settings(project) for stage in self.subcommands()},
                },
                args=[self.stage, *settings],
                auto_configure_optimizers=False,
            )

    def _settings(self, chosen: Choice) -> tuple[list[str], dict[str, str]]:
        """All flags that are settings, and what was typed in them and in their files.

        Those of the run that goes on, or whose weights are used, come first: flags win over them.
        """
        own = flags_of(self.source, self.own_settings, self.runs, self.parts.model) if self.source else []
        first = ["--runs", str(self.run_flags.runs), *own, *folder_flags(self.project, self.parts)]
        self.own_flags, typed = configurations.read_all_in(first)
        return [*self.own_flags, *chosen.flags], {**typed, **chosen.typed}

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Without --weights_only: SafeCheckpointIO never loads more."""
        return {stage: skipped | {"weights_only"} for stage, skipped in LightningCLI.subcommands().items()}

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Only the stage that is asked for gets its arguments: those of all four take four times as long."""
        if subcommand == self.stage:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        self.stage_parser = parser
        add_run_flags(parser, self.project, self.stage)
        add_sections(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = self._parse(parser, args)
        config = self.config[self.stage]
        refuse_run_flags(config, self.run_flags)
        refuse_out_of_bounds(config, self.stage)
        refuse_misnamed_strategy(config.trainer.strategy)
        if self.question:
            lift_limits(config.trainer)
        if self._has_named_loggers(config.trainer):
            loggers.refuse_absent(as_list(config.logger))
        # A preset adds its callbacks to those of a run that goes on, where they already are.
        callbacks = as_list(config.trainer.callbacks)
        config.trainer.callbacks = [one for number, one in enumerate(callbacks) if one not in callbacks[:number]]
        refuse_missing_hardware(config.trainer)
        refuse_missing_processes(config.trainer)
        if is_first_process():
            self.at_end.push(self.runs.remove_unbegun)
        self.run = self.source or self.runs.new(self.run_flags.run, self.run_flags.fresh)
        refuse_links(self.run)
        refuse_blocked(self.run, self.stage == "fit")
        if self.stage == "fit" and is_first_process() and not config.trainer.fast_dev_run:
            self.held.enter_context(locked(self.run))

    def _parse(self, parser: LightningArgumentParser, args: list[str]) -> Namespace:
        """The settings; RunError says where they come from if it is the run that has kept them."""
        try:
            return parse_read(parser, args, self.typed)
        except RunError as error:
            if self.source is None:
                raise
            try:
                parse_read(parser, [self.stage, *self.own_flags], self.typed)
            except RunError as found:
                raise of_run(found, self.source) from error
            raise

    def before_instantiate_classes(self) -> None:
        config = self.config[self.stage]
        if self.stage != "fit" or self.run_flags.ckpt_path:
            config.ckpt_path = str(checkpoints.find(self.trained, self.run_flags.ckpt_path))
        if self.stage in ("validate", "test"):  # their table is ours, not Lightning's
            self.prints_table, config.verbose = config.verbose, False
        self.first_step = 0
        self.begun: InitFrom | None = None
        if self.stage == "fit":
            own, self.first_step, is_finished = checkpoints.find_last(self.run)
            self.kept = settings_of(self.stage_parser, config)
            if is_finished and is_first_process():
                draw_if_missing(self.run)
                note_finished(self.run)
            if own:
                told = changes.check(self.run, self.own_settings, self.kept[1], is_finished)
                if told and is_first_process():
                    print("\n".join(told), file=sys.stderr)
            config.ckpt_path = str(own) if own else config.ckpt_path
            self.begun = init_from(self.run_flags, self.runs, self.run, bool(own))

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as error:  # a constructor's view of its arguments
            if isinstance(error.__cause__, BadSetting):
                raise error.__cause__ from error
            raise RunError(in_constructor(str(error))) from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise RunError(f"the model is larger than the memory: {error}", "a smaller one") from error
        for logged_by_run_config in (self.model, self.datamodule):
            # With save_hyperparameters(), Lightning would log the settings once more, secrets included.
            logged_by_run_config._log_hyperparams = False
        if path := self.config[self.stage].ckpt_path:
            saved = checkpoints.read(Path(path))
            hint = self._what_to_try(Path(path))
            checkpoints.refuse_other_model(Path(path), saved["state_dict"], self.model.state_dict(), hint)
            self._refuse_other_use(Path(path), saved)
            if hint and is_first_process():
                report_changed_code(self.run.name, code_of(self.run))
            if self.stage == "fit" and self.trainer.is_global_zero:
                reports.before_going_on(Path(path), saved, self.run)
        elif self.begun:
            lines = weights.begin_with(self.model, Path(self.begun.path), self.begun.init_partial)
            if self.trainer.is_global_zero:
                print("\n".join(lines))
        if isinstance(self.trainer.strategy, Sharded):
            self._refuse_unshardable()
        if self.stage == "fit":
            self._refuse_unresumable()

    def _what_to_try(self, path: Path) -> str:
        """What to try if a checkpoint does not fit the code any more; nothing if it is not the run's own."""
        if not path.resolve().is_relative_to(self.run.resolve()):
            return ""
        anew = f"; or --run NEW --init_from {self.run.name} --init_partial, which begins with the weights that fit"
        return what_to_try(self.run) + (anew if self.stage == "fit" else "")

    def _refuse_other_use(self, path: Path, saved: dict[str, Any]) -> None:
        if path.is_dir() and self.stage == "fit" and not isinstance(self.trainer.strategy, Sharded):
            hint = f"--preset fsdp; or --run NEW --init_from {path}, which begins with its weights"
            raise RunError(f"{path} is in shards, and --trainer.strategy is not", hint)
        if path.is_file() and self.stage == "fit" and "optimizer_states" not in saved:
            hint = "--ckpt_path with the folder it was made of, and --preset fsdp"
            raise RunError(f"{path} has weights alone, with which no training can go on", hint)

    def _refuse_unshardable(self) -> None:
        if callback_of(self.trainer, WeightAveraging):
            raise RunError("averaged weights are whole, those of --preset fsdp in shards", "one of both")
        if not isinstance(self.model, EngineModule):
            hint = "derive the model from EngineModule, as model.py of the template does, or --preset ddp"
            raise RunError(f"{type(self.model).__name__} does not derive from EngineModule, which shards it", hint)

    def _refuse_unresumable(self) -> None:
        if callback_of(self.trainer, StochasticWeightAveraging):
            # Lightning's cannot be written to config.yaml and read back, and resumes with other averages.
            hint = "pytorch_lightning.callbacks.WeightAveraging or EMAWeightAveraging, as --preset ema does"
            raise RunError("a training with StochasticWeightAveraging cannot go on exactly once it is stopped", hint)
        if finder := callback_of(self.trainer, BatchSizeFinder) or callback_of(self.trainer, LearningRateFinder):
            hint = "several runs, each with a value of its own"
            raise RunError(f"{type(finder).__name__} trains before the training, which cannot go on exactly then", hint)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.stage]
        logger = self._loggers(config)
        callbacks = run_callbacks(config, self.project.callbacks, has_logger=bool(logger))
        self.answering = self.question and answering_of(self.question, self.model, self.datamodule, self._depends_on())
        if self.answering:
            callbacks = [one for one in callbacks if not isinstance(one, SavePredictions)] + [self.answering.callback]
        if self.stage in ("validate", "test"):
            at_checkpoint = loggers.LogAtCheckpoint(checkpoints.read(Path(config.ckpt_path)))
            is_own = Path(config.ckpt_path).resolve().is_relative_to(self.run.resolve())
            callbacks += [at_checkpoint, Evaluation(self.stage, at_checkpoint.step if is_own else None)]
        keep_in_run(self.run, callbacks, config.trainer.profiler)
        if self.stage == "fit" and not config.trainer.fast_dev_run:
            default = settings_of(self.stage_parser, self.stage_parser.get_defaults())[1]
            record = RunSummary(self.kept[1], default)
            self.held.push(record.end)
            callbacks += [RunConfig(*self.kept, self.begun, (self.project.program, self.command)), record]
        try:
            launched = launcher_settings()
            plugins = [*as_list(config.trainer.plugins), *launched.pop("plugins", []), checkpoints.SafeCheckpointIO()]
            profiler = config.trainer.profiler or NoProfile()
            settings = {**switches_of_absent_callbacks(callbacks), **launched, **kwargs}
            trainer = super().instantiate_trainer(
                callbacks=callbacks,
                logger=logger,
                plugins=plugins,
                profiler=profiler,
                default_root_dir=str(self.run),
                **settings,
            )
            self.at_end.push(partial(end_others, trainer.strategy.launcher))
            return trainer
        except (ImportError, RuntimeError, TypeError) as error:
            if mistake := as_mistake(error, self.project.folder, is_new=True):
                raise mistake from error
            raise

    def _depends_on(self) -> dict[str, str]:
        """What the answers for an input depend on beside that, as text: parts of others are not mixed with them."""
        config = self.config[self.stage]
        settings = f"{config.model} {config.data} {config.seed_everything} {config.trainer.precision}"
        return {
            "checkpoint": fingerprint(Path(config.ckpt_path)),
            "settings": hashlib.sha256(settings.encode()).hexdigest(),  # which may hold secrets
            "code": fingerprint(self.project.folder),
        }

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """The user's own inputs take the place of the DataModule, of which nothing has to be prepared for them."""
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        if not self.answering:
            return arguments
        del arguments["datamodule"]
        return {**arguments, "dataloaders": self.answering.loader, "return_predictions": False}

    def _has_named_loggers(self, trainer: Namespace) -> bool:
        """Whether `logger` decides, and not `trainer.logger`. Predictions are no metrics, and go to none."""
        return self.stage != "predict" and trainer.logger in (None, True)

    def _loggers(self, config: Namespace) -> list[Logger]:
        is_fit = self.stage == "fit"
        if self.stage == "predict" or config.trainer.fast_dev_run:  # a trial leaves nothing
            return []
        if self._has_named_loggers(config.trainer):
            first_step = self.first_step if is_fit else None
            return loggers.run_loggers(as_list(config.logger), self.run, self.project.package, first_step)
        own = as_list(config.trainer.logger or None)
        return own if is_fit else loggers.without_csv(own)

    def before_fit(self) -> None:
        reports.before_command(self.trainer, self.run, self.command)

    before_validate = before_test = before_predict = before_fit

    def after_fit(self) -> None:
        reports.after_training(self.trainer, self.run, self.project)

    def after_validate(self) -> None:
        reports.after_measuring(self.trainer, self.run, self.stage, self.prints_table)
        self._note_in_manifest()

    after_test = after_validate

    def after_predict(self) -> None:
        self._note_in_manifest()
        if not self.answering:
            reports.after_predicting(self.trainer, self.run)
        elif self.trainer.is_global_zero:
            self.answering.report(self.trainer, self.run)

    def _note_in_manifest(self) -> None:
        if self.trainer.is_global_zero and not self.config[self.stage].trainer.fast_dev_run:
            manifest.add_command(self.run, self.project.program, self.command, self.began)
