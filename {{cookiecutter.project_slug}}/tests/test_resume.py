"""A run survives: stopped anywhere and started again, it ends as if nothing had happened."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import SHORT, last, same

from {{ cookiecutter.__package }} import batches, objective, resume
from {{ cookiecutter.__package }}.batches import Batches
from {{ cookiecutter.__package }}.cli import CLI, main
from {{ cookiecutter.__package }}.resume import LastCheckpoint

EMA = '--trainer.callbacks+={"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.9}}'


def metrics(run):
    return Path("runs", run, "metrics.csv").read_text()


@pytest.fixture
def small(short):
    """Two epochs of three batches, for every task."""
    return [*short, "--data.batch_size=8"]


@pytest.fixture
def stop(monkeypatch):
    """Have this process get a signal when a training begins its batch of the given number, counted from 0."""

    def stop_at(number, signum=signal.SIGINT):
        seen = []
        begin = LastCheckpoint.on_train_batch_start

        def counted(self, trainer, *arguments):
            seen.append(trainer.global_step)
            if len(seen) == number + 1:
                os.kill(os.getpid(), signum)
            begin(self, trainer, *arguments)

        monkeypatch.setattr(LastCheckpoint, "on_train_batch_start", counted)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background would not get it
    yield stop_at
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("batch", "signum", "extra", "again"),
    [
        (1, signal.SIGINT, [], True),  # in the first epoch
        (3, signal.SIGTERM, [], False),  # between two epochs; goes on with the settings that the run has kept
        (4, signal.SIGINT, [EMA], True),
    ],
    ids=["batch", "epoch", "averaged"],
)
def test_stopped_run_ends_with_the_same_weights_and_metrics(small, stop, capsys, batch, signum, extra, again):
    main(["fit", "--run", "untouched", *small, *extra])
    stop(batch, signum)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "stopped", *small, *extra])
    assert stopped.value.code == 128 + signum
    assert "fit --run stopped" in capsys.readouterr().out
    main(["fit", "--run", "stopped", *((*small, *extra) if again else ())])
    assert same(last("untouched")["state_dict"], last("stopped")["state_dict"])
    assert same(last("untouched")["optimizer_states"], last("stopped")["optimizer_states"])
    assert metrics("untouched") == metrics("stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        main(["fit", "--run", "one", *SHORT, "--trainer.logger=false"])
        return Path("runs").resolve()


@pytest.fixture
def trained(trained_once, workplace):
    """A finished run, runs/one."""
    shutil.copytree(trained_once, workplace / "runs")


def test_training_goes_on_from_another_run_in_a_new_folder(trained, short):
    short.append("--trainer.logger=false")
    cli = CLI(["fit", "--run", "two", "--ckpt_path", "last", *short, "--trainer.max_epochs=3"])
    assert cli.trainer.current_epoch == 3
    assert cli.trainer.global_step == 3 * min(3, cli.trainer.num_training_batches)


def test_finished_run_says_so_and_is_left_alone(trained, short, capsys):
    before = Path("runs/one/checkpoints/last.ckpt").read_bytes()
    main(["fit", "--run", "one", *short, "--seed_everything=7"])
    assert "run one is finished" in capsys.readouterr().out
    main(["fit", "--run", "one", "--fresh", *short, "--trainer.logger=false"])
    assert Path("runs/one/checkpoints/last.ckpt").read_bytes() == before
    assert Path("runs/one-2/checkpoints/last.ckpt").is_file()


def test_loss_that_is_no_number_stops_with_its_place(trained, short, monkeypatch, capfd):
    monkeypatch.setattr(objective, "loss", lambda outputs, targets: outputs.float().sum() * float("nan"))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "two", "--ckpt_path", "last", *short, "--trainer.logger=false", "--trainer.max_epochs=3"])
    assert stopped.value.code == 2
    assert "the loss is nan at step" in capfd.readouterr().err


def test_checkpoint_of_another_model_is_refused_with_the_first_difference(trained, capfd):
    checkpoint = last("one")
    name = next(iter(checkpoint["state_dict"]))
    checkpoint["state_dict"]["other"] = checkpoint["state_dict"].pop(name)
    torch.save(checkpoint, "other.ckpt")
    with pytest.raises(SystemExit) as stopped:
        main(["test", "--run", "one", "--ckpt_path", "other.ckpt"])
    assert stopped.value.code == 2
    assert f"of another model: {name} is missing in it" in capfd.readouterr().err


def test_torn_checkpoint_is_refused(trained, capfd):
    path = Path("runs/one/checkpoints/last.ckpt")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SystemExit) as stopped:
        main(["test", "--ckpt_path", "last"])
    assert stopped.value.code == 2
    assert "the file is damaged or no checkpoint" in capfd.readouterr().err


def test_other_batches_are_refused_before_anything_is_changed(small, stop, capfd):
    small.append("--trainer.limit_train_batches=1.0")
    stop(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *small])
    before = Path("runs/one/config.yaml").read_text()
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "one", "--data.batch_size=4"])
    assert stopped.value.code == 2
    assert "data.batch_size" in capfd.readouterr().err
    assert Path("runs/one/config.yaml").read_text() == before


def test_other_number_of_processes_goes_on_and_says_what_changes(small, stop, capfd):
    stop(2)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "one", *small])
    checkpoint = last("one")
    checkpoint["resume"]["processes"] = 2
    torch.save(checkpoint, "runs/one/checkpoints/last.ckpt")
    main(["fit", "--run", "one"])
    assert "Saved by 2 processes, goes on with 1: batches stay the same" in capfd.readouterr().err
    assert last("one")["resume"]["finished"]


class Rows(torch.utils.data.Dataset):
    """Each row is its own index, and a random number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.tensor(float(index)), torch.rand(())


def drawn(loader, epoch=0, first=0):
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
        monkeypatch.setattr(batches, "place", lambda process=process: (process, processes))
        loader = Batches(Rows(samples), batch_size=size, shuffle=True, num_workers=0, seed=0)
        parts.append([indices for indices, _, _ in drawn(loader)])
        assert len(parts[-1]) == len(loader)
    assert sorted(index for part in parts for indices in part for index in indices) == list(range(samples))
    assert all(len(indices) >= 1 for part in parts for indices in part)


def test_second_signal_is_not_kept_waiting(monkeypatch):
    sent = []
    monkeypatch.setattr(resume.os, "kill", lambda process, signum: sent.append(signum))
    monkeypatch.setattr(resume.signal, "signal", lambda signum, handler: handler)
    callback = LastCheckpoint()
    callback._note(signal.SIGINT, None)
    assert not sent
    callback._note(signal.SIGINT, None)
    assert sent == [signal.SIGINT]
