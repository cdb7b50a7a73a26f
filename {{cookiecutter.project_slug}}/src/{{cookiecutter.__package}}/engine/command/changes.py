"""Settings that differ from those with which a half-done run began: which it takes, and which it cannot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # PyYAML comes with Lightning

from ..errors import Finished, RunError
from ..saving.runs import CONFIG

# What a training is made of. A checkpoint holds the optimizer with its settings, and positions in the data.
FIXED = ("model", "data", "seed_everything")
# Where the data lies and how it is loaded is not among it.
LOADING = ("data.folder", "data.num_workers")
LENGTH = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
# What says where a training runs and what it shows, and changes nothing of what it learns.
WITHOUT_EFFECT = (
    *("short_steps", "logger", "trainer.logger", "progress_bar", "model_summary", "lr_monitor", "last_checkpoint"),
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps"),
    *("trainer.default_root_dir", "trainer.profiler", "trainer.num_sanity_val_steps", *LOADING),
)


def check(run: Path, own: dict[str, Any], settings: str, is_finished: bool) -> list[str]:
    """Lines about the settings with which a run goes on that has a checkpoint.

    Args:
        run: the run's folder.
        own: the settings that the run has kept; none if they are gone.
        settings: those that are asked for, as YAML.
        is_finished: whether the training has come to its end.

    Raises:
        RunError: for a setting that could not take effect, or would break the training.
        Finished: if there is nothing left to train.
    """
    if not own:
        hint = "put it back, --fresh, or --run NEW --ckpt_path with the checkpoint"
        raise RunError(f"run {run.name} has checkpoints, but its {CONFIG} is missing or empty", hint)
    changes = {
        name: pair for name, pair in differences(own, yaml.safe_load(settings)) if not is_in(name, WITHOUT_EFFECT)
    }
    longer = [name for name in changes if name in LENGTH]
    if is_finished and not longer:
        raise Finished(
            f"run {run.name} is finished; --fresh starts over beside it, another --run a new one, and more"
            " --trainer.max_epochs, max_steps or max_time go on with it"
        )
    for name, (before, now) in changes.items():
        if is_in(name, FIXED):
            raise RunError(
                f"run {run.name} began with {name} {before}, and cannot go on with {now}",
                f"--fresh starts over beside it; --run NEW --init_from {run.name} begins with its weights",
            )
    lines = [f"Goes on with another {name}: {now}, not {before}" for name, (before, now) in changes.items()]
    if longer:
        lines.append("A schedule over the whole training is stretched from here on, such as WarmupCosine's")
    return lines


def differences(own: Any, wanted: Any, name: str = "") -> Iterator[tuple[str, tuple[object, object]]]:
    """The settings in both that differ, with dotted names; a setting that only one of them has follows from another."""
    if isinstance(own, dict) and isinstance(wanted, dict):
        for key in sorted(own.keys() & wanted.keys()):
            yield from differences(own[key], wanted[key], f"{name}.{key}" if name else key)
    elif own != wanted:
        yield name, (own, wanted)


def is_in(name: str, sections: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{section}.") for section in sections)
