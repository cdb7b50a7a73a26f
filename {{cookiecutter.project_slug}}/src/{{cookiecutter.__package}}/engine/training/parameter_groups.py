"""Parts of a model by their names, and an optimizer that gives each part a learning rate of its own."""

import difflib
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer

from ..errors import RunError
from .fused import fused

NAMES_SHOWN = 6
OTHERS = "others"  # the group of the parameters that no factor is for


def in_groups(optimizer: OptimizerCallable, module: nn.Module, factors: Mapping[str, float] | None) -> Optimizer:
    """An optimizer of all parameters, with a group for each part of the model that has a factor.

    Args:
        optimizer: makes an optimizer of parameters or groups of them.
        module: the model.
        factors: {part: factor of the learning rate}; where one part lies in another, the inner one has its own.

    Raises:
        RunError: if there is no such part, a factor is not above 0, or the optimizer takes no groups.
    """
    if not factors:
        return fused(optimizer(module.parameters()))
    if wrong := [name for name, factor in factors.items() if not factor > 0]:
        raise RunError(f"lr_factors: {wrong[0]} is {factors[wrong[0]]}, and not above 0", "--freeze.modules, to freeze")
    groups: dict[str, list[nn.Parameter]] = {OTHERS: [], **{name: [] for name in factors}}
    # The innermost part has the longest name of those that hold a parameter.
    parts = {part: parameters_of(module, part).keys() for part in sorted(factors, key=len, reverse=True)}
    for name, parameter in module.named_parameters():
        groups[next((part for part, names in parts.items() if name in names), OTHERS)].append(parameter)
    try:
        # LearningRateMonitor logs each group by its name.
        made = optimizer([{"params": weights, "name": name} for name, weights in groups.items() if weights])
    except ValueError as error:  # an optimizer's view of groups
        raise RunError(f"lr_factors: {error}", "another optimizer, or no lr_factors") from error
    for group in made.param_groups:
        group["lr"] = group["lr"] * factors.get(group["name"], 1.0)
    made.register_load_state_dict_pre_hook(refuse_other_groups)
    return fused(made)


def refuse_other_groups(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Raise RunError for saved groups of other parts: torch would take them if only their sizes agree."""
    states = saved["param_groups"], optimizer.param_groups
    before, now = ([group.get("name") for group in groups] for groups in states)
    if before != now:
        raise RunError(
            f"lr_factors: the checkpoint has groups for {before}, and this training has {now}",
            "the lr_factors of that training, or --init_from to begin a new one with its weights",
        )


def parameters_of(module: nn.Module, part: str) -> dict[str, nn.Parameter]:
    """The parameters of a part of a model, by their names in the model.

    Args:
        module: the model.
        part: the dotted name of a module in it, such as network.features, or of a parameter.

    Raises:
        RunError: if there is no such part, with the names that are most like it.
    """
    parameters = dict(module.named_parameters())
    found = {name: weight for name, weight in parameters.items() if f"{name}.".startswith(f"{part}.")}
    if not found:
        modules = [name for name, one in module.named_modules() if name and next(one.parameters(), None) is not None]
        nearest = difflib.get_close_matches(part, modules, n=NAMES_SHOWN, cutoff=0)
        raise RunError(f"the model has no parameters in {part!r}; the names most like it: {', '.join(nearest)}")
    return found
