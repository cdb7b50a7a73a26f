"""Models that outgrow one device: every process keeps a shard of each weight, and saves it."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from . import checkpoints, shards
from .arguments import NAME
from .checkpoints import RunError


class Sharded(ModelParallelStrategy):
    """Lightning's FSDP2 over all processes, with checkpoints that are whole or not there, and that run no code."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None) -> None:
        path = Path(self.broadcast(filepath))
        part = path.with_name(f".{path.name}.part")
        if self.is_global_zero:
            checkpoints.make_plain(checkpoint)
            checkpoints.remove(part)
        self.barrier()
        super().save_checkpoint(checkpoint, part, storage_options)
        self.barrier()
        if self.is_global_zero:
            with (part / shards.VALUES).open("rb+") as file:
                os.fsync(file.fileno())
            checkpoints.put(part, path)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(self.broadcast(checkpoint_path))
        if path.is_file():
            return super().load_checkpoint(path, weights_only=True)
        module = cast(nn.Module, self.model)
        states: dict[str, Any] = {"state_dict": get_model_state_dict(module)}
        for number, optimizer in enumerate(self.optimizers):
            states[f"optimizer_{number}"] = get_optimizer_state_dict(module, optimizer)
        try:
            shards.load(states, path)
        except CheckpointException as error:  # what each process has met
            raise checkpoints.unreadable(path, error) from error
        set_model_state_dict(module, states["state_dict"])
        for number, optimizer in enumerate(self.optimizers):
            set_optimizer_state_dict(module, optimizer, states[f"optimizer_{number}"])
        return torch.load(path / shards.VALUES, weights_only=True)


def shard(network: nn.Module, mesh: DeviceMesh, precision: str) -> None:
    """Leave each process its shard of the network's weights.

    Each member of a ModuleList, a transformer's block, is gathered by itself when its turn comes, and then let go.
    With precision bf16-mixed, weights travel as bfloat16 and gradients as float32.
    """
    mixed = (torch.bfloat16, torch.float32) if precision == "bf16-mixed" else ()
    for part in [*blocks(network), network]:
        fully_shard(part, mesh=mesh, mp_policy=MixedPrecisionPolicy(*mixed))


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of a network's outermost ModuleLists."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else blocks(child)


def merge(args: list[str]) -> None:
    """Make one file of a checkpoint in shards, for `predict`, `test` and whatever else reads one.

    It has the weights and plain values; the optimizer's state stays in the shards, from which a training goes on.
    """
    parser = argparse.ArgumentParser(prog=f"{NAME} merge", description=merge.__doc__)
    parser.add_argument("checkpoint", type=Path, help="such as runs/NAME/checkpoints/best.ckpt")
    folder = parser.parse_args(args).checkpoint
    if not folder.is_dir():
        raise RunError(f"{folder} is no checkpoint in shards, which is a folder like runs/NAME/checkpoints/best.ckpt")
    saved = checkpoints.read(folder)
    weights = {name: torch.empty_like(tensor, device="cpu") for name, tensor in saved["state_dict"].items()}
    shards.load({"state_dict": weights}, folder)
    file = folder.with_suffix(".merged.ckpt")
    checkpoints.WholeFiles().save_checkpoint({**saved, "state_dict": weights}, file)
    print(f"One file: {file}")
