"""The files of an exported model: ONNX, torch.export's pt2 and safetensors, and whether they answer alike."""

import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import RunError
from .ready import Ready, weights_of

INPUT = "inputs"  # the name of Ready.forward's argument
BATCH_SIZES = (1, 2, 7)
TOLERANCE = 1e-5  # of the largest answer; float32 has 7 digits
LARGEST_FILE = 2**31 - 2**20  # of ONNX, in bytes; beyond it, the weights go into a file beside
Answers = dict[str, Tensor]
Answering = Callable[[Tensor], Answers]


class Examples(NamedTuple):
    """Batches of raw inputs on which all formats have to agree.

    Args:
        batches: for each of BATCH_SIZES, one of each size of input.
        free: dimensions whose sizes may differ from one batch to the next, by their names.
    """

    batches: list[Tensor]
    free: dict[int, str]


def examples_of(samples: list[Tensor]) -> Examples:
    """Batches of some samples, taken in turn. A dimension in which they differ is free, as that of the batch is."""
    if not samples or len({(sample.ndim, sample.dtype) for sample in samples}) > 1:
        raise RunError("the DataModule's examples() must be tensors of one dtype and as many dimensions, one or more")
    shapes = list(dict.fromkeys(sample.shape for sample in samples))
    alike = [[sample for sample in samples if sample.shape == shape] for shape in shapes]
    batches = [torch.stack([group[n % len(group)] for n in range(size)]) for size in BATCH_SIZES for group in alike]
    sizes = {dim: {shape[dim] for shape in shapes} for dim in range(samples[0].ndim)}
    free = [dim + 1 for dim in sizes if len(sizes[dim]) > 1]
    return Examples(batches, {0: "batch", **{dim: f"size_{dim}" for dim in free}})


def answers_of(ready: Ready, examples: Examples) -> list[Answers]:
    """What the model answers for each batch; RunError unless all of it are tensors with an entry for each sample."""
    answers = [ready(batch) for batch in examples.batches]
    for batch, named in zip(examples.batches, answers, strict=True):
        for name, answer in named.items():
            if not isinstance(answer, Tensor) or answer.ndim == 0 or len(answer) != len(batch):
                what = f"objective.answers gives {name!r} for a batch of {len(batch)}"
                raise RunError(f"{what}, which is no tensor with {len(batch)} entries, and cannot be exported")
    return answers


def signature(examples: Examples, answers: list[Answers]) -> dict[str, list[dict[str, Any]]]:
    """Names, dtypes and shapes of what goes in and comes out, with names for sizes that are free."""
    first = examples.batches[0]
    inputs = [examples.free.get(dim, size) for dim, size in enumerate(first.shape)]
    outputs = {name: [named[name].shape for named in answers] for name in answers[0]}
    return {
        "inputs": [{"name": INPUT, "dtype": dtype_of(first), "shape": inputs}],
        "outputs": [
            {"name": name, "dtype": dtype_of(answers[0][name]), "shape": shape_of(sizes, examples)}
            for name, sizes in outputs.items()
        ],
    }


def dtype_of(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def shape_of(shapes: list[torch.Size], examples: Examples) -> list[str | int]:
    """A shape in which a size that is always that of a free dimension of the input has its name."""
    free = {name: [batch.shape[dim] for batch in examples.batches] for dim, name in examples.free.items()}
    named: list[str | int] = []
    for sizes in map(list, zip(*shapes, strict=True)):
        names = [name for name in free if free[name] == sizes]
        named.append(names[0] if names else sizes[0] if len(set(sizes)) == 1 else "any")
    return named


def write_pt2(ready: Ready, examples: Examples, path: Path) -> None:
    # The largest batch: torch.export takes a size of 1 for one that is always 1.
    batch = examples.batches[-1]
    free = {dim: torch.export.Dim.DYNAMIC for dim in examples.free}
    with quiet(), one_line_for("torch.export"):
        torch.export.save(torch.export.export(ready, (batch,), dynamic_shapes=(free,)), path)


def read_pt2(path: Path) -> Answering:
    """Only for what was written just now: to read somebody else's .pt2 can run code."""
    with quiet():
        answering: Answering = torch.export.load(path).module()
    return answering


def write_onnx(ready: Ready, examples: Examples, path: Path) -> None:
    size = sum(tensor.nbytes for tensor in ready.state_dict().values())
    with quiet(), one_line_for("torch.onnx"):
        torch.onnx.export(
            ready,
            (examples.batches[-1],),
            path,
            input_names=[INPUT],
            output_names=list(ready(examples.batches[-1])),
            dynamic_shapes=(examples.free,),
            dynamo=True,
            external_data=size > LARGEST_FILE,
            verbose=False,
        )


def read_onnx(path: Path) -> Answering:
    onnxruntime = importlib.import_module("onnxruntime")
    with one_line_for("onnxruntime"):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answering(inputs: Tensor) -> Answers:
        answers = session.run(names, {INPUT: inputs.numpy()})
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

    Raises:
        RunError: if the file does not answer, or if the difference is more than that of rounding.
    """
    largest = dict.fromkeys(BATCH_SIZES, 0.0)
    for batch, expected in zip(examples.batches, answers, strict=True):
        with one_line_for(name):
            found = answering(batch)
        share = largest_difference(expected, found)
        if not share <= TOLERANCE:  # also if it is nan
            shape = tuple(batch.shape)
            raise RunError(
                f"{name} does not answer as the model does: for inputs of shape {shape}, they differ by {share:.1e} of"
                f" the largest answer, which may be {TOLERANCE:.0e}; nothing is exported"
            )
        largest[len(batch)] = max(largest[len(batch)], share)
    return largest


def largest_difference(expected: Answers, found: Answers) -> float:
    """As a share of the largest number among all answers; those that are not floating-point have to be equal."""
    kinds = [{name: (answer.shape, answer.dtype) for name, answer in one.items()} for one in (expected, found)]
    floats = [name for name, answer in expected.items() if answer.is_floating_point()]
    if kinds[0] != kinds[1] or not all(torch.equal(expected[n], found[n]) for n in expected.keys() - floats):
        return math.inf
    if not floats:
        return 0.0
    numbers = torch.cat([expected[name].double().flatten() for name in floats])
    others = torch.cat([found[name].double().flatten() for name in floats])
    difference = (numbers - others).abs().max().item()
    return difference and difference / numbers.abs().max().item()


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


@contextmanager
def one_line_for(library: str) -> Iterator[None]:
    """Say in one line that a library cannot take the model: there are hundreds of reasons, each with a page of text."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
        hint = "--format safetensors, or --traceback"
        raise RunError(f"{library} cannot take this model: {reason[:300]}", hint) from error
