"""What this task's data must keep to. Yours: change it with data.py."""

import random
import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch

from lit_project.data import DataModule

LIMIT = 2**20  # bytes, a quarter of what the shards hold


def prepared(num_workers=0):
    sizes = {"shards": 32, "records": 512, "shuffled_shards": 2, "batches_per_epoch": 20, "batch_size": 48}
    data = DataModule(folder="data", num_workers=num_workers, seed=0, **sizes)
    data.prepare_data()
    data.setup("fit")
    return data


def records_from(shards, number, count=None):
    random.seed(0)
    return [record["arrival"] for record in islice(shards.iter_from(number), count)]


def test_memory_does_not_grow_with_the_stream():
    data = prepared()
    assert sum(file.stat().st_size for file in data.files) > 4 * LIMIT
    tracemalloc.start()
    assert sum(1 for record in data.shards) == len(data.shards) == 32 * 512
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < LIMIT


@pytest.mark.parametrize("number", [1, 1023, 1024, 5000])
def test_a_pass_can_begin_anywhere_and_has_each_record_once(number):
    shards = prepared().shards
    whole = records_from(shards, 0)
    assert records_from(shards, number, 100) == whole[number : number + 100]
    assert sorted(whole) == sorted(np.concatenate([np.load(file)["arrival"] for file in shards.lengths]))


def test_batches_are_the_same_for_any_number_of_workers():
    for one, other in zip(*(prepared(workers).train_dataloader() for workers in (0, 2)), strict=True):
        assert [part.shape for part in one] == [(48, 128), (48, 1)]
        assert all(map(torch.equal, one, other))
