"""How a training tells the sweep of its validations, and learns whether to stop."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from ..errors import RunError
from ..training.display import say
from ..training.monitors import VALIDATION
from . import by_name, library, replica
from .assignment import Assignment
from .space import listed, unknown

KEY = "sweep"  # of what a checkpoint holds of it


class FollowTrial(EarlyStopping):
    """Reports the metric of a trial at each validation, and stops the training where the pruner says so.

    The first process reports and decides, and all of them stop. It is one of Lightning's EarlyStopping, since those see
    what a model logs at the end of an epoch.

    Args:
        assignment: the trial.
        study: Optuna's study; None in all processes but the first.
    """

    def __init__(self, assignment: Assignment, study: Any) -> None:
        super().__init__(monitor=assignment.metric, mode=assignment.mode)
        self.assignment = assignment
        self.study = study
        self.pruner = by_name.make("pruner", assignment.pruner) if assignment.pruner and study else None
        self.step = 0
        self.is_pruned = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.assignment.metric.startswith(VALIDATION) and not trainer.sanity_checking:
            self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.assignment.metric.startswith(VALIDATION):
            self._report(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        value = trainer.callback_metrics.get(self.assignment.metric)
        if value is None or self.is_pruned:
            return
        decided = self._keep(float(value)) if trainer.is_global_zero else False
        self.is_pruned = trainer.strategy.broadcast(decided)
        self.step += 1
        if self.is_pruned:
            trainer.should_stop = True
            if trainer.is_global_zero:
                say(f"Pruned at validation {self.step}: {self.assignment.metric} is {float(value):.4g}")

    def _keep(self, value: float) -> bool:
        """Write what the sweep has to know of a validation; return whether the training is to stop."""
        optuna = library.optuna()
        number = int(self.assignment.number or 0)
        frozen = self.study.get_trials(deepcopy=False)[number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        decided = replica.decide(self.study, self.pruner, number, self.step, value)
        if decided["pruned"] or decided["trial"]:
            trial.set_user_attr(replica.DECIDED, decided)  # first: what is reported has been decided on
        if self.step not in frozen.intermediate_values:
            trial.report(value, self.step)
        return bool(decided["pruned"])

    def state_dict(self) -> dict[str, Any]:
        return {}  # so that the run can go on without this callback, and without a word about it

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = {"step": self.step, "is_pruned": self.is_pruned}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        vars(self).update(checkpoint.get(KEY, {}))


class CheckMetric(pl.Callback):
    """Refuses a metric that the training does not log.

    Args:
        metric: its name.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        logged = sorted(trainer.callback_metrics)
        if self.metric not in logged:
            hint = f"one that fit logs: {listed(logged)}"
            raise RunError(f"metric: {unknown(self.metric, logged, 'metric')}", hint)
