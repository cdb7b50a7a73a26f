"""predictions.pt: whatever `predict_step` returns, in the order of the data, however many processes answered."""

import re
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lit_project.__main__ import load_parts, main
from lit_project.engine.errors import RunError
from lit_project.engine.training import predictions
from lit_project.engine.training.answers import plain, refuse_other_counts
from lit_project.engine.training.predictions import SavePredictions

MODEL, DATA = (getattr(load_parts(), part) for part in ("model", "data"))
Pair = namedtuple("Pair", "number text")


@dataclass
class Found:
    boxes: torch.Tensor
    labels: list


def answers(numbers):
    """What a predict_step may return for samples with these numbers: an entry for each in every leaf."""
    values = torch.tensor(numbers, dtype=torch.float32)
    return {
        "score": values[:, None] * torch.ones(2),
        "pair": (values.long(), [f"sample {number}" for number in numbers]),
        "nested": {"names": list(map(str, numbers))},
    }


def same(one, other):
    """Whether two answers have the same kinds and the same entries."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


BATCHES = [[3, 1, 4, 0, 5], [9, 2, 6, 8, 7], [10, 11, 12]]
EVERYTHING = [number for batch in BATCHES for number in batch]


def kept(folder, monkeypatch, batches, processes, answer):
    """predictions.pt of a predict whose batches have these numbers, as Batches deals them out to so many processes."""
    shares = [[answer(batch[rank::processes]) for batch in batches] for rank in range(processes)]
    monkeypatch.setattr(predictions, "gather", lambda share: [share, *map(as_plain, shares[1:])])
    trainer = SimpleNamespace(
        num_predict_batches=[len(batches)],
        predict_dataloaders="a loader",
        predict_loop=SimpleNamespace(predictions=shares[0]),
        is_global_zero=True,
        default_root_dir=folder,
    )
    callback = SavePredictions()
    callback.on_predict_start(trainer, None)
    for number, share in enumerate(shares[0]):
        callback.on_predict_batch_end(trainer, None, share, None, number)
    callback.on_predict_end(trainer, None)
    return torch.load(folder / "predictions.pt", weights_only=True)


def as_plain(share):
    return [answer if answer is None else plain(answer) for answer in share]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_predictions_of_all_processes_are_one_answer_in_the_order_of_the_data(workplace, monkeypatch, processes):
    assert same(kept(workplace, monkeypatch, BATCHES, processes, answers), answers(EVERYTHING))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_step_may_answer_nothing_for_a_batch(workplace, monkeypatch, processes):
    def some(numbers):
        return None if set(numbers) & set(BATCHES[1]) else answers(numbers)

    together = kept(workplace, monkeypatch, BATCHES, processes, some)
    assert same(together, answers(BATCHES[0] + BATCHES[2]))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_tensors_that_differ_in_shape_are_kept_apart_for_each_sample(workplace, monkeypatch, processes):
    def padded(numbers):
        """As long as the longest sample of the share."""
        number = torch.tensor(numbers)
        return {"sequence": number[:, None] * torch.ones(1, max(numbers) + 1), "number": number}

    together = kept(workplace, monkeypatch, BATCHES, processes, padded)
    assert torch.equal(together["number"], torch.tensor(EVERYTHING))
    assert [int(sequence[0]) for sequence in together["sequence"]] == EVERYTHING
    assert all(len(sequence) > sequence[0] for sequence in together["sequence"])


def test_tensors_that_differ_in_dtype_are_kept_apart_for_each_sample(workplace, monkeypatch):
    types = iter([torch.float32, torch.float64, torch.float32])
    together = kept(workplace, monkeypatch, BATCHES, 1, lambda numbers: torch.tensor(numbers, dtype=next(types)))
    assert [entry.dtype for entry in together].count(torch.float64) == len(BATCHES[1])
    assert [int(entry) for entry in together] == EVERYTHING


@pytest.mark.parametrize("processes", [1, 2])
def test_dataclasses_become_dicts_and_named_tuples_tuples(workplace, monkeypatch, processes):
    def answer(numbers):
        entries = [Pair(number, {"found": Found(torch.ones(number), [str(number)])}) for number in numbers]
        return Pair(Found(torch.tensor(numbers), entries), torch.tensor(numbers))

    def expected(numbers):
        entries = [(number, {"found": {"boxes": torch.ones(number), "labels": [str(number)]}}) for number in numbers]
        return {"boxes": torch.tensor(numbers), "labels": entries}, torch.tensor(numbers)

    assert same(kept(workplace, monkeypatch, BATCHES, processes, answer), expected(EVERYTHING))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (torch.tensor(1.0), "answer is of type Tensor and has no entry for each sample"),
        (1.0, "answer is of type float and has no entry for each sample"),
        ({"score": "high"}, r"answer\['score'\] is of type str and has no entry for each sample"),
        ((torch.ones(8), None), r"answer\[1\] is of type NoneType and has no entry for each sample"),
        ({"a": torch.ones(8), "b": torch.ones(10)}, "returned 8 and 10 entries for a batch of 8 samples"),
        (torch.ones(10), "returned 10 entries for a batch of 8 samples"),
        ([torch.ones(8), torch.ones(8)], "returned 2 entries for a batch of 8 samples"),
        ([{"file": Path("here")}] * 8, r"answer\[0\]\['file'\] is of type PosixPath, which cannot be loaded without"),
    ],
    ids=str,
)
def test_answer_that_cannot_be_kept_is_refused_with_the_first_batch(short, refused, monkeypatch, answer, told):
    main(["fit", "--run=one", *short])
    steps = []

    def predict_step(self, batch, batch_idx):
        steps.append(batch_idx)
        return answer

    monkeypatch.setattr(MODEL, "predict_step", predict_step)
    line = refused("predict", "--run=one", *short)
    assert steps == [0]
    assert re.search(told, line)


@pytest.mark.parametrize(
    "batch",
    [None, SimpleNamespace(), [torch.ones(5, 2), torch.ones(3)], [torch.ones(3, 9, 9)] * 4],
    ids=["nothing", "object", "of several lengths", "list of pictures"],
)
def test_answer_is_taken_as_it_is_for_a_batch_that_does_not_tell_its_samples(batch):
    refuse_other_counts(torch.ones(4), batch)


def test_answers_that_differ_in_their_parts_are_refused(workplace, monkeypatch):
    def with_other_keys(numbers):
        return {"a": torch.ones(3)} if 10 in numbers else torch.ones(5)

    with pytest.raises(RunError, match=r"returned {'a': 'tensor'} for batch 2, and tensor before"):
        kept(workplace, monkeypatch, BATCHES, 1, with_other_keys)
    with pytest.raises(RunError, match="other parts in other processes"):
        kept(workplace, monkeypatch, BATCHES, 2, lambda numbers: torch.ones(1) if 3 in numbers else None)


def test_predictions_of_several_loaders_are_kept_apart(short, monkeypatch):
    main(["fit", "--run=one", *short])

    def predictions_of(loaders):
        monkeypatch.setattr(DATA, "predict_dataloader", loaders)
        main(["predict", "--run=one", *short])
        return torch.load("runs/one/predictions.pt", weights_only=True)

    first, second = DATA.predict_dataloader, DATA.val_dataloader
    one, other = predictions_of(first), predictions_of(second)
    named = predictions_of(lambda data: {"first": first(data), "second": second(data)})
    assert same(named, {"first": one, "second": other})
    assert same(predictions_of(lambda data: {"second": second(data)}), {"second": other})
    assert same(predictions_of(lambda data: [first(data), second(data)]), [one, other])
    assert same(predictions_of(lambda data: [first(data)]), one)
