"""The parts of Lightning's state that a training needs to go on exactly, and that Lightning does not restore.

This file reaches into private names of Lightning's loops and of torchmetrics, so that none but short_steps.py has to.
The template's tests list these names, and fail when a new release lacks one.
"""

from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torchmetrics import Metric, MetricCollection

from .batches import Batches
from .random_streams import seed_generators
from .sets import set_names
from .stream import Stream

MetricStates = dict[str, tuple[int, dict[str, Any]]]  # {name: (updates, {state: value})}


def move_to_next_batch(loops: dict[str, Any], trainer: pl.Trainer) -> None:
    """Have a checkpoint's loops begin with the next batch, with no hook or validation of the one before it repeated.

    Lightning saves its counters in the middle of a batch: some say that the batch has begun, others that it has not
    ended. It would resume by running hooks once more, or by skipping them. Here all counters are set to what they are
    between two batches.

    Args:
        loops: the section `loops.fit_loop` of the checkpoint, which is changed.
        trainer: the Trainer that saves it, at the beginning of a batch or at the end of the training.
    """
    batches, epochs = loops["epoch_loop.batch_progress"], loops["epoch_progress"]
    had_last_batch = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
    epoch_is_over = had_last_batch and batches["current"]["completed"] == batches["current"]["ready"]
    # Behind the last batch of an epoch, the next one is the first of the epoch that follows.
    epoch = epochs["current"]["started"] - 1 + epoch_is_over
    batch = 0 if epoch_is_over else batches["current"]["completed"]
    done = batches["total"]["completed"]
    begun = batches["current"]["ready"] - batches["current"]["completed"]
    for which in ("total", "current"):
        epochs[which] |= {"ready": epoch + 1, "started": epoch + 1, "processed": epoch, "completed": epoch}
    # One batch is ready, and none has started: that is how Lightning recognises a resume inside an epoch.
    batches["total"] |= {"ready": done + 1, "started": done, "processed": done, "completed": done}
    batches["current"] |= {"ready": batch + 1, "started": batch, "processed": batch, "completed": batch}
    batches["is_last_batch"] = False
    states = loops.get("state_dict", {}).get("combined_loader", [])
    loaders = [loader for loader in training_loaders(trainer) if hasattr(loader, "state_dict")]
    for loader, state in zip(loaders, states, strict=True):
        if isinstance(loader, Batches | Stream):
            state["lap"], state["first"] = lap_and_batch(batch, state["batches"], combined_loader(trainer)._mode)
        if isinstance(loader, Stream) and state["first"] < state["batches"]:  # else it has given nothing for this batch
            state["given"] -= begun + len(fetched_ahead(trainer))


def lap_and_batch(batch: int, length: int, mode: str) -> tuple[int, int]:
    """Where a loader of some length is before the batch of this number, in one of CombinedLoader's modes.

    A loader that is shorter than others begins anew in max_size_cycle, and gives nothing more in max_size.
    """
    return divmod(batch, length) if mode == "max_size_cycle" else (0, min(batch, length))


def fetched_ahead(trainer: pl.Trainer) -> list[Any]:
    """The batches that Lightning has asked for before their time: one, where a loader has no length."""
    return getattr(trainer.fit_loop._data_fetcher, "batches", [])


def saved_loader_states(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The states of the training's loaders in a checkpoint; none if no loader has a state."""
    return checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])


def current_loader_states(trainer: pl.Trainer) -> list[dict[str, Any]]:
    return combined_loader(trainer)._state_dicts()


def loaders_keep_state(trainer: pl.Trainer) -> bool:
    return len(current_loader_states(trainer)) == len(training_loaders(trainer))


def load_loader_states(trainer: pl.Trainer) -> None:
    """Tell loaders where to begin, where Lightning has not: if a schedule has asked for the number of steps before.

    Some loaders, torchdata's StatefulDataLoader among them, begin anew if they are told twice.
    """
    fit_loop = trainer.fit_loop
    if fit_loop._combined_loader_states_to_load and fit_loop._data_fetcher:
        fit_loop._load_combined_loader_states()
        iter(fit_loop._data_fetcher)  # what was made before begins with the first batch


def seed_batches_of_other_loaders(trainer: pl.Trainer, seed: int) -> None:
    """Seed the generators for each training batch before the first hook that sees it, where no loader of ours does.

    Lightning's first call with a batch is this one of its precision plugin; hooks that move and augment it follow.
    """
    if not has_other_loaders(trainer):
        return
    convert = trainer.precision_plugin.convert_input
    progress = trainer.fit_loop.epoch_loop.batch_progress

    def seed_and_convert(batch: Any) -> Any:
        if trainer.training:
            seed_generators(hash((seed, progress.total.completed, trainer.global_rank)) % 2**63)
        return convert(batch)

    trainer.precision_plugin.convert_input = seed_and_convert  # type: ignore[assignment, method-assign]


def end_restart(trainer: pl.Trainer) -> None:
    """Have the end of this epoch step the schedules that are stepped after each epoch, ReduceLROnPlateau among them.

    Lightning leaves them out in the epoch in which a training resumes, and so loses one step of theirs at each resume.
    """
    # The flag itself: its setter passes the value on to loops that have not yet begun.
    trainer.fit_loop._restarting = False


def frozen_names(module: nn.Module) -> list[str]:
    """The parameters that are not trained at present."""
    return [name for name, parameter in module.named_parameters() if not parameter.requires_grad]


def restore_frozen(module: nn.Module, names: list[str]) -> None:
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in names)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """What a manual optimization has gathered and not yet used; not of weights in shards, which no checkpoint keeps."""
    found = {name: weight.grad for name, weight in module.named_parameters()}
    return {name: grad for name, grad in found.items() if grad is not None and not isinstance(grad, DTensor)}


def restore_gradients(module: nn.Module, saved: dict[str, Tensor]) -> None:
    for name, weight in module.named_parameters():
        weight.grad = saved[name].to(weight.device) if name in saved else None


def training_loaders(trainer: pl.Trainer) -> list[Any]:
    return combined_loader(trainer).flattened


def has_other_loaders(trainer: pl.Trainer) -> bool:
    """Whether batches come from a loader that is not ours, and so does not seed the generators for each of them."""
    return not all(isinstance(loader, Batches | Stream) for loader in training_loaders(trainer))


def validation_loaders(trainer: pl.Trainer) -> list[Any]:
    combined = trainer.fit_loop.epoch_loop.val_loop._combined_loader
    return combined.flattened if combined is not None else []


def combined_loader(trainer: pl.Trainer) -> CombinedLoader:
    return cast(CombinedLoader, trainer.fit_loop._combined_loader)


def logged_steps(trainer: pl.Trainer) -> int:
    """The step that loggers are told, which Lightning counts apart from the optimizer's steps."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def set_logged_steps(trainer: pl.Trainer, steps: int) -> None:
    trainer.fit_loop.epoch_loop._batches_that_stepped = steps


def running_set(module: pl.LightningModule) -> str:
    """The name of the set that is being evaluated; "" if there is one alone without a name, or no evaluation."""
    trainer: Any = module._trainer  # the public name raises an error without a Trainer
    if trainer is None or not (trainer.sanity_checking or trainer.evaluating):
        return ""
    loop = trainer._evaluation_loop
    number = loop._results.dataloader_idx
    if number is None and loop.num_dataloaders > 1:
        return ""  # a CombinedLoader takes a batch from each at a time
    return set_names(loop._combined_loader.iterables, loop.num_dataloaders)[number or 0]


def logged_names(trainer: pl.Trainer) -> set[str]:
    """What the stage that is running has logged so far."""
    results: Any = trainer._results
    return {result.meta.name for result in results.values()}


def metrics_of_step(trainer: pl.Trainer) -> dict[str, float]:
    """What the training has logged at its newest step: what the model shows with `prog_bar`, or else all of it."""
    results: Any = trainer.fit_loop.epoch_loop._results
    metrics = results.metrics(on_step=True)
    return metrics["pbar"] or {name: value.item() for name, value in metrics["callback"].items()}


def completed_batches(trainer: pl.Trainer) -> int:
    """How many batches of the present epoch are done."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.completed


def is_logged(module: pl.LightningModule, name: str) -> bool:
    """Whether the epoch that is running has logged this already, from the same hook."""
    trainer: Any = module._trainer  # the public name raises an error without a Trainer
    results = trainer and trainer._results
    result = results and results.get(f"{module._current_fx_name}.{name}")
    return bool(result) and not result.has_reset


def log_again(module: pl.LightningModule, name: str, value: Tensor | Metric) -> bool:
    """Log what the same hook has logged before, and as it has; return whether it had.

    `module.log` copies and walks through all that Lightning keeps of a name, at each call: 0.2 ms.
    """
    trainer: Any = module._trainer
    results, hook = trainer and trainer._results, module._current_fx_name
    result = results and results.get(f"{hook}.{name}")
    if not result or result.value.device != value.device:
        return False
    connector = trainer._logger_connector
    if connector.should_reset_tensors(hook):
        results.reset(metrics=False, fx=hook)
    results.update_metrics(f"{hook}.{name}", value, batch_size=1)
    connector._current_fx = hook
    return True


def metric_states(module: nn.Module) -> MetricStates:
    """What each torchmetrics metric has seen since its last reset."""
    for collection in module.modules():
        if isinstance(collection, MetricCollection):
            # Metrics of a collection may share one state, which the others only get when they are asked for.
            list(collection.values(copy_state=False))
    metrics = {name: metric for name, metric in module.named_modules() if isinstance(metric, Metric)}
    return {
        name: (metric.update_count, {key: to_cpu(value) for key, value in metric.metric_state.items()})
        for name, metric in metrics.items()
        if metric.update_called
    }


def restore_metric_states(module: nn.Module, states: MetricStates) -> None:
    metrics = dict(module.named_modules())
    for name, (updates, values) in states.items():
        for key, value in values.items():
            setattr(metrics[name], key, value.to(metrics[name].device) if isinstance(value, Tensor) else value)
        # With a count of 0, which a new metric has, torchmetrics would say that there is nothing to compute.
        metrics[name]._update_count = updates


def to_cpu(value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return [part.cpu() for part in value] if isinstance(value, list) else value.cpu()
