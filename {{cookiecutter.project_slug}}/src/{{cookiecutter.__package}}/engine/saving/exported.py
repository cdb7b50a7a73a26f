"""The files of an exported model: ONNX, torch.export's pt2 and safetensors, and whether they answer alike."""

import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import RunError
from .nested import INPUT, map_tensors, named, samples_in, stacked
from .ready import Ready, in_one_line, weights_of

BATCH_SIZES = (1, 2, 7)
TOLERANCE = 1e-5  # of the largest answer; float32 has 7 digits
LARGEST_FILE = 2**31 - 2**20  # of ONNX, in bytes; beyond it, the weights go into a file beside
Answers = dict[str, Tensor]
Answering = Callable[[Any], Answers]


class Examples(NamedTuple):
    """Batches of raw inputs on which all formats have to agree.

    Args:
        batches: for each of BATCH_SIZES, one of each size of input.
        free: for each tensor of an input, dimensions whose sizes may differ from one batch to the next, by their names.
    """

    batches: list[Any]
    free: dict[str, dict[int, str]]


def examples_of(samples: Any) -> Examples:
    """Batches of some samples, taken in turn. A dimension in which they differ is free, as that of the batch is."""
    if not isinstance(samples, list) or not samples:
        raise RunError("the DataModule's examples() must be a list of raw inputs, one or more")
    parts = [named(sample) for sample in samples]
    if len({tuple((name, one.ndim, one.dtype) for name, one in part.items()) for part in parts}) > 1:
        raise RunError("the DataModule's examples() must be alike, but for the sizes of their dimensions")
    shapes = [tuple(tensor.shape for tensor in part.values()) for part in parts]
    alike = [[one for one, shape in zip(samples, shapes, strict=True) if shape == own] for own in dict.fromkeys(shapes)]
    batches = [stacked([group[n % len(group)] for n in range(size)]) for size in BATCH_SIZES for group in alike]
    return Examples(batches, free_dimensions(batches))


def free_dimensions(batches: list[Any]) -> dict[str, dict[int, str]]:
    """Names of the dimensions in which batches differ; one name for those of several tensors that are always equal."""
    parts = [named(batch) for batch in batches]
    free: dict[str, dict[int, str]] = {}
    known: dict[tuple[int, ...], str] = {}
    for name, tensor in parts[0].items():
        sizes = {dim: tuple(part[name].shape[dim] for part in parts) for dim in range(1, tensor.ndim)}
        own = {dim: f"size_{dim}" if len(parts[0]) == 1 else f"{name}_size_{dim}" for dim in sizes}
        free[name] = {0: "batch", **{dim: known.get(sizes[dim], own[dim]) for dim in sizes if len(set(sizes[dim])) > 1}}
        known = {**{sizes[dim]: free[name][dim] for dim in free[name] if dim}, **known}
    return free


def answers_to(ready: Ready, examples: Examples) -> list[Answers]:
    """What the model answers for each batch; RunError unless all of it are tensors with an entry for each sample."""
    with in_one_line("the model cannot answer what examples() in data.py gives"):
        answers = [ready(batch) for batch in examples.batches]
    for name, answer in answers[0].items():
        if not isinstance(answer, Tensor):
            what = f"answers gives {name!r} for a batch of 1"
            raise RunError(f"{what}, which is no tensor with 1 entries, and cannot be exported")
    return answers


def signature(examples: Examples, answers: list[Answers]) -> dict[str, list[dict[str, Any]]]:
    """Names, dtypes and shapes of what goes in and comes out, with names for sizes that are free."""
    inputs = {
        name: (tensor, [examples.free[name].get(dim, size) for dim, size in enumerate(tensor.shape)])
        for name, tensor in named(examples.batches[0]).items()
    }
    outputs = {name: [each[name].shape for each in answers] for name in answers[0]}
    return {
        "inputs": [{"name": name, "dtype": dtype_of(one), "shape": shape} for name, (one, shape) in inputs.items()],
        "outputs": [
            {"name": name, "dtype": dtype_of(answers[0][name]), "shape": shape_of(sizes, examples)}
            for name, sizes in outputs.items()
        ],
    }


def dtype_of(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def shape_of(shapes: list[torch.Size], examples: Examples) -> list[str | int]:
    """A shape in which a size that is always that of a free dimension of the input has its name."""
    parts = [named(batch) for batch in examples.batches]
    free = {
        size: [part[name].shape[dim] for part in parts]
        for name, sizes in examples.free.items()
        for dim, size in sizes.items()
    }
    found: list[str | int] = []
    for sizes in map(list, zip(*shapes, strict=True)):
        names = [name for name in free if free[name] == sizes]
        found.append(names[0] if names else sizes[0] if len(set(sizes)) == 1 else "any")
    return found


def write_pt2(ready: Ready, examples: Examples, path: Path) -> None:
    # The largest batch: torch.export takes a size of 1 for one that is always 1.
    batch = examples.batches[-1]
    free = map_tensors(lambda name, _: dict.fromkeys(examples.free[name], torch.export.Dim.DYNAMIC), batch)
    with quiet(), one_line_for("torch.export"):
        torch.export.save(torch.export.export(ready, (batch,), dynamic_shapes=(free,)), path)


def read_pt2(path: Path) -> Answering:
    """Only for what was written just now: to read somebody else's .pt2 can run code."""
    with quiet():
        answering: Answering = torch.export.load(path).module()
    return answering


def write_onnx(ready: Ready, examples: Examples, path: Path) -> None:
    size = sum(tensor.nbytes for tensor in ready.state_dict().values())
    batch = examples.batches[-1]
    with quiet(), one_line_for("torch.onnx"):
        torch.onnx.export(
            ready,
            (),
            path,
            kwargs={INPUT: batch},  # a dict as the last of the arguments would be taken for those by name
            input_names=list(named(batch)),
            output_names=list(ready(batch)),
            dynamic_shapes={INPUT: map_tensors(lambda name, _: examples.free[name], batch)},
            dynamo=True,
            external_data=size > LARGEST_FILE,
            verbose=False,
        )


def read_onnx(path: Path) -> Answering:
    onnxruntime = importlib.import_module("onnxruntime")
    with one_line_for("onnxruntime"):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answering(inputs: Any) -> Answers:
        answers = session.run(names, {name: tensor.numpy() for name, tensor in named(inputs).items()})
        return {name: torch.from_numpy(answer) for name, answer in zip(names, answers, strict=True)}

    return answering


def other_floats(saved: dict[str, Tensor], ready: Ready) -> list[str]:
    """The dtypes that weights have in a checkpoint, and not in the model that is exported, as `bfloat16`."""
    of_model = {tensor.dtype for tensor in ready.state_dict().values()}
    kinds = {tensor.dtype for tensor in saved.values() if tensor.is_floating_point()} - of_model
    return sorted(str(kind).removeprefix("torch.") for kind in kinds)


def write_safetensors(ready: Ready, examples: Examples, path: Path) -> None:
    """The weights, for those who have the network; those that modules share stand there once."""
    kept: dict[tuple[int, torch.Size], str] = {}
    weights = weights_of(ready)
    for name, tensor in weights.items():
        kept.setdefault((tensor.data_ptr() if tensor.numel() else id(tensor), tensor.shape), name)
    tensors = {name: weights[name].detach().clone().contiguous() for name in kept.values()}
    path.write_bytes(importlib.import_module("safetensors.torch").save(tensors, {"format": "pt"}))


def differences(name: str, answering: Answering, examples: Examples, answers: list[Answers]) -> dict[int, float]:
    """By batch size: the largest difference of a file's answers from the model's, as a share of the largest answer.

    The largest to all batches: a single answer may be next to nothing, as a probability often is.

    Raises:
        RunError: if the file does not answer, or if the difference is more than that of rounding.
    """
    largest = dict.fromkeys(BATCH_SIZES, 0.0)
    whole = max(numbers_in(expected).abs().max().item() for expected in answers)
    for batch, expected in zip(examples.batches, answers, strict=True):
        with one_line_for(name):
            found = answering(batch)
        difference = largest_difference(expected, found)
        share = difference and (difference / whole if whole else math.inf)
        if not share <= TOLERANCE:  # also if it is nan
            shape = " and ".join(str(tuple(tensor.shape)) for tensor in named(batch).values())
            raise RunError(
                f"{name} does not answer as the model does: for inputs of shape {shape}, they differ by {share:.1e} of"
                f" the largest answer, which may be {TOLERANCE:.0e}; nothing is exported"
            )
        size = samples_in(batch)
        largest[size] = max(largest[size], share)
    return largest


def largest_difference(expected: Answers, found: Answers) -> float:
    """Between floating-point numbers; infinite if there are other answers, or if others than these are not equal."""
    kinds = [{name: (answer.shape, answer.dtype) for name, answer in one.items()} for one in (expected, found)]
    others = [name for name, answer in expected.items() if not answer.is_floating_point()]
    if kinds[0] != kinds[1] or not all(torch.equal(expected[name], found[name]) for name in others):
        return math.inf
    return (numbers_in(expected) - numbers_in(found)).abs().max().item()


def numbers_in(answers: Answers) -> Tensor:
    """All floating-point numbers of some answers in float64, and a 0."""
    floats = [answer.double().flatten() for answer in answers.values() if answer.is_floating_point()]
    return torch.cat([torch.zeros(1, dtype=torch.float64), *floats])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what torch says of its own deprecated functions, and of operations in packages that are not there."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def one_line_for(library: str) -> AbstractContextManager[None]:
    return in_one_line(f"{library} cannot take this model", "--format safetensors, or --traceback")
