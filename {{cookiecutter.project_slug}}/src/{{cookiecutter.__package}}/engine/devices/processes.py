"""The processes of a training: their ranks, and what they exchange."""

from typing import TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")


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
