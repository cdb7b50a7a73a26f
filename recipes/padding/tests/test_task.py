"""What the order, the padding and the mask promise. Yours: change it with data.py and network.py."""

import pytest
import torch

from lit_project.data import TOKENS, DataModule, collate, lengths_of


def prepared(batches_per_bucket=8, num_workers=0):
    data = DataModule(1000, batches_per_bucket, batch_size=32, num_workers=num_workers, seed=0)
    data.setup("fit")
    return data


def test_a_batch_has_the_tokens_of_its_samples_for_any_number_of_workers():
    sequences = {sample["id"]: sample["tokens"] for sample in prepared().train}
    for one, other in zip(*(prepared(num_workers=workers).train_dataloader() for workers in (0, 2)), strict=True):
        assert one["id"] == other["id"]
        assert torch.equal(one["tokens"], other["tokens"])
        for name, tokens, mask in zip(one["id"], one["tokens"], one["mask"], strict=True):
            assert torch.equal(tokens[mask], sequences[name])


def test_an_epoch_has_each_sample_once_in_batches_of_its_own_and_the_short_one_last():
    data = prepared()
    first, second = (data.bucketed(epoch, torch.Generator().manual_seed(epoch)) for epoch in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(1000))
    batches, others = ({frozenset(batch.tolist()) for batch in order.split(32)} for order in (first, second))
    assert batches.isdisjoint(others)
    assert [len(batch["id"]) for batch in data.train_dataloader()] == [32] * 31 + [8]


def test_buckets_save_most_of_the_padding():
    shares = []
    for batches_per_bucket in (1, 8):
        masks = [batch["mask"].flatten() for batch in prepared(batches_per_bucket).train_dataloader()]
        shares.append(1 - torch.cat(masks).float().mean().item())
    assert shares[0] > 0.6
    assert shares[1] < 0.25


@pytest.mark.parametrize("filling", [0, TOKENS - 1])
def test_an_answer_depends_on_the_sequence_alone(parts, filling):
    model, data = parts
    samples = data.test[:20]
    assert len(lengths_of(samples).unique()) > 10
    together = collate(samples)
    answers = model(together["tokens"].where(together["mask"], filling), together["mask"])
    alone = [model(batch["tokens"], batch["mask"]) for batch in (collate([sample]) for sample in samples)]
    torch.testing.assert_close(answers, torch.cat(alone))
