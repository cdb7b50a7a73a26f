"""A process that runs one command after the other, as a script or a notebook does, finds itself unchanged."""

import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lit_project import load, newest_run
from lit_project.__main__ import main
from lit_project.engine.command import other_processes
from lit_project.engine.errors import RunError
from lit_project.model import Model
from lit_project.network import Network


def process():
    """What a command may have changed."""
    lightning = ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda")
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "words": list(sys.argv),
        "handlers": [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        "hook": sys.excepthook,
        "messages": [list(logging.getLogger(name).filters) for name in lightning],
        "warnings": list(warnings.filters),
        "streams": (sys.stdout, sys.stderr),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "dtype": torch.get_default_dtype(),
        "products": torch.get_float32_matmul_precision(),
        "others": torch.distributed.is_initialized(),
    }


SWITCHES = ["--trainer.deterministic=true", "--trainer.benchmark=true", "--seed_everything=3"]


class Careless(pl.Callback):
    """Changes what a callback should rather leave alone."""

    def on_train_start(self, trainer, pl_module):
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        os.environ["CARELESS"] = "1"
        os.chdir("/")
        sys.excepthook = print
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def on_train_batch_start(self, *_):
        torch.set_default_dtype(torch.float32)


def test_commands_leave_the_process_as_it_was(short, tmp_path):
    runs = f"--runs={tmp_path / 'runs'}"
    before = process()
    main(["fit", "--run=one", runs, *SWITCHES, *short], callbacks=[Careless()])
    assert process() == before
    for words in (["test", *SWITCHES], ["predict"], ["validate"]):
        main([*words, runs, *short])
        assert process() == before, words
    main(["memory", "--devices", "1"])
    main(["export", runs, "--format", "safetensors"])
    assert process() == before


@pytest.mark.parametrize("words", [["fit", "--no.such=1"], ["fit", "--trainer.max_epochs=x"], ["test", "--run=none"]])
def test_refused_commands_do_too(refused, words):
    before = process()
    refused(*words)
    assert process() | {"streams": ()} == before | {"streams": ()}


def test_failed_and_stopped_trainings_do_too(short, stop_at):
    class Failing(pl.Callback):
        def on_train_batch_end(self, *_):
            raise ValueError("mine")

    before = process()
    with pytest.raises(ValueError, match="mine"):
        main(["fit", "--run=failed", *SWITCHES, *short], callbacks=[Failing()])
    assert process() == before
    stop_at(2)
    before = process()
    with pytest.raises(SystemExit):
        main(["fit", "--run=stopped", *SWITCHES, *short])
    assert process() == before


def test_training_does_not_depend_on_those_before_it(short):
    main(["fit", "--run=alone", *short])
    main(["fit", "--run=other", *SWITCHES, *short])
    torch.rand(7)
    main(["fit", "--run=again", *short])
    alone, again = (torch.load(f"runs/{name}/checkpoints/last.ckpt")["state_dict"] for name in ("alone", "again"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in alone.items())


def test_command_runs_in_another_thread(short):
    thread = threading.Thread(target=main, args=(["fit", "--run=one", *short],))
    thread.start()
    thread.join()
    assert newest_run().name == "one"


def test_other_processes_run_the_command_alone_unless_there_are_callbacks(monkeypatch):
    class Project:
        package, callbacks = "lit_project", ()

    command = other_processes.to_start(Project, ["fit", "--run=one"])
    assert command(lambda: ["script"])[1::2] == ["-c", "fit"]
    Project.callbacks = [pl.Callback()]
    assert command(lambda: ["script"]) == ["script"]
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(RunError, match="only from a script"):
        command(lambda: ["script"])


def test_started_process_takes_part_in_its_own_call_alone(monkeypatch, short):
    monkeypatch.setattr(other_processes, "calls", iter([1, 2, 3]))
    monkeypatch.setenv("LIT_PROJECT_CALL", "2")
    main(["fit", "--run=first", *short])  # the first process has trained it
    assert not os.path.exists("runs")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--run=second", *short])
    assert ended.value.code is None
    assert newest_run().name == "second"
    with pytest.raises(SystemExit):
        main(["fit", "--run=third", *short])
    assert not os.path.exists("runs/third")


def test_newest_run_is_found_and_missed_in_one_line(short):
    with pytest.raises(RunError, match="there is no run yet in ") as missed:
        newest_run()
    (line, hint) = missed.value._render_traceback_()  # what a notebook shows
    assert line.startswith("error: there is no run")
    assert hint == "try: lit-project fit"
    for name in ("one", "two"):
        main(["fit", f"--run={name}", *short])
    assert newest_run().name == "two"
    assert load(newest_run()).data.batch_size == 8


def test_checkpoint_is_loaded_with_a_network_of_the_caller_s_and_without(short, tmp_path, monkeypatch):
    main(["fit", "--run=one", *short])
    path = (tmp_path / "runs/one/checkpoints/best.ckpt").absolute()
    monkeypatch.chdir("/")
    saved = torch.load(path, weights_only=True)
    network = Network(**saved["hyper_parameters"]["network"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in ({}, {"network": network}, {"network": network, "lr_factors": {"network": 0.5}}):
            model = Model.load_from_checkpoint(path, **given)
            assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in saved["state_dict"].items())
            assert (model.network is network) == bool(given)
            assert model.lr_factors == given.get("lr_factors")
            assert model.optimizer.keywords["lr"] == saved["hyper_parameters"]["optimizer"]["init_args"]["lr"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("none.ckpt", "no checkpoint"), ("bad.ckpt", "damaged"), ("https://a/b.ckpt", "address"), (".", "damaged")],
)
def test_what_is_no_checkpoint_is_told_in_one_line(tmp_path, name, told):
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match=told):
        Model.load_from_checkpoint(name)
