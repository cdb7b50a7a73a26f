"""Stream: the same batches from anywhere, for any number of workers and processes."""

import random
import time

import pytest
import pytorch_lightning as pl
import torch
from lit_project.data import DataModule
from lit_project.engine.errors import RunError
from lit_project.engine.training import stream
from lit_project.engine.training.callbacks import SameBatches
from lit_project.engine.training.random_streams import batch_generator
from lit_project.engine.training.stream import Stream

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Shuffled:
    """Numbers in a random order; each pass has another."""

    def __init__(self, length=10):
        self.length = length

    def __iter__(self):
        numbers = list(range(self.length))
        while numbers:
            yield numbers.pop(random.randrange(len(numbers)))


def blurred(number):
    return torch.tensor([number, random.random(), torch.rand(()), batch_generator().random()])


def drawn(loader, batches, first=0):
    """Batches of a stream with what is drawn when they are used, from a position on."""
    loader.load_state_dict({"first": 0, "given": first, "batches": len(loader), "parts": loader.parts})
    return [(batch.tolist(), random.random()) for _, batch in zip(range(batches), loader, strict=False)]


def streamed(samples, workers=0, **options):
    return Stream(samples, batch_size=3, batches_per_epoch=20, num_workers=workers, seed=1, **options)


@pytest.fixture(scope="module")
def whole():
    return drawn(streamed(Shuffled(), prepare=blurred), 8)


def test_stream_gives_each_sample_once_in_a_pass_and_another_order_in_the_next(whole):
    numbers = [row[0] for batch, _ in whole for row in batch]
    assert sorted(numbers[:10]) == sorted(numbers[10:20]) == list(range(10))
    assert numbers[:10] != numbers[10:20]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_stream_is_the_same_from_any_position_and_for_any_number_of_workers(whole, workers, first):
    assert drawn(streamed(Shuffled(), workers, prepare=blurred), 8 - first, first) == whole[first:]


def test_stream_runs_on_over_epochs_and_begins_anew_where_it_is_to(whole):
    loader = Stream(Shuffled(), batch_size=3, batches_per_epoch=2, seed=1, prepare=blurred)
    assert [batch.tolist() for _ in range(4) for batch in loader] == [batch for batch, _ in whole]
    loader = Stream(Shuffled(), batch_size=3, batches_per_epoch=2, seed=1, prepare=blurred, restart=True)
    assert [batch.tolist() for batch in loader] == [batch.tolist() for batch in loader]
    loader.load_state_dict({"first": 1, "given": 3, "batches": 2, "parts": 1})
    assert [batch.tolist() for batch in loader] == [whole[1][0]]


class Seeing(pl.LightningModule):
    """Keeps the batches that it is given."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.tolist())

    def configure_optimizers(self):
        return None


@pytest.mark.filterwarnings("ignore")
def test_overfitting_sees_the_same_batch_in_each_epoch(whole):
    model = Seeing()
    trainer = pl.Trainer(overfit_batches=1, max_epochs=3, callbacks=[SameBatches()], **QUIET)
    trainer.fit(model, streamed(Shuffled(), prepare=blurred))
    assert model.seen == [whole[0][0]] * 3


def test_processes_share_each_batch(monkeypatch):
    single = [batch for batch, _ in drawn(streamed(Shuffled()), 7)]
    parts = []
    for process in range(2):
        monkeypatch.setattr(stream, "rank_and_world_size", lambda process=process: (process, 2))
        parts.append([batch for batch, _ in drawn(streamed(Shuffled()), 7)])
    assert [[one[0], other[0], one[1]] for one, other in zip(*parts, strict=True)] == single


class Parted(Shuffled):
    def part(self, number, count):
        return range(number, 24, count)


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_are_read_by_one_worker_each(monkeypatch, workers):
    numbers = []
    for process in range(2):
        monkeypatch.setattr(stream, "rank_and_world_size", lambda process=process: (process, 2))
        loader = Stream(Parted(), batch_size=4, batches_per_epoch=6, num_workers=workers)
        whole = drawn(loader, 6)
        assert drawn(Stream(Parted(), batch_size=4, batches_per_epoch=6, num_workers=workers), 3, 3) == whole[3:]
        numbers += [number for batch, _ in whole for number in batch]
    assert sorted(numbers) == list(range(24))


def test_parts_cannot_become_others():
    saved = Stream(Parted(), batch_size=4, batches_per_epoch=6, num_workers=2).state_dict()
    with pytest.raises(RunError, match="was read in 2 parts"):
        Stream(Parted(), batch_size=4, batches_per_epoch=6).load_state_dict(saved)


class Seekable:
    """Counts what is read."""

    def __init__(self, length=None):
        self.read = []
        if length:
            self.length = length

    def iter_from(self, number):
        for index in range(number, getattr(self, "length", number + 100)):
            self.read.append(index)
            yield index


class SeekableWithLength(Seekable):
    def __len__(self):
        return self.length


def test_stream_that_can_seek_reads_nothing_again(capfd):
    samples = Seekable()
    assert [batch for batch, _ in drawn(streamed(samples), 2, first=4)] == [[12, 13, 14], [15, 16, 17]]
    assert samples.read[0] == 12
    samples = SeekableWithLength(10)
    assert [batch for batch, _ in drawn(streamed(samples), 2, first=5)] == [[5, 6, 7], [8, 9, 0]]
    assert samples.read == [5, 6, 7, 8, 9, 0]
    assert "again" not in capfd.readouterr().err
    drawn(streamed(Shuffled()), 1, first=4)
    assert "Reads 12 samples of the stream again" in capfd.readouterr().err


def test_end_of_seekable_samples_without_a_length_is_told():
    with pytest.raises(RunError, match="no samples from number 15 on") as error:
        drawn(streamed(Seekable(10)), 1, first=5)
    assert "__len__" in error.value.hint


@pytest.mark.parametrize(("samples", "words"), [(iter([1]), "only once"), ([], "no samples")])
def test_what_cannot_be_read_again_is_refused(samples, words):
    with pytest.raises(RunError, match=words):
        drawn(streamed(samples), 1)


def test_library_that_shares_out_by_worker_is_given_no_worker():
    class Dividing(torch.utils.data.IterableDataset):
        def __iter__(self):
            worker = torch.utils.data.get_worker_info()
            yield from range(worker.id if worker else 0, 9, worker.num_workers if worker else 1)

    assert [batch for batch, _ in drawn(streamed(Dividing(), 2), 2)] == [[0, 1, 2], [3, 4, 5]]


class ByTheClock(Shuffled):
    def __iter__(self):
        yield from random.Random(time.perf_counter()).sample(range(1000), self.length)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("samples", "lines"), [(ByTheClock(), 1), (Shuffled(), 0)])
def test_samples_that_do_not_repeat_are_told_once(whole, capfd, workers, samples, lines):
    loader = streamed(samples, workers, prepare=blurred)
    loader.check_repeat()
    batches = drawn(loader, 8)
    assert capfd.readouterr().err.count(f"{type(samples).__name__} gives other samples") == lines
    assert lines or batches == whole


def test_error_in_a_worker_is_one_line(short, refused, monkeypatch):
    monkeypatch.setattr(DataModule, "train_dataloader", lambda self: Stream([], 8, batches_per_epoch=3, num_workers=1))
    assert refused("fit", "--run", "one", *short) == "lit-project: error: list gives no samples from number 0 on"


@pytest.mark.parametrize("samples", [Seekable(100), Parted()])
def test_what_is_read_in_its_own_way_is_checked_in_that_way(capfd, samples):
    loader = streamed(samples)
    loader.check_repeat()
    assert len(drawn(loader, 2)) == 2
    assert "gives other samples" not in capfd.readouterr().err
