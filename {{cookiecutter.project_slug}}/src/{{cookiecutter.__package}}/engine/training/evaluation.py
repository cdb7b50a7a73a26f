"""What `validate` and `test` learn of each set beside its metrics: how sure they are, by group, and in detail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torchmetrics import MetricCollection

from ..devices.processes import gather
from ..saving.atomic import new_folder
from .batches import Batches
from .bootstrap import Interval
from .evaluation_folder import EvaluationFolder
from .probe import Names, Probe
from .random_streams import Apart, seeded
from .resume import is_trial
from .worst import Worst, largest


class Evaluation(pl.Callback):
    """Is given what the metrics are given, after them, and writes what it tells in a folder of the run.

    The metrics stay as they are. Of a model that has no `objective`, the folder has the metrics alone.

    Args:
        stage: validate or test.
        step: the step of the checkpoint, counted as in metrics.csv; None if the checkpoint is not the run's own.
    """

    def __init__(self, stage: str, step: int | None) -> None:
        self.stage = stage
        self.step = step
        self.objective: Any = None
        self.names: Names = {}  # of the present batch
        self.probes: dict[str, Probe] = {}  # by set, as "test/" or "test/clean/"
        self.analyses: dict[str, MetricCollection] = {}
        self.worst: dict[str, Worst] = {}
        self.inputs: Any = None  # of the present batch

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.names_of_batches = names_of_batches(trainer) if self.stage == "test" else iter(())
        objective = getattr(pl_module, "objective", None)
        if isinstance(objective, nn.Module) and hasattr(objective, "update_metrics"):
            self.objective = objective
            self.update: Any = objective.update_metrics
            self.update_before = vars(objective).get("update_metrics")  # FSDP2's, which gathers weights first
            self.objective.update_metrics = self._update_and_see

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.names = next(self.names_of_batches, {})
        module: Any = pl_module
        self.inputs = module.split(batch)[0] if hasattr(module, "split") else None

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.objective is not None:
            del self.objective.update_metrics
            if self.update_before:
                self.objective.update_metrics = self.update_before
        # All processes exchange what they have seen, and the first one writes it.
        seen = gather({name: probe.seen() for name, probe in self.probes.items()})
        mistakes = gather({name: worst.mistakes for name, worst in self.worst.items()})
        analysed = {name: metrics.compute() for name, metrics in self.analyses.items()}
        if not trainer.is_global_zero or is_trial(trainer):
            return
        figures = {str(name): value.item() for name, value in trainer.callback_metrics.items()}
        run = Path(trainer.default_root_dir)
        with new_folder(run / self.stage, replaces=True) as part:
            folder = EvaluationFolder(part, run, self.stage)
            sure: dict[str, Interval] = {}
            for name, probe in self.probes.items():
                whole = probe.together([of_process[name] for of_process in seen])
                if whole:
                    sure |= whole.intervals(figures)
                    folder.keep_groups(name, whole.by_kind())
            folder.keep_figures(figures, sure, self.step)
            for name, values in analysed.items():
                folder.keep_analysis(name, self.analyses[name], values)
            for name in self.worst:
                if worst := largest([mistake for of_process in mistakes for mistake in of_process[name]]):
                    folder.keep_worst(name, worst)
            folder.keep_sample(lambda: sample_of(trainer, pl_module))

    on_validation_start, on_validation_end = on_test_start, on_test_end
    on_validation_batch_start = on_test_batch_start

    def _update_and_see(self, metrics: MetricCollection, outputs: Any, targets: Any, loss: Any) -> None:
        """Takes the place of the objective's update_metrics, which a step calls once for each batch."""
        self.update(metrics, outputs, targets, loss)
        name = metrics.prefix or ""
        if name not in self.probes:
            self.probes[name] = Probe(metrics, self.objective, self.update)
            self.worst[name] = Worst(self.objective)
            if hasattr(self.objective, "analysis"):
                self.analyses[name] = self.objective.analysis().to(loss.device)
        with Apart():
            if name in self.analyses:
                self.update(self.analyses[name], outputs, targets, loss)
            self.probes[name].see(outputs, targets, self.names)
            if self.probes[name].is_possible:
                self.worst[name].see(self.inputs, outputs, targets)


def sample_of(trainer: pl.Trainer, module: pl.LightningModule) -> str:
    """What a model writes, if the DataModule has a method `sample` for it; nothing where weights are spread."""
    data: Any = getattr(trainer, "datamodule", None)
    if not hasattr(data, "sample") or trainer.world_size > 1:
        return ""
    with seeded(0):
        return str(data.sample(module))


def names_of_batches(trainer: pl.Trainer) -> Iterator[Names]:
    """The groups that the samples of each test batch of this process belong to, if the DataModule names any."""
    data: Any = getattr(trainer, "datamodule", None)
    groups = data.test_groups() if hasattr(data, "test_groups") else {}
    loader = trainer.test_dataloaders
    # Which samples make a batch is known of this loader alone.
    if isinstance(loader, Batches) and groups:
        for _, indices in loader.batch_sampler:
            yield {kind: [names[index] for index in indices] for kind, names in groups.items()}
