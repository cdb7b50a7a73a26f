"""Estimate the memory of a training on each device, on any computer, without allocating it."""

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ..errors import RunError
from .activations import activation_bytes, without_metrics
from .sharding import blocks

DTYPES = {"16": torch.float16, "bf16": torch.bfloat16, "32": torch.float32, "64": torch.float64}
Sizes = tuple[float, float, float, float]


class Training:
    """A model and a batch without their values.

    Args:
        build_model: builds the LightningModule, on whatever torch's default device is.
        batch: a batch of its data, of any size.
        precision: the Trainer's precision.
    """

    def __init__(self, build_model: Callable[[], pl.LightningModule], batch: Any, precision: str) -> None:
        name, _, kind = precision.partition("-")
        if name not in DTYPES:
            raise RunError(f"memory is not known for --trainer.precision {precision}")
        self.computed = DTYPES[name]
        is_mixed = kind == "mixed" or precision in ("16", "bf16")
        self.stored = torch.float32 if is_mixed else self.computed
        # On the meta device, parameters have a shape and take no memory, however many they are.
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on hyperparameters, which matter to checkpoints
            self.model = without_metrics(build_model()).to(self.stored)
        self.parameters = count_parameters(self.model)
        self.trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.optimizer_state = self._optimizer_state()
        autocast = self.computed if is_mixed else None
        self.activations = cache(
            lambda samples, weights: activation_bytes(self.model, batch, samples, weights, autocast)
        )

    def sizes(self, devices: int, samples: int) -> dict[str, Sizes]:
        """Bytes for parameters, gradients, the optimizer's state and activations on one device, by strategy.

        They are those at the end of the forward pass, when the gradients of the step before are still there.
        deepspeed: stage 2 of ZeRO (Rajbhandari et al. 2020, https://arxiv.org/abs/1910.02054), with all parameters
        in the precision of the computation; the optimizer's float32 copy of them, state and gradients are in shards.
        fsdp: all in shards. Beside them, what lies outside of the blocks is whole, and so are two blocks, one in use
        and one being gathered, and the gradients of one.

        Args:
            devices: how many train together.
            samples: samples of a batch on each.
        """
        low, full, master = self.computed.itemsize, self.stored.itemsize, max(4, self.stored.itemsize)
        activations = self.activations(samples, self.stored)
        # One device exchanges nothing, so the strategies do not differ.
        if devices == 1:
            return {"one device": (self.parameters * full, self.trained * full, self.optimizer_state, activations)}
        low_activations = self.activations(samples, self.computed)
        # Only what is gathered at one time is whole: FSDP2 gathers the next block while one computes.
        block_sizes = [count_parameters(block) for block in blocks(self.model)]
        largest, outside = max(block_sizes, default=0), self.parameters - sum(block_sizes)
        gathered = (outside + 2 * largest) * low, max(outside, largest) * (low + full)
        shards = [size / devices for size in (self.parameters * full, self.trained * full, self.optimizer_state)]
        # DeepSpeed trains a float32 copy of the parameters, whatever precision they are computed in.
        copied = (self.trained + self.optimizer_state / full) * master / devices
        return {
            "ddp": (self.parameters * full, self.trained * full, self.optimizer_state, activations),
            "deepspeed": (self.parameters * low, self.trained * low / devices, copied, low_activations),
            "fsdp": (shards[0] + gathered[0], shards[1] + gathered[1], shards[2], low_activations),
        }

    def _optimizer_state(self) -> int:
        """Bytes that the optimizer keeps from its first step on."""
        optimizer = optimizer_of(self.model)
        # Most optimizers make their state in their first step, for the parameters that have a gradient.
        for parameter in self.model.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        try:
            optimizer.step()
        except (RuntimeError, TypeError) as error:
            name = type(optimizer).__name__
            raise RunError(f"{name} looks at values, and memory knows only their sizes: {error}") from error
        return sum(s.nbytes for state in optimizer.state.values() for s in state.values() if isinstance(s, Tensor))


def optimizer_of(model: pl.LightningModule) -> torch.optim.Optimizer:
    """The optimizer of a model that has one, in whatever form `configure_optimizers` returns it."""
    try:
        configured: Any = model.configure_optimizers()
    except RuntimeError as error:
        raise RunError(f"memory cannot make the optimizer without a Trainer: {error}") from error
    while not isinstance(configured, torch.optim.Optimizer):
        if not configured:
            raise RunError("memory needs configure_optimizers to return an optimizer")
        configured = configured["optimizer"] if isinstance(configured, dict) else configured[0]
    return configured


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def readable(size: float) -> str:
    """A number of bytes as people write it: 1536 -> 1.5 KiB."""
    power = min(int(math.log2(max(size, 1))) // 10, 4)
    number = size / 1024**power
    return f"{number:.{int(number < 100 and power > 0)}f} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"
