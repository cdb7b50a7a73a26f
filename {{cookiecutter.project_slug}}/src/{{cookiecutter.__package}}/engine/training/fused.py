"""Adam as one kernel for all parameters, which torch has and does not choose by itself: a quarter of a small step."""

from typing import Any

from torch.optim import Adam, AdamW, Optimizer

DEVICES = {"cpu", "cuda"}


def fused(optimizer: Optimizer) -> Optimizer:
    """Have Adam or AdamW use its fused kernel where there is one, unless its `fused` or `foreach` is set."""
    if type(optimizer) not in (Adam, AdamW):
        return optimizer
    options = optimizer.defaults
    is_free = options["fused"] is None and options["foreach"] is None and not options["differentiable"]
    # Not by its argument: Lightning refuses to clip gradients then, even where no scaler has to undo its work first.
    if is_free and has_kernel(optimizer):
        choose(options, *optimizer.param_groups, kernel=True)
    optimizer.register_load_state_dict_pre_hook(keep_possible)
    return optimizer


def has_kernel(optimizer: Optimizer) -> bool:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return all(one.device.type in DEVICES and one.is_floating_point() for one in parameters)


def choose(*options: dict[str, Any], kernel: bool | None) -> None:
    for one in options:
        one["fused"] = kernel


def keep_possible(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Let a training go on with the kernel it had, for the same last bits; but for one that is not on its device."""
    if not has_kernel(optimizer):
        choose(*saved["param_groups"], kernel=None)
