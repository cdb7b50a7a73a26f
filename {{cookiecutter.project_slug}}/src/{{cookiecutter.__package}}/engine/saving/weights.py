"""Weights for a new training: read from a checkpoint, a plain PyTorch file or safetensors, and put into a model."""

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from ..errors import RunError
from . import checkpoints

Weights = dict[str, Tensor]
SECTIONS = ("state_dict", "model")  # where files keep weights beside other things
PREPROCESSING = "preprocessing."  # begins the names of an export's weights that are not the model's
NAMES_SHOWN = 5  # of each kind of weights that do not fit


class Match(NamedTuple):
    """How the weights of a file fit those of a model: what fits, and the names of what does not.

    Args:
        fitting: weights with a name and a shape of the model's.
        other_shape: names that both have, each with both shapes.
        not_in_file: names of the model's alone.
        not_in_model: names of the file's alone.
    """

    fitting: Weights
    other_shape: list[str]
    not_in_file: list[str]
    not_in_model: list[str]


def begin_with(model: nn.Module, path: Path, is_partial: bool) -> list[str]:
    """Put a file's weights into a model that has not been trained yet, and return lines that say which.

    Names may be those of the whole model, or of one module in it, such as its network. Files written from a model
    inside torch.compile or DistributedDataParallel fit too.

    Args:
        model: its weights are changed in place.
        path: what `read` can read.
        is_partial: whether some weights may be missing, here or there, or have another shape.

    Raises:
        RunError: if nothing fits, if the weights fit two modules, or if not all of them fit and `is_partial` is False.
    """
    saved = {name: tensor for name, tensor in read(path).items() if not name.startswith(PREPROCESSING)}
    current = tensors_of(model.state_dict())
    if not current:
        hint = "create the layers in __init__"
        raise RunError("the model has no weights before its configure_model, so --init_from can fill none", hint)
    place = place_of(path, saved, current)
    saved = {place + name: tensor for name, tensor in saved.items()}
    match = compare(saved, {name: tensor for name, tensor in current.items() if name.startswith(place)})
    if not is_partial:
        wanted = {name: current[name] for name in current if name in {*match.not_in_file, *saved}}
        checkpoints.refuse_other_model(path, saved, wanted, "--init_partial, which loads what fits")
    if not match.fitting:
        raise RunError(
            f"no weight of {path} has the name and the shape of one of this model's",
            "a file with the names of model.state_dict()",
        )
    model.load_state_dict(match.fitting, strict=False)
    within = f", all in {place[:-1]}" if place else ""
    return [f"Begins with the weights of {path}: {len(match.fitting)} of {len(current)} tensors{within}", *rest(match)]


def read(path: Path) -> Weights:
    """The weights in a file, by name and read without running code; RunError if there are none."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    content: object = checkpoints.read_in_full(path)
    if isinstance(content, dict):
        sections = [content[name] for name in SECTIONS if isinstance(content.get(name), dict)]
        weights = tensors_of(sections[0] if sections else content)
        if weights:
            return plain_names(weights)
    raise RunError(f"{path} holds no weights: no state dict, and none under {' or '.join(SECTIONS)}")


def read_safetensors(path: Path) -> Weights:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError as error:
        hint = "uv run --extra export, and the same command"
        raise RunError(f"{path} needs the package safetensors, not installed here", hint) from error
    try:
        return plain_names(safetensors.load_file(path))
    except Exception as error:  # a torn or foreign file can fail anywhere in the package
        raise checkpoints.unreadable(path, error) from error


def tensors_of(state: dict[str, object]) -> Weights:
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def plain_names(weights: Weights) -> Weights:
    """The same weights without what torch.compile and DistributedDataParallel put into their names."""
    named = {name.replace("_orig_mod.", ""): tensor for name, tensor in weights.items()}
    is_wrapped = all(name.startswith("module.") for name in named)
    return {name.removeprefix("module.") if is_wrapped else name: tensor for name, tensor in named.items()}


def place_of(path: Path, saved: Weights, current: Weights) -> str:
    """The module whose names most of the weights have, with a dot behind it; nothing for the model as a whole."""
    names, shapes = Counter[str](), Counter[str]()
    for name, tensor in current.items():
        for place, rest in splits(name):
            names[place] += rest in saved
            shapes[place] += rest in saved and saved[rest].shape == tensor.shape
    votes = {place: (names[place], shapes[place]) for place in names}
    best = [place for place in votes if votes[place] == max(votes.values())]
    if "" in best:  # also if there is no such name anywhere
        return ""
    if len(best) > 1:
        modules = " and ".join(place[:-1] for place in best[:2])
        raise RunError(f"the weights of {path} fit {modules} alike", "a file with the names of model.state_dict()")
    return best[0]


def splits(name: str) -> Iterator[tuple[str, str]]:
    """Each way to take a name apart into a module and the rest: `a.b` is "" and `a.b`, `a.` and `b`."""
    parts = name.split(".")
    for number in range(len(parts)):
        yield "".join(f"{part}." for part in parts[:number]), ".".join(parts[number:])


def compare(saved: Weights, current: Weights) -> Match:
    fitting = {name: saved[name] for name in current if name in saved and saved[name].shape == current[name].shape}
    # Some files hold weights that two modules share only once.
    filled = {current[name].data_ptr() for name in fitting}
    return Match(
        fitting,
        [
            f"{name} {tuple(saved[name].shape)}, here {tuple(current[name].shape)}"
            for name in current
            if name in saved and name not in fitting
        ],
        [name for name in current if name not in saved and current[name].data_ptr() not in filled],
        [name for name in saved if name not in current],
    )


def rest(match: Match) -> list[str]:
    """A line for each kind of weights that did not fit."""
    kinds = {"of another shape": match.other_shape, "not in it": match.not_in_file, "not used": match.not_in_model}
    return [f"  {kind}: {first_names(names)}" for kind, names in kinds.items() if names]


def first_names(names: list[str]) -> str:
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([*names[:NAMES_SHOWN], *more])
