"""Kill sweeps at random moments, let each go on, and compare the end with that of a sweep nobody touched.

    python sweep_kills.py SEED KILLS WHO...

WHO is what is killed: sweep (its process alone), trial (the process that trains), server (the one that the trials are
forked from), all of them at once as by a power cut, or mixed. Runs in the folder of a baked project with
task=vision, in its environment. Prints a line for each WHO.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import optuna
import torch
from processes_below import children

SWEEP = """
metric: val/loss
direction: minimize
trials: 5
pruner: {name: MedianPruner, n_startup_trials: 2}
fixed:
  trainer.max_epochs: 3
  trainer.limit_train_batches: 12
  last_checkpoint.every_n_steps: 5
search:
  model.optimizer.class_path: {choice: [torch.optim.AdamW, torch.optim.SGD]}
  model.optimizer.init_args.lr: {float: [1e-4, 1e-1], log: true}
  model.optimizer.init_args.momentum: {float: [0.0, 0.95], when: {model.optimizer.class_path: torch.optim.SGD}}
  model.network.width: {int: [4, 16], step: 4}
"""
KINDS = ("sweep", "trial", "server", "all")


def start(name):
    command = [sys.executable, "-m", "lit_project", "sweep", "kills.yaml", "--run", name]
    with open(f"{name}.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def kill(sweep, kind):
    below = children(sweep.pid)
    victims = {"sweep": [sweep.pid], "server": below[:1], "trial": below[1:2], "all": [sweep.pid, *below]}[kind]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return len(victims)


def wait_for_trial(name, number, sweep):
    """Wait until a trial has begun to train, or the sweep has ended."""
    lock = Path("runs", name, f"{number:03}", "metrics.csv")
    while not lock.exists() and sweep.poll() is None:
        time.sleep(0.01)


def survive(name, who, kills, draw):
    """Run a sweep that is killed so often, each time while another trial is under way; how often it was."""
    killed = 0
    sweep = start(name)
    while killed < kills:
        kind = draw.choice(KINDS) if who == "mixed" else who
        wait_for_trial(name, killed + 1, sweep)
        time.sleep(draw.random())
        if sweep.poll() is not None:
            break
        killed += bool(kill(sweep, kind))
        if kind in ("sweep", "all"):
            sweep.wait()
            sweep = start(name)
    if sweep.wait():
        # Its server was killed while it looked at the settings, which it says: the same command goes on.
        sweep = start(name)
        assert sweep.wait() == 0, Path(f"{name}.log").read_text()
    return killed


def trials(name):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(f"runs/{name}/study.journal")
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    return [(one.number, one.state.name, one.values, one.params, one.intermediate_values) for one in study.trials]


def differing(one, other):
    """What two sweeps differ in; nothing if they are the same to the last bit."""
    if trials(one) != trials(other):
        return ["trials"]
    found = []
    for number, *_ in trials(one):
        runs = [Path("runs", name, f"{number:03}") for name in (one, other)]
        for file in ("best.ckpt", "last.ckpt"):
            states = [torch.load(run / "checkpoints" / file, weights_only=True)["state_dict"] for run in runs]
            if not all(torch.equal(states[0][key], states[1][key]) for key in states[0]):
                found.append(f"{number} {file}")
        if runs[0].joinpath("metrics.csv").read_bytes() != runs[1].joinpath("metrics.csv").read_bytes():
            found.append(f"{number} metrics.csv")
    return found


def main(seed, kills, *whos):
    Path("kills.yaml").write_text(SWEEP)
    calm = start("calm")
    assert calm.wait() == 0, Path("calm.log").read_text()
    states = [state for _, state, *_ in trials("calm")]
    failed = []
    for who in whos:
        draw = random.Random(f"{seed} {who}")
        shutil.rmtree(f"runs/{who}", ignore_errors=True)
        killed = survive(who, who, kills, draw)
        found = differing("calm", who)
        print(f"{who}: {killed} kills, {json.dumps(found or 'the same')}", flush=True)
        failed += [who] if found else []
    print(f"seed {seed}, trials {states}, not the same: {failed or 'none'}")
    return not failed


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
