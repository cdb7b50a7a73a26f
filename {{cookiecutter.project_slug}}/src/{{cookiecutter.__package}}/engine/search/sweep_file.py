"""A sweep as its file describes it, refused with one line if it makes no sense."""

import hashlib
import json
import math
import warnings
from dataclasses import dataclass
from typing import Any

from ..errors import RunError
from . import by_name, library
from .space import Parameter, flags_of, read_space, suggest, unknown

KEYS = ("metric", "direction", "trials", "hours", "sampler", "pruner", "seed", "presets", "fixed", "search", "storage")
REHEARSED = 12  # trials; most samplers draw the first ten at random
DIRECTIONS = {"minimize": "min", "maximize": "max"}
# They say which run is meant, and each trial has its own.
OF_RUNS = ("run", "runs", "fresh", "config", "preset", "ckpt_path", "init_partial")


@dataclass(frozen=True)
class Sweep:
    """What is searched, and how.

    Args:
        metric: the metric that a trial is judged by, as `fit` logs it.
        direction: minimize or maximize.
        trials: how many there are to be, those that fail or are pruned among them; infinity for no end.
        hours: no trial begins once all of them together have taken so long; infinity for no end.
        sampler: the name of one of Optuna's samplers, and its settings.
        pruner: the same of a pruner.
        seed: of the sampler.
        flags: flags of `fit` that all trials have.
        search: the settings that are searched.
        storage: the address of a database, for hosts that share no folder; a file in the sweep's folder without.
    """

    metric: str
    direction: str
    trials: float
    hours: float
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    seed: int
    flags: list[str]
    search: list[Parameter]
    storage: str | None

    @property
    def mode(self) -> str:
        """The direction as Lightning's callbacks call it: min or max."""
        return DIRECTIONS[self.direction]

    def sampler_of(self, number: int) -> Any:
        """The sampler of one trial: seeded by its number, so that it draws the same whenever this process started."""
        name = self.sampler["name"]
        shift = 0 if name in by_name.IN_SEQUENCE else number
        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {shift}".encode()).digest()[:4], "big")
        own = {"search_space": by_name.grid_of(self.search)} if name == "GridSampler" else {}
        silent = {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
        return by_name.make("sampler", self.sampler, seed=seed, **own, **silent)

    def pruner_of(self) -> Any:
        return by_name.make("pruner", self.pruner)

    def fixed_part(self) -> str:
        """What cannot change once there are trials, as JSON: they would not be comparable any more."""
        kept = {
            "metric": self.metric,
            "direction": self.direction,
            "flags": self.flags,
            "search": [vars(parameter) for parameter in self.search],
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
        }
        return json.dumps(kept)


def read(settings: dict[str, Any], flags: list[str]) -> Sweep:
    """The sweep that a file describes.

    Args:
        settings: what the file holds.
        flags: flags of `fit` that were typed beside it, which come after those of the file.

    Raises:
        RunError: for the first mistake.
    """
    for key in settings:
        if key not in KEYS:
            raise RunError(unknown(key, KEYS))
    metric, direction = settings.get("metric"), settings.get("direction")
    if not isinstance(metric, str) or not metric:
        raise RunError(f"metric is {metric!r}, and must be the name of one that fit logs", "metric: val/loss")
    if direction not in DIRECTIONS:
        raise RunError(f"direction is {direction!r}, and must be {' or '.join(DIRECTIONS)}")
    search = read_space(settings.get("search"))
    sampler = by_name.as_settings("sampler", settings.get("sampler"))
    sweep = Sweep(
        metric=metric,
        direction=direction,
        trials=count(settings, sampler, search),
        hours=positive("hours", settings.get("hours", math.inf)),
        sampler=sampler,
        pruner=by_name.as_settings("pruner", settings.get("pruner")),
        seed=whole("seed", settings.get("seed", 0), 0),
        flags=[*presets(settings.get("presets", [])), *fixed(settings.get("fixed", {}), search), *flags],
        search=search,
        storage=address(settings.get("storage")),
    )
    if "trials" not in settings and "hours" not in settings and math.isinf(sweep.trials):
        raise RunError("has no end", "trials: 20, or hours: 8")
    refuse_of_runs([parameter.name for parameter in search])
    typed = {flag.partition("=")[0].removeprefix("--") for flag in flags}
    if twice := [parameter.name for parameter in search if parameter.name in typed]:
        raise RunError(f"{twice[0]} is fixed, and searched")
    rehearse(sweep)
    return sweep


def rehearse(sweep: Sweep) -> None:
    """Draw some trials, since samplers refuse a search, or lack a package, when they draw; RunError if one does."""
    optuna = library.optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=sweep.direction, pruner=sweep.pruner_of())
    for number in range(int(min(REHEARSED, sweep.trials))):
        study.sampler = sweep.sampler_of(number)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                suggest(trial := study.ask(), sweep.search)
                study.sampler = optuna.samplers.RandomSampler()  # GridSampler would stop the study after its last trial
                study.tell(trial, float(number))
        except (ImportError, RuntimeError, TypeError, ValueError) as error:
            hint = f"uv add {error.name}" if isinstance(error, ImportError) else ""
            raise RunError(f"sampler {sweep.sampler['name']}: {error}", hint) from error


def count(settings: dict[str, Any], sampler: dict[str, Any], search: list[Parameter]) -> float:
    """The number of trials: at most that of the combinations, where each is tried once."""
    wanted = whole("trials", settings["trials"], 1) if "trials" in settings else math.inf
    if sampler["name"] != "GridSampler":
        return wanted
    return min(wanted, math.prod(len(values) for values in by_name.grid_of(search).values()))


def whole(key: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RunError(f"{key} is {value!r}, and must be a whole number, at least {least}")
    return value


def positive(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise RunError(f"{key} is {value!r}, and must be a number above 0")
    return value


def address(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise RunError(f"storage is {value!r}, and must be an address", "postgresql://USER@HOST/NAME")
    return value


def presets(names: Any) -> list[str]:
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"presets is {names!r}, and must be a list of names", "presets: [bf16]")
    return [f"--preset={name}" for name in names]


def fixed(settings: Any, search: list[Parameter]) -> list[str]:
    """The flags of settings that all trials have."""
    if not isinstance(settings, dict):
        raise RunError(f"fixed is {settings!r}, and must hold settings", "fixed: {trainer.max_epochs: 5}")
    flat = dict(flattened(settings))
    refuse_of_runs(list(flat))
    if twice := [parameter.name for parameter in search if parameter.name in flat]:
        raise RunError(f"{twice[0]} is fixed, and searched")
    return flags_of(flat)


def flattened(settings: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Settings by their dotted names; a class with its arguments stays one."""
    pairs = []
    for key, value in settings.items():
        is_section = isinstance(value, dict) and value and "class_path" not in value
        pairs += flattened(value, f"{above}{key}.") if is_section else [(f"{above}{key}", value)]
    return pairs


def refuse_of_runs(names: list[str]) -> None:
    for name in names:
        if name in OF_RUNS:
            raise RunError(f"{name} is no setting of a trial", "sweep's own flags --run and --runs, or presets:")
