"""FLOPs of a training step, and how many a device can do: what model FLOP utilisation (MFU) is made of.

MFU is the FLOPs that a model needs for its samples, divided by those that the device could have done in that time at
its peak. Source: Chowdhery et al. 2022, PaLM, appendix B, https://arxiv.org/abs/2204.02311
"""

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning_fabric.utilities.throughput import get_available_flops
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from ..devices.memory import DTYPES
from ..devices.sharding import CONTAINERS, children_with_parameters
from .random_streams import Apart

# A device that Lightning's table has under a name of its own. Without sparsity; source: NVIDIA's data sheet.
H200 = {torch.bfloat16: 989e12, torch.float16: 989e12}


class StepFlops:
    """Counts the FLOPs of a model's networks from now until `end`, which is called after a training step.

    Each call of a network is repeated on a copy of it whose tensors have shapes and no values (FakeTensors), before
    the call itself. So nothing is computed twice, no memory is taken, and weights, buffers and random generators stay
    as they are. A network that has been compiled is counted as it was written.

    Counted are multiplications of matrices and convolutions, an addition and a multiplication being two, forward and
    backward: 3 times the forward pass where all is trained, less where parts are frozen. Passes that are repeated to
    save memory (activation checkpointing) are not counted again, nor are products outside of the model's children.

    Args:
        module: a LightningModule, or any other with networks as its children.
    """

    def __init__(self, module: nn.Module) -> None:
        self._mode = FakeTensorMode()
        self._copies: dict[nn.Module, nn.Module] = {}
        self._known: dict[str, int] = {}
        self._total: int | None = 0
        self._networks = list(networks(module))
        for network in self._networks:
            # Not a hook: those of a compiled network would be compiled with it.
            call = network._compiled_call_impl or network._call_impl
            vars(network)["_compiled_call_impl"] = partial(self._call, network, call, network._compiled_call_impl)

    def end(self) -> int | None:
        """FLOPs since the beginning; None if they cannot be known, as where the values of tensors decide."""
        for network in self._networks:
            compiled = vars(network).pop("_compiled_call_impl").args[2]
            if compiled is not None:
                network._compiled_call_impl = compiled
        self._networks, self._copies = [], {}
        return self._total or None

    def _call(self, network: nn.Module, call: Callable[..., Any], _: Any, *args: Any, **kwargs: Any) -> Any:
        if self._total is not None and not torch.compiler.is_compiling():
            try:
                self._total += self._count(network, args, kwargs)
            except Exception:  # whatever a network does with tensors that have no values, the training goes on
                self._total = None
        return call(*args, **kwargs)

    def _count(self, network: nn.Module, args: Any, kwargs: Any) -> int:
        trained = [parameter.requires_grad for parameter in network.parameters()]
        leaves = [leaf if not isinstance(leaf, Tensor) else described(leaf) for leaf in tree_leaves((args, kwargs))]
        call = repr((id(network), torch.is_grad_enabled(), trained, leaves))
        # A network that is called for each element of a sequence is counted once.
        if call not in self._known:
            with Apart(), eagerly():
                copied = self._copy(network)
                for parameter, is_trained in zip(copied.parameters(), trained, strict=True):
                    parameter.requires_grad_(is_trained)
                self._known[call] = self._count_copy(copied, args, kwargs)
        return self._known[call]

    def _copy(self, network: nn.Module) -> nn.Module:
        if network not in self._copies:
            if any(isinstance(parameter, DTensor) for parameter in network.parameters()):
                raise TypeError("a network in shards exchanges them as it computes")
            if any(isinstance(part, nn.RNNBase) for part in network.modules()):
                raise TypeError("FlopCounterMode does not know the kernels of recurrent layers")
            with FakeCopyMode(self._mode):
                self._copies[network] = copy.deepcopy(network)
            for part in self._copies[network].modules():  # hooks may keep what they see, outside of the copy
                part._forward_hooks.clear()
                part._forward_pre_hooks.clear()
        return self._copies[network]

    def _count_copy(self, copied: nn.Module, args: Any, kwargs: Any) -> int:
        with self._mode, FlopCounterMode(display=False) as counter:
            args, kwargs = tree_map_only(Tensor, without_values, (args, kwargs))
            outputs = [leaf for leaf in tree_leaves(copied(*args, **kwargs)) if isinstance(leaf, Tensor)]
            forward = counter.get_total_flops()
            if differentiable := [output for output in outputs if output.requires_grad]:
                torch.autograd.backward(differentiable, [torch.ones_like(output) for output in differentiable])
            return min(counter.get_total_flops(), 3 * forward)


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """The children that are called: those with parameters, and the members of lists and dicts."""
    for child in children_with_parameters(module):
        if isinstance(child, CONTAINERS):
            yield from networks(child)
        else:
            yield child


def described(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.dtype, tensor.device, tensor.requires_grad


def without_values(tensor: Tensor) -> Tensor:
    """A FakeTensor like a tensor; to be called in FakeTensorMode."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device, requires_grad=tensor.requires_grad)


@contextmanager
def eagerly() -> Iterator[None]:
    """Computing as it was written, and attention as products of matrices, on any device."""
    is_fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager"), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a network warns of, the call itself warns of too
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fused)


def peak_flops(device: torch.device, precision: str) -> float | None:
    """FLOPs per second that a device can do at most; None for what Lightning's table has not, as CPUs.

    Args:
        device: where the model computes.
        precision: the Trainer's precision, as "bf16-mixed".
    """
    dtype = DTYPES.get(precision.partition("-")[0])
    if dtype is None:
        return None
    if device.type == "cuda" and torch.cuda.get_device_name(device) == "NVIDIA H200":
        return H200.get(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a device is not in the table
        return get_available_flops(device, dtype)


def matmul_flops(device: torch.device, precision: str) -> float:
    """FLOPs per second that a device reaches when it multiplies two large matrices, measured here and now.

    Args:
        device: where the model computes.
        precision: the Trainer's precision.
    """
    size, times = (1024, 1) if device.type == "cpu" else (8192, 10)
    dtype = DTYPES.get(precision.partition("-")[0], torch.float32)
    # Random numbers, since a GPU multiplies ones faster; from a generator of their own.
    matrix = torch.randn(size, size, device=device, generator=torch.Generator(device)).to(dtype)
    rates = []
    for _ in range(4):  # the first one prepares the device
        begun = time.perf_counter()
        for _ in range(times):
            product = matrix @ matrix
        # What is read back has been computed.
        product[0, 0].item()
        rates.append(times * 2 * size**3 / (time.perf_counter() - begun))
    return max(rates)
