"""Batches of inputs, whatever a network takes: a tensor, or several of them in dicts and tuples."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import RunError

INPUT = "inputs"  # the name of an input that is a tensor, and of Ready.forward's argument
HINT = "tensors, or dicts and tuples of tensors"


def map_tensors(function: Callable[[str, Tensor], Any], inputs: Any, name: str = "") -> Any:
    """A copy of an input with `function(name, tensor)` in place of each tensor.

    A dict names its tensors by its keys, and a tuple as inputs_0, inputs_1 and so on.
    """
    if isinstance(inputs, Tensor):
        return function(name or INPUT, inputs)
    if isinstance(inputs, Mapping):
        return {key: map_tensors(function, part, f"{name}_{key}" if name else str(key)) for key, part in inputs.items()}
    if isinstance(inputs, tuple | list):
        parts = [map_tensors(function, part, f"{name or INPUT}_{number}") for number, part in enumerate(inputs)]
        kind = type(inputs)
        return kind(parts) if kind in (tuple, list) else kind(*parts)  # a named tuple takes its parts one by one
    raise RunError(f"{name or 'an input'} is of type {type(inputs).__name__}, where a tensor is expected", HINT)


def named(inputs: Any) -> dict[str, Tensor]:
    """The tensors of an input, by the names that `map_tensors` gives them."""
    found: dict[str, Tensor] = {}

    def add(name: str, tensor: Tensor) -> None:
        if name in found:
            raise RunError(f"two tensors of an input are called {name}", "other keys")
        found[name] = tensor

    map_tensors(add, inputs)
    if not found:
        raise RunError("an input has no tensor", HINT)
    return found


def layout(inputs: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """What has to be the same for all samples of a batch: names, and for each tensor its shape and its dtype."""
    return {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in named(inputs).items()}


def stacked(samples: Sequence[Any]) -> Any:
    """A batch of samples: each tensor of shape (...) becomes one of (batch, ...).

    Raises:
        RunError: if samples differ in their tensors' names, shapes or dtypes.
    """
    first = layout(samples[0])
    for other in map(layout, samples):
        if other != first:
            hint = "a sample of one layout, or `collate` in Inputs, which pads and makes a mask"
            raise RunError(f"samples differ in their tensors, so they make no batch: {first} and {other}", hint)
    parts = [named(sample) for sample in samples]
    return map_tensors(lambda name, _: torch.stack([part[name] for part in parts]), samples[0])


def samples_in(batch: Any) -> int:
    return len(next(iter(named(batch).values())))


def outputs_of(model: nn.Module, inputs: Any) -> Any:
    """What a model's `forward` returns for a batch.

    A forward that takes several arguments is given the entries of a dict by name, and those of a tuple in its order.
    """
    signature = inspect.signature(model.forward)
    if isinstance(inputs, Mapping) and takes_by_name(signature, inputs):
        return model(**inputs)
    if isinstance(inputs, tuple) and takes_in_order(signature):
        return model(*inputs)
    return model(inputs)


def takes_by_name(signature: inspect.Signature, inputs: Mapping[str, Any]) -> bool:
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD]:
        return False  # whatever its name is, it takes all of them
    try:
        signature.bind(**inputs)
    except TypeError:
        return False
    return True


def takes_in_order(signature: inspect.Signature) -> bool:
    """Whether there are several arguments without a default; one with a default may be anything but an input."""
    parameters = signature.parameters.values()
    needed = [one for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    return len(needed) > 1 or any(one.kind is one.VAR_POSITIONAL for one in parameters)
