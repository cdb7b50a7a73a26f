"""The pictures of a set on which a model errs most, to be looked at."""

from typing import Any, NamedTuple

from torch import Tensor

MOST = 12


class Mistake(NamedTuple):
    """A sample with a high loss.

    Args:
        loss: of this sample alone.
        picture: (channels, height, width) float32, as the network sees it, with one channel or three.
        target, answer: the true class and the predicted one.
    """

    loss: float
    picture: Tensor
    target: int
    answer: int


class Worst:
    """Keeps the pictures that are classified wrongly with the highest loss.

    Args:
        objective: has `forward(outputs, targets)`, the loss, and `prediction(outputs)`, classes.
    """

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        self.mistakes: list[Mistake] = []

    def see(self, inputs: Any, outputs: Any, targets: Any) -> None:
        """Take in a batch, if it is one of pictures with a class each; else nothing."""
        if not (is_pictures(inputs) and is_classes(targets, len(inputs)) and hasattr(self.objective, "prediction")):
            return
        answers = self.objective.prediction(outputs)
        if not is_classes(answers, len(inputs)):
            return
        for number in (answers != targets).nonzero().flatten().tolist():
            loss = float(self.objective.forward(outputs[number : number + 1], targets[number : number + 1]))
            picture = inputs[number].detach().float().cpu()
            self.mistakes.append(Mistake(loss, picture, int(targets[number]), int(answers[number])))
        self.mistakes = largest(self.mistakes)


def largest(mistakes: list[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: -mistake.loss)[:MOST]


def is_pictures(inputs: Any) -> bool:
    return isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.shape[1] in (1, 3)


def is_classes(values: Any, samples: int) -> bool:
    is_whole = isinstance(values, Tensor) and not values.is_floating_point() and not values.is_complex()
    return is_whole and values.shape == (samples,)


def visible(picture: Tensor) -> Tensor:
    """(height, width, channels) in [0, 1], or (height, width) grey, of a picture in any scale."""
    low, high = picture.min(), picture.max()
    if low < 0 or high > 1:
        picture = (picture - low) / (high - low).clamp(min=1e-9)
    return picture[0] if len(picture) == 1 else picture.movedim(0, -1)
