"""Resuming: signals, and another number of processes."""

import signal

import pytest
import torch
from conftest import last
from lit_project.__main__ import main
from lit_project.engine.training import signals


def test_second_signal_is_not_kept_waiting(monkeypatch):
    sent = []
    monkeypatch.setattr(signals.os, "kill", lambda process, signum: sent.append(signum))
    monkeypatch.setattr(signals.signal, "signal", lambda signum, handler: handler)
    watch = signals.SignalWatch()
    watch._receive(signal.SIGINT, None)
    assert watch.received == signal.SIGINT
    assert not sent
    watch._receive(signal.SIGINT, None)
    assert sent == [signal.SIGINT]


def test_other_number_of_processes_goes_on_and_says_what_changes(short, stop_at, capfd):
    stop_at(2)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--run", "one", *short])
    assert stopped.value.code == 128 + signal.SIGINT
    checkpoint = last("one")
    checkpoint["resume"]["processes"] = 2
    torch.save(checkpoint, "runs/one/checkpoints/last.ckpt")
    main(["fit", "--run", "one"])
    assert "Saved by 2 processes, goes on with 1: batches stay the same" in capfd.readouterr().err
    assert last("one")["resume"]["finished"]
