"""The same search as a sweep of W&B's service, whose agents start the trials."""

from typing import Any

from ..errors import RunError
from .sweep_file import Sweep

METHODS = {"GridSampler": "grid", "RandomSampler": "random", "QMCSampler": "random"}  # all others are Bayesian


def wandb_sweep(sweep: Sweep, package: str) -> dict[str, Any]:
    """What `wandb sweep FILE` takes."""
    for parameter in sweep.search:
        if parameter.when:
            raise RunError(f"search.{parameter.name} has `when`, which a W&B sweep does not know", "sweep without it")
    settings: dict[str, Any] = {
        "method": METHODS.get(sweep.sampler["name"], "bayes"),
        "metric": {"name": sweep.metric, "goal": sweep.direction},
        "parameters": {parameter.name: parameter.of_wandb() for parameter in sweep.search},
        "command": ["${env}", "${interpreter}", "-m", package, "fit", "--logger=wandb", *sweep.flags, "${args}"],
    }
    if sweep.trials != float("inf"):
        settings["run_cap"] = int(sweep.trials)
    if sweep.pruner["name"] in ("HyperbandPruner", "SuccessiveHalvingPruner"):
        settings["early_terminate"] = {"type": "hyperband", "min_iter": sweep.pruner.get("min_resource", 1)}
    return settings
