"""The processes of a training: their ranks, and what they exchange."""

import subprocess
import time
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")
SECONDS_TO_END = 5.0  # for the others, after an error in this process


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, counted from 0, and how many processes train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(value: Value) -> list[Value]:
    """Each process's value, by rank, in every process."""
    _, world_size = rank_and_world_size()
    values = [value] * world_size
    if world_size > 1:
        distributed.all_gather_object(values, value)
    return values


def weigh_by_share(loss: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Turn the mean loss of this process's share of a batch into the loss to descend and that of the whole batch.

    DDP and FSDP average gradients over the processes as if their shares were equal, but the shares of one batch may
    differ by a sample. Scaling each loss by its share makes the average that of the whole batch.

    Args:
        loss: scalar, the mean over this process's samples.
        samples: how many samples this process has.
    """
    _, world_size = rank_and_world_size()
    if world_size == 1:
        return loss, loss
    sums = torch.stack([loss.detach() * samples, loss.new_tensor(samples)])
    distributed.all_reduce(sums)
    loss_sum, all_samples = sums
    return loss * (samples * world_size / all_samples), loss_sum / all_samples


def end_others(launcher: Any, error: type[BaseException] | None, *_: object) -> None:
    """Wait until the processes that Lightning has started beside this one have ended, and take leave of them.

    The next command in this process starts others. After an error they may wait for this process for half an hour, so
    they are ended.

    Args:
        launcher: that of the Trainer's strategy; torchrun and SLURM start and end processes themselves.
        error: what ended the command, if anything.
    """
    others: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
    if not others:
        return
    end = time.monotonic() + SECONDS_TO_END
    for process in others:
        try:
            process.wait(max(0.0, end - time.monotonic()) if error else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    others.clear()  # Lightning watches them, and would kill this process for one that ended with an error
    if distributed.is_initialized():
        distributed.destroy_process_group()
