"""predictions.pt: whatever `predict_step` returns, in the order of the data, however many processes answered."""

from types import SimpleNamespace

import pytest
import torch
from lit_project.engine.errors import RunError
from lit_project.engine.training import predictions
from lit_project.engine.training.predictions import SavePredictions, concatenate, interleave


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


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shares_of_dicts_tuples_and_lists_become_one_answer_in_the_order_of_the_data(processes):
    # As Batches deals them out: one sample after the other.
    dealt = [[answers(batch[rank::processes]) for rank in range(processes)] for batch in BATCHES]
    assert same(concatenate([interleave(shares) for shares in dealt]), answers(EVERYTHING))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_predictions_of_all_processes_are_kept_in_one_file_that_loads_safely(workplace, monkeypatch, processes):
    shares = [[answers(batch[rank::processes]) for batch in BATCHES] for rank in range(processes)]
    monkeypatch.setattr(predictions, "gather", lambda share: [share, *shares[1:]])
    trainer = SimpleNamespace(
        num_predict_batches=[len(BATCHES)],
        predict_loop=SimpleNamespace(predictions=[*shares[0], None]),  # a step may answer nothing
        is_global_zero=True,
        default_root_dir=workplace,
    )
    SavePredictions().on_predict_end(trainer, None)
    assert same(torch.load(workplace / "predictions.pt", weights_only=True), answers(EVERYTHING))


@pytest.mark.parametrize("answer", [torch.tensor(1.0), 1.0, {"score": "high"}], ids=str)
def test_answer_without_an_entry_for_each_sample_is_refused(answer):
    with pytest.raises(RunError, match="has no entry for each sample"):
        predictions.to_cpu(answer)
