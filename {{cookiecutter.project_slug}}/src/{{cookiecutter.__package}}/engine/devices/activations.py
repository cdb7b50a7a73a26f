"""Measure what a training step keeps for its backward pass, with tensors that have sizes and no values."""

import warnings
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functional_call
from torchmetrics import Metric, MetricCollection

from ..errors import RunError
from .sharding import children_with_parameters


def activation_bytes(
    model: pl.LightningModule, batch: Any, samples: int, weight_dtype: torch.dtype, autocast_dtype: torch.dtype | None
) -> int:
    """Bytes kept for the backward pass of one training step; each storage counts once.

    The step runs on FakeTensors, which have shapes, dtypes and storages, and go through the operators of the CPU:
    scaled_dot_product_attention keeps its inputs, its output and a number for each row, as the fused kernels of CUDA
    do. On the meta device it would keep all (time, time) scores.

    Args:
        model: on the meta device.
        batch: a batch of its data, of any size.
        samples: how many samples the step is given.
        weight_dtype: dtype of the parameters.
        autocast_dtype: what mixed precision computes in; None without it.
    """
    storages: dict[int, torch.UntypedStorage] = {}

    def count_once(tensor: Tensor) -> Tensor:
        # Views of one tensor share its storage.
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    def count_outputs(module: nn.Module, inputs: Any, outputs: Any) -> None:
        apply_to_collection(outputs, Tensor, count_once)

    # A training step holds the outputs of its networks until it returns the loss, even those that no operator keeps.
    hooks = [child.register_forward_hook(count_outputs) for child in children_with_parameters(model)]
    autocast = torch.autocast("cpu", autocast_dtype, enabled=autocast_dtype is not None)
    with FakeTensorMode(), autocast, torch.autograd.graph.saved_tensors_hooks(count_once, lambda tensor: tensor):
        step = TrainingStep(model)
        weights = fake_weights(step, weight_dtype)
        run_step(step, weights, apply_to_collection(batch, Tensor, fake_samples(samples, weight_dtype)))
    for hook in hooks:
        hook.remove()
    # The weights are counted as parameters. Copies that autocast makes of them have storages of their own, and stay.
    for weight in weights.values():
        storages.pop(weight.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in storages.values())


class TrainingStep(nn.Module):
    """A model's training step as a module, so that functional_call can run it with other weights."""

    def __init__(self, model: pl.LightningModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*self.trainer.* reference is not registered.*")  # nothing is logged
            return self.model.training_step(batch, 0)


def run_step(step: TrainingStep, weights: dict[str, Tensor], batch: Any) -> None:
    """Run a training step with these weights; RunError if it needs more than sizes."""
    try:
        loss = functional_call(step, weights, (batch,))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise RunError(f"the training step looks at values, and memory knows only their sizes: {error}") from error
    except RuntimeError as error:
        if "attached to a `Trainer`" not in str(error):
            raise
        raise RunError("memory cannot run a training step that asks for its Trainer or optimizers") from error
    if loss is None:
        raise RunError("memory needs a training_step that returns the loss")


def fake_weights(step: TrainingStep, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters and buffers as FakeTensors; to be called in FakeTensorMode."""
    tensors = chain(step.named_parameters(), step.named_buffers())
    return {name: fake(tensor, tensor.shape, dtype).requires_grad_(tensor.requires_grad) for name, tensor in tensors}


def fake_samples(samples: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A function that makes a FakeTensor like one of a batch, with so many samples."""
    return lambda tensor: fake(tensor, (samples, *tensor.shape[1:]) if tensor.ndim else (), dtype)


def fake(tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    # The Trainer converts a batch to the dtype of the weights, unless that is float32.
    is_converted = tensor.is_floating_point() and dtype is not torch.float32
    return torch.empty(shape, dtype=dtype if is_converted else tensor.dtype)


def without_metrics(model: pl.LightningModule) -> pl.LightningModule:
    """The same model with metrics that do nothing: they look at values, and keep nothing for the backward pass."""
    for metric in model.modules():
        if isinstance(metric, Metric | MetricCollection):
            for method in ("update", "forward"):
                setattr(metric, method, lambda *args, **kwargs: torch.zeros(()))
    return model
