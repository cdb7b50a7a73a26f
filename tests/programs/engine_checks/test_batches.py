"""Batches: the same from anywhere, for any number of workers, and shared out among all processes."""

import random
from dataclasses import dataclass

import numpy
import pytest
import torch
from lit_project.engine.errors import RunError
from lit_project.engine.training import batches, random_streams
from lit_project.engine.training.batches import Batches
from lit_project.engine.training.random_streams import batch_generator
from lit_project.engine.training.samples import count_samples, same


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


def balanced(epoch, generator):
    """Three of the first five samples, and three of the others."""
    return torch.cat([torch.randperm(5, generator=generator)[:3], 5 + torch.randperm(5, generator=generator)[:3]])


@pytest.mark.parametrize("workers", [0, 2])
def test_order_of_a_teams_own_is_exact_from_any_position(workers):
    loader = Batches(Rows(10), batch_size=2, num_workers=workers, seed=1, order=balanced)
    whole = drawn(Batches(Rows(10), batch_size=2, seed=1, order=balanced), epoch=4)
    assert [index < 5 for indices, _, _ in whole for index in indices] == [True] * 3 + [False] * 3
    assert drawn(loader, epoch=4) == whole
    assert drawn(loader, epoch=4, first=1) == whole[1:]
    assert drawn(loader, epoch=5) != whole


def test_order_that_draws_from_other_generators_is_exact_too():
    loader = Batches(Rows(10), batch_size=2, order=lambda epoch, generator: random.sample(range(10), 4))
    whole = drawn(loader, epoch=1)
    random.random()
    assert drawn(loader, epoch=1) == whole


def test_order_of_another_length_is_refused():
    loader = Batches(Rows(10), batch_size=2, order=lambda epoch, generator: range(4 + epoch))
    assert len(loader) == 2
    with pytest.raises(RunError, match="order gives 5 samples in epoch 1, and gave 4 before"):
        drawn(loader, epoch=1)


def test_options_of_the_loader_are_kept_or_refused():
    loader = Batches(Rows(7), batch_size=3, drop_last=True, collate_fn=lambda rows: [int(row[0]) for row in rows])
    assert list(loader) == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(RunError, match="sampler is decided by"):
        Batches(Rows(7), batch_size=3, sampler=[1, 2])
    with pytest.raises(RunError, match="leaves no batch"):
        len(Batches(Rows(2), batch_size=3, drop_last=True))
    with pytest.raises(RunError, match="both shuffle and an order"):
        Batches(Rows(7), 3, shuffle=True, order=balanced)


def test_passes_within_an_epoch_have_orders_of_their_own():
    loader = Batches(Rows(10), batch_size=3, shuffle=True, seed=1)
    first, second = ([batch[0].tolist() for batch in loader] for _ in range(2))
    assert first != second
    assert sorted(index for indices in second for index in indices) == list(range(10))
    loader.load_state_dict({"lap": 1, "first": 2, "batches": 4})
    assert [batch[0].tolist() for batch in loader] == second[2:]
    loader.batch_sampler.set_epoch(0)
    assert [batch[0].tolist() for batch in loader] == first


class Noisy(Rows):
    """Draws from a generator that is seeded for the batch."""

    def __getitem__(self, index):
        return torch.tensor(float(index)), torch.tensor(batch_generator().random())


class Careless(Rows):
    """Draws from numpy's recommended generator, of which each worker has its own."""

    def __getitem__(self, index):
        return torch.tensor(float(index)), numpy.random.default_rng().random()


def test_generator_of_a_batch_is_the_same_for_any_number_of_workers():
    whole = drawn(Batches(Noisy(10), batch_size=3, shuffle=True, num_workers=0, seed=1))
    assert len({number for _, noise, _ in whole for number in noise}) == 10
    assert drawn(Batches(Noisy(10), batch_size=3, shuffle=True, num_workers=2, seed=1)) == whole


def test_generator_of_a_batch_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(random_streams, "_seed", None)
    with pytest.raises(RunError, match="outside of a batch"):
        batch_generator()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("dataset", "lines"), [(Careless, 1), (Noisy, 0), (Rows, 0)])
def test_dataset_that_does_not_repeat_is_told_once(capfd, workers, dataset, lines):
    loader = Batches(dataset(10), batch_size=3, num_workers=workers)
    loader.check_repeat()
    list(loader)
    list(loader)
    assert capfd.readouterr().err.count(f"{dataset.__name__} gives other samples") == lines


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]), True),
        ({"x": [numpy.array([1, 2])]}, {"x": [numpy.array([1, 3])]}, False),
        ((1, "a", None), (1, "a", None), True),
        ((1, "a"), (1, "b"), False),
        (torch.zeros(2), torch.zeros(3), False),
        ([1], [1, 2], False),
    ],
)
def test_samples_are_compared_in_any_structure(one, other, equal):
    assert same(one, other) == equal


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
