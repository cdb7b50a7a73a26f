"""Objective: what a good prediction is. Here: a high score in the cell of each object's centre, and the right box."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from .data import KINDS, Objects
from .network import STRIDE

MOST = 4  # objects that are answered for a picture, the likeliest first


class F1(Metric):
    """The harmonic mean of two shares: of the objects that are found, and of the answers that are right.

    An answer is right if it has the kind of an object, and the middle of its box is within a pixel of that one's.
    """

    right: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        for count in ("right", "total"):  # which add up over processes; the mean of their F1 would be another figure
            self.add_state(count, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, answers: list[Objects], targets: list[Objects]) -> None:
        for answer, target in zip(answers, targets, strict=True):
            distances = torch.cdist(middles(answer["boxes"]), middles(target["boxes"]))  # (answers, objects)
            matches = (distances <= 1) & (answer["labels"][:, None] == target["labels"])
            self.right += matches.any(dim=0).sum()  # an object that is answered twice is found once
            self.total += len(answer["labels"]) + len(target["labels"])

    def compute(self) -> Tensor:
        return 2 * self.right / self.total


@final
class Objective(nn.Module):
    """Cross-entropy of the scores, and the distance of the boxes in the cells with an object.

    Args:
        box_weight: of the distance, beside the cross-entropy.
        threshold: the probability from which on an object is answered.
    """

    task = "object-detection"  # in Hugging Face's words, for the card of an export

    def __init__(self, box_weight: float, threshold: float) -> None:
        super().__init__()
        self.box_weight = box_weight
        self.threshold = threshold

    def forward(self, outputs: Tensor, targets: list[Objects]) -> Tensor:
        """The loss: (batch, kinds + 4, 8, 8) and the objects of each picture -> a scalar, a mean over pictures."""
        logits, boxes = outputs.split([len(KINDS), 4], dim=1)
        of_all, labels = (torch.cat([objects[key] for objects in targets]) for key in ("boxes", "labels"))
        picture = torch.cat([torch.full_like(objects["labels"], n) for n, objects in enumerate(targets)])
        column, row = (middles(of_all) / STRIDE).long().unbind(dim=1)
        present = torch.zeros_like(logits)
        present[picture, labels, row, column] = 1
        sides = of_all / STRIDE - torch.stack([column, row, column, row], dim=1) - 0.5
        loss = F.binary_cross_entropy_with_logits(logits, present, reduction="sum")
        loss += self.box_weight * F.l1_loss(boxes[picture, :, row, column], sides, reduction="sum")
        return loss / len(targets)

    def metrics(self) -> MetricCollection:
        """F1 of the objects."""
        return MetricCollection({"f1": F1()})

    def update_metrics(self, metrics: MetricCollection, outputs: Tensor, targets: list[Objects], loss: Tensor) -> None:
        """What the metrics see of a batch: lists with the objects of each picture, answered and true."""
        metrics.update(self.prediction(outputs), targets)

    def prediction(self, outputs: Tensor) -> list[Objects]:
        """The objects of each picture, with their scores."""
        answers = self.answers(outputs)
        found = answers["scores"] > self.threshold
        return [{name: part[n, found[n]] for name, part in answers.items()} for n in range(len(outputs))]

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """For `predict --input`: cells that score highest among their neighbours, and others with scores below 0."""
        scores, labels = outputs[:, : len(KINDS)].sigmoid().max(dim=1)
        peaks = torch.where(scores == F.max_pool2d(scores, 3, stride=1, padding=1), scores, scores - 1)
        scores, cells = peaks.flatten(1).topk(MOST)
        row, column = cells // outputs.shape[-1], cells % outputs.shape[-1]
        sides = outputs[:, len(KINDS) :].flatten(2).gather(2, cells[:, None].expand(-1, 4, -1)).mT
        boxes = STRIDE * (sides + torch.stack([column, row, column, row], dim=2) + 0.5)
        return {"boxes": boxes, "labels": labels.flatten(1).gather(1, cells), "scores": scores}


def middles(boxes: Tensor) -> Tensor:
    """(objects, 4) -> (objects, 2), as column and row in pixels."""
    return boxes.unflatten(1, (2, 2)).mean(dim=1)
