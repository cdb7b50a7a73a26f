"""Models that outgrow one device: every process keeps a shard of each weight (FSDP2)."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from ..errors import RunError

# Methods of an objective that may use its weights outside of forward.
OTHER_METHODS = ("update_metrics", "prediction")
# They have no forward of their own, before which FSDP2 could gather their weights.
CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def shard(module: nn.Module, mesh: DeviceMesh, precision: str) -> None:
    """Leave each process its shard of every weight in the children of a module.

    Each member of a ModuleList, a transformer's block say, is gathered by itself when its turn comes, and then freed.
    With precision bf16-mixed, weights travel as bfloat16 and gradients as float32.

    Raises:
        RunError: if a weight cannot be sharded; each process would train its own copy.
    """
    mixed = (torch.bfloat16, torch.float32) if precision == "bf16-mixed" else ()
    refuse_scalars(module)  # before fully_shard does, with a message that names no parameter
    for unit in sharding_units(module):
        fully_shard(unit, mesh=mesh, mp_policy=MixedPrecisionPolicy(*mixed))
        # FSDP2 gathers a module's weights before its forward, and before other methods only if it knows of them.
        for method in OTHER_METHODS:
            if hasattr(unit, method):
                register_fsdp_forward_method(unit, method)
        unit.register_forward_hook(reshard_unless_backward_follows)
    # What was left whole would be trained by each process on its own share, and drift apart.
    whole = [name for name, weight in module.named_parameters() if not isinstance(weight, DTensor)]
    if whole:
        raise RunError(
            f"--preset fsdp cannot shard {whole[0]}, which lies outside of a module with a forward method",
            "move it into a module of its own, or --preset ddp",
        )


def reshard_unless_backward_follows(unit: nn.Module, inputs: Any, outputs: Any) -> None:
    """FSDP2 leaves a child of the model whole until its backward pass, which a frozen or evaluated one never has.

    Its parameters would no longer go together with others, as in a teacher that averages the weights of a student.
    """
    if not (torch.is_grad_enabled() and any(weight.requires_grad for weight in unit.parameters())):
        cast(FSDPModule, unit).reshard()


def refuse_scalars(module: nn.Module) -> None:
    """FSDP2 cuts each weight along its first dimension."""
    for name, weight in module.named_parameters():
        if weight.ndim == 0:
            raise RunError(
                f"--preset fsdp cannot shard {name}, a scalar", "nn.Parameter(torch.ones(1)), or --preset ddp"
            )


def sharding_units(module: nn.Module) -> Iterator[nn.Module]:
    """The modules to gather one at a time, the inner ones first: blocks, then what is left of each child."""
    for child in children_with_parameters(module):
        if isinstance(child, CONTAINERS):
            yield from sharding_units(child)
        else:
            yield from blocks(child)
            if not isinstance(child, nn.ParameterList | nn.ParameterDict):
                yield child


def reshard(module: nn.Module) -> None:
    """Have `parameters` of a module give its shards, which the optimizers train; after a validation, some are whole."""
    for unit in module.modules():
        if isinstance(unit, FSDPModule):
            unit.reshard()


def children_with_parameters(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.children() if next(child.parameters(), None) is not None]


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of a module's outermost ModuleLists."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else blocks(child)
