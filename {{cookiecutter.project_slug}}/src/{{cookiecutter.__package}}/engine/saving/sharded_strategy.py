"""Train with a model in shards, and save it as shards; `merge` makes one file of them."""

import os
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

from . import checkpoints, shards
from .atomic import part_of, remove, replace


class Sharded(ModelParallelStrategy):
    """Lightning's FSDP2 over all processes, with checkpoints that appear only once they are whole, and run no code."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None) -> None:
        path = Path(self.broadcast(filepath))
        part = part_of(path)
        if self.is_global_zero:
            checkpoints.remove_secrets(checkpoint)
            checkpoints.refuse_unsafe_values(checkpoint)
            remove(part)
        self.barrier()  # nobody writes into a folder that is about to be removed
        super().save_checkpoint(checkpoint, part, storage_options)
        self.barrier()  # the checkpoint is whole only when every process has written its shard
        if self.is_global_zero:
            with (part / shards.VALUES).open("rb+") as file:
                os.fsync(file.fileno())
            replace(path, part)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(self.broadcast(checkpoint_path))
        if path.is_file():
            return super().load_checkpoint(path, weights_only=True)
        module = cast(nn.Module, self.model)
        saved: dict[str, Any] = torch.load(path / shards.VALUES, weights_only=True)
        # torch asks for the optimizer's state of what is trained, so that has to be what was trained at the time.
        for name, weight in module.named_parameters():
            weight.requires_grad_(name not in saved.get("resume", {}).get("frozen", ()))
        # Each process asks for its own shards, under the names that Lightning saves them with.
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
        return saved


def merge(folder: Path) -> Path:
    """Make one file of the weights and plain values of a checkpoint in shards; return its path."""
    file = folder.with_suffix(".merged.ckpt")
    checkpoints.AtomicCheckpointIO().save_checkpoint(checkpoints.read_in_full(folder), file)
    return file
