"""Bounds of Lightning's own settings, where it takes what makes no sense, or fails late and with a traceback."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import Namespace

from ..errors import BadSetting, RunError, require
from .configurations import flat

# By section and setting: the least number. Settings of the files in front are checked by their own classes.
LEAST = {
    "trainer": {
        "max_epochs": -1,
        "max_steps": -1,
        "min_epochs": 0,
        "min_steps": 0,
        "val_check_interval": 0,
        "check_val_every_n_epoch": 1,
        "accumulate_grad_batches": 1,
        "gradient_clip_val": 0,
        "log_every_n_steps": 0,
        "num_sanity_val_steps": -1,
        "num_nodes": 1,
    },
    "early_stopping": {"patience": 0},
    "model_summary": {"max_depth": -1},
}
# By command, what must not be 0, with which nothing would be done.
NOT_ZERO = {
    "fit": ("max_epochs", "max_steps", "limit_train_batches", "val_check_interval"),
    "validate": ("limit_val_batches",),
    "test": ("limit_test_batches",),
    "predict": ("limit_predict_batches",),
}
SEEDS = 2**32  # of Lightning's seed_everything


def refuse_out_of_bounds(config: Namespace, stage: str) -> None:
    """Raise RunError for a number that means nothing.

    Args:
        config: all settings, parsed.
        stage: the command.
    """
    for section in ("trainer", "model", "data"):
        if section in config and not isinstance(config[section], Namespace):
            raise RunError(f"--{section}: expected settings below it, got {config[section]!r}")
    for section, least in LEAST.items():
        for name, bound in least.items():
            value = (config.get(section) or {}).get(name)
            if isinstance(value, int | float) and not value >= bound:
                raise BadSetting(f"{section}.{name}", value, f"at least {bound}")
    for name in NOT_ZERO.get(stage, ()):
        if config.trainer.get(name) == 0:
            raise RunError(f"--trainer.{name} is 0, and nothing would be done")
    for section in ("best_checkpoint", "early_stopping"):
        if (config.get(section) or {}).get("monitor") == "":
            raise RunError(f"--{section}.monitor is empty", f"the name of a metric, or --{section} null")
    refuse_bad_seed(config.seed_everything)


def refuse_bad_seed(seed: Any) -> None:
    variable = os.environ.get("PL_GLOBAL_SEED")
    if seed is True and variable is not None and not (variable.isdigit() and int(variable) < SEEDS):
        raise RunError(f"the environment's PL_GLOBAL_SEED is {variable!r}, and must be a number below {SEEDS}")
    if not isinstance(seed, bool):
        require(seed_everything=seed, at_least=0, below=SEEDS)


@contextmanager
def flags_in_full(config: Callable[[], Namespace]) -> Iterator[None]:
    """Name a setting by its flag that a constructor refuses by its own name."""
    try:
        yield
    except BadSetting as error:
        raise with_flag(error, flat(config().as_dict())) from error


def with_flag(error: BadSetting, settings: dict[str, str]) -> BadSetting:
    """The same refusal with the flag of the setting, if just one has its name, or its name and its value.

    Args:
        error: a refusal.
        settings: all settings by their keys, as text.
    """
    named = [key for key in settings if f".{key}".endswith(f".{error.setting}")]
    same = [key for key in named if settings[key] == str(error.value)] or named
    return BadSetting(f"--{same[0]}", error.value, error.wanted) if len(same) == 1 else error
