"""Batches: the same from anywhere, for any number of workers, and shared out among all processes."""

from dataclasses import dataclass

import pytest
import torch
from lit_project.engine.errors import RunError
from lit_project.engine.training import batches
from lit_project.engine.training.batches import Batches
from lit_project.engine.training.samples import count_samples


class Rows(torch.utils.data.Dataset):
    """Each row is its own index, and a random number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.tensor(float(index)), torch.rand(())


def drawn(loader, epoch=0, first=0):
    """What a loader gives from a position on: indices, noise of the loading, noise of the using."""
    loader.batch_sampler.set_epoch(epoch)
    loader.load_state_dict({"first": first, "batches": len(loader)})
    return [(indices.tolist(), noise.tolist(), torch.rand(()).item()) for indices, noise in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_from_any_position_and_for_any_number_of_workers(workers):
    loader = Batches(Rows(10), batch_size=3, shuffle=True, num_workers=workers, seed=1)
    whole = drawn(Batches(Rows(10), batch_size=3, shuffle=True, num_workers=0, seed=1), epoch=4)
    assert sorted(index for indices, _, _ in whole for index in indices) == list(range(10))
    assert drawn(loader, epoch=4) == whole
    assert drawn(loader, epoch=4, first=2) == whole[2:]
    assert drawn(loader, epoch=5) != whole


@pytest.mark.parametrize(("samples", "size"), [(10, 4), (9, 4), (3, 4), (4, 4), (13, 4)])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_each_batch_and_see_every_sample_once(monkeypatch, samples, size, processes):
    parts = []
    for process in range(processes):
        monkeypatch.setattr(batches, "rank_and_world_size", lambda process=process: (process, processes))
        loader = Batches(Rows(samples), batch_size=size, shuffle=True, num_workers=0, seed=0)
        parts.append([indices for indices, _, _ in drawn(loader)])
        assert len(parts[-1]) == len(loader)
    assert sorted(index for part in parts for indices in part for index in indices) == list(range(samples))
    assert all(len(indices) >= 1 for part in parts for indices in part)


@dataclass
class Sample:
    name: list
    picture: torch.Tensor


PICTURES = torch.zeros(5, 3)


@pytest.mark.parametrize(
    "batch",
    [
        PICTURES,
        [PICTURES, torch.zeros(2)],
        {"names": ["a", "b"], "scale": torch.tensor(2.0), "inner": (PICTURES,)},
        Sample(["a", "b"], PICTURES),
    ],
    ids=["tensor", "pair", "dict", "dataclass"],
)
def test_samples_of_any_batch_are_counted(batch):
    assert count_samples(batch) == 5


def test_batch_without_tensors_is_refused():
    with pytest.raises(RunError, match="no tensor"):
        count_samples({"names": ["a", "b"], "scale": torch.tensor(2.0)})
