"""Sweeps: what is searched, what is refused, and what becomes of trials that fail, are pruned or are killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from lit_project.__main__ import main
from lit_project.engine.command import assigned
from lit_project.engine.errors import RunError
from lit_project.engine.search import endings, replica, space, storage, sweep_file, trials
from lit_project.engine.search.storage import JOURNAL, open_storage
from lit_project.engine.search.told import short_names

NAME = "lit-project"
LR = "model.optimizer.init_args.lr"
WIDTH = "model.network.width"
FIXED = {"trainer.max_epochs": 2, "trainer.limit_train_batches": 12, "last_checkpoint.every_n_steps": 4}
BASE = {"metric": "val/loss", "direction": "minimize", "trials": 2, "fixed": FIXED}
SEARCH = {"search": {LR: {"float": [0.001, 0.01], "log": True}}}
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


def written(**settings):
    Path("mine.yaml").write_text(yaml.safe_dump({**BASE, **SEARCH, **settings}, sort_keys=False))
    return "mine.yaml"


def started(*args):
    command = [sys.executable, "-m", "lit_project", "sweep", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def swept(*args, code=0):
    """What a sweep prints."""
    process = started(*args)
    printed = process.communicate()[0]
    assert process.returncode == code, printed
    return printed


def study(name="mine"):
    return optuna.load_study(study_name=f"lit_project/{name}", storage=open_storage(None, Path("runs", name)))


def states(name="mine"):
    return [trial.state.name for trial in study(name).trials]


# By what is wrong: settings of the file, and what has to be told.
MISTAKES = {
    "key": ({"serch": {}}, "there is no setting 'serch'. Did you mean search?"),
    "metric": ({"metric": None}, "metric is None"),
    "direction": ({"direction": "min"}, "must be minimize or maximize"),
    "trials": ({"trials": 0}, "trials is 0, and must be a whole number, at least 1"),
    "hours": ({"hours": -1}, "hours is -1"),
    "pruner": ({"pruner": "MedianPrunr"}, "there is no pruner 'MedianPrunr'. Did you mean MedianPruner?"),
    "setting of a pruner": ({"pruner": {"name": "MedianPruner", "n_warmup": 1}}, "Did you mean n_warmup_steps?"),
    "its type": ({"pruner": {"name": "MedianPruner", "n_warmup_steps": "x"}}, "n_warmup_steps: Expected a"),
    "missing one": ({"pruner": {"name": "PercentilePruner"}}, "pruner PercentilePruner: "),
    "sampler": ({"sampler": "TPE"}, "there is no sampler 'TPE'. Did you mean TPESampler?"),
    "nothing": ({"search": {}}, "search: names no setting"),
    "empty": ({"search": {LR: {"float": [0.1, 0.1]}}}, "nothing lies between 0.1 and 0.1"),
    "reversed": ({"search": {LR: {"float": [0.2, 0.1]}}}, "try: [0.1, 0.2]"),
    "log from 0": ({"search": {LR: {"float": [0, 1], "log": True}}}, "with log it must begin above 0"),
    "text": ({"search": {LR: {"float": ["low", 1]}}}, "'low' is no number"),
    "infinity": ({"search": {LR: {"float": [0, float("inf")]}}}, "inf is no number"),
    "no whole number": ({"search": {WIDTH: {"int": [1.5, 4]}}}, "1.5 is no whole number"),
    "step": ({"search": {WIDTH: {"int": [4, 8], "step": 5}}}, "step is 5, and must be above 0 and at most 4"),
    "log and step": ({"search": {WIDTH: {"int": [4, 8], "step": 2, "log": True}}}, "has log and step"),
    "two kinds": ({"search": {WIDTH: {"int": [4, 8], "float": [4, 8]}}}, "got float and int"),
    "word": ({"search": {WIDTH: {"int": [4, 8], "lgo": True}}}, "Did you mean log?"),
    "no choice": ({"search": {WIDTH: {"choice": []}}}, "choice is [], and must be a list of values"),
    "choice twice": ({"search": {WIDTH: {"choice": [4, 4]}}}, "has the choice 4 twice"),
    "condition": (
        {"search": {WIDTH: {"int": [4, 8], "when": {"model.x": 1}}}},
        "no choice that stands before 'model.x'",
    ),
    "fixed too": ({"fixed": {LR: 0.1}}, f"{LR} is fixed, and searched"),
    "run": ({"fixed": {"run": "one"}}, "run is no setting of a trial"),
    "preset": ({"presets": {"a": 1}}, "must be a list of names"),
    "sampler's search": ({"sampler": "BruteForceSampler"}, "sampler BruteForceSampler: FloatDistribution.step must be"),
    "grid": ({"sampler": "GridSampler"}, "has no end of values"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_file_is_one_line(mistake, refused):
    settings, line = MISTAKES[mistake]
    assert line in refused("sweep", written(**settings))
    assert not Path("runs").exists()


def test_mistakes_on_the_command_line_are_one_line(refused):
    assert "sweep needs a file" in refused("sweep")
    assert "there is no file tun, and there is no sweep 'tun'. Did you mean tune?" in refused("sweep", "tun")
    assert "--workers is 0" in refused("sweep", written(), "--workers", "0")
    assert "takes no --fresh" in refused("sweep", written(), "--fresh")
    assert f"{LR} is fixed, and searched" in refused("sweep", written(), f"--{LR}=0.1")


def test_setting_or_metric_that_trials_cannot_have_is_told_before_the_first_one(refused):
    unknown = written(search={**SEARCH["search"], "model.network.widht": {"int": [4, 8]}})
    assert "Did you mean --model.network.width?" in refused("sweep", unknown)
    unlogged = refused("sweep", written(metric="val/los"))
    assert "there is no metric 'val/los'. Did you mean val/loss?" in unlogged
    assert not Path("runs").exists()


def test_missing_package_is_two_lines(monkeypatch, refused):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"sweep needs optuna, not installed here\n{NAME}: try: uv run --extra sweep" in refused("sweep", "tune")


def test_shipped_sweep_is_searched_by_its_name_and_its_best_trial_can_be_repeated_tested_and_compared():
    words = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=8", "--run=found"]
    file = yaml.safe_load(Path(main.__code__.co_filename).with_name("configs").joinpath("sweeps/tune.yaml").read_text())
    Path("mine.yaml").write_text(yaml.safe_dump({**file, "trials": 3}))
    printed = swept("mine.yaml", *words)
    assert states("found") == ["COMPLETE"] * 3
    assert max(map(len, printed.splitlines())) <= max(80, len(f"Sweep:       {Path.cwd()}/runs/found: ") + 60)
    best = study("found").best_trial.number
    assert f"{NAME} fit --config runs/found/{best:03}/config.yaml" in printed
    assert f"{NAME} test --run found/{best:03}" in printed
    main(["fit", "--config", f"runs/found/{best:03}/config.yaml", "--run", "again"])
    weights = [
        torch.load(f"runs/{run}/checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for run in (f"found/{best:03}", "again")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    main(["test", "--run", f"found/{best:03}"])
    assert Path(f"runs/found/{best:03}/test.json").is_file()
    assert swept("mine.yaml", *words).count("COMPLETE") == 0  # the table again, and no other trial
    assert len(states("found")) == 3


def test_trials_are_found_by_their_name_alone(refused):
    swept(written(trials=1))
    assert "there is no run yet" in refused("test")
    assert "mine is a sweep" in refused("test", "--run", "mine")
    assert "there is no run '009'" in refused("test", "--run", "mine/009")
    assert "cannot name a folder" in refused("test", "--run", "other/000")
    assert "mine has begun with other settings" in refused("sweep", written(direction="maximize"))
    Path("runs/mine", JOURNAL).unlink()
    assert "has trials, and their study is gone" in refused("sweep", written(trials=1))
    main(["predict", "--run", "mine/000"])


def test_trials_that_fail_are_recorded_with_their_lines_and_the_sweep_goes_on(monkeypatch):
    search = {LR: {"choice": [1e30, 0.01]}, WIDTH: {"choice": [8, 4_000_000]}}  # layers of a million gigabytes
    printed = " ".join(swept(written(search=search, sampler="GridSampler", trials=4)).split())
    assert sorted(states()) == ["COMPLETE", "FAIL", "FAIL", "FAIL"]
    reasons = [trial.user_attrs.get("error", "") for trial in study().trials]
    (diverged,) = [number for number, reason in enumerate(reasons) if reason.startswith("the loss is ")]
    assert f"{diverged:03} failed: the loss is " in printed
    larger = [f"{number:03}" for number, reason in enumerate(reasons) if "can't allocate memory: you tried" in reason]
    assert f"{larger[0]}, {larger[1]} failed: the model is larger than the memory: DefaultCPUAllocator: " in printed
    page = Path("runs/mine/report.html")
    assert f"Report: {page.resolve()}" in printed
    for text in (f"{larger[0]}, {larger[1]}", "the loss is ", "trials failed"):
        assert text in page.read_text()
    page.unlink()
    monkeypatch.setitem(sys.modules, "optuna", None)  # as where it is not installed
    main(["report", "mine"])
    assert "the loss is " in page.read_text()


@posix
def test_killed_trial_goes_on_three_times_and_then_has_failed():
    fixed = {**FIXED, "trainer.max_epochs": 300, "trainer.limit_train_batches": 20}
    process = started(written(trials=1, fixed=fixed))
    killed = set()
    while process.poll() is None:
        time.sleep(0.05)
        held, saved = Path("runs/mine/000/.lock"), Path("runs/mine/000/checkpoints/last.ckpt")
        holder = json.loads(held.read_text() or "{}").get("process") if held.exists() and saved.exists() else None
        if holder and holder not in killed and saved.stat().st_mtime > held.stat().st_mtime:
            killed.add(holder)
            os.kill(holder, signal.SIGKILL)
    printed = process.communicate()[0]
    assert printed.count("000 was killed, and goes on") == 3
    assert "killed 4 times, by SIGKILL at last" in printed
    assert len(killed) == 4
    assert Path("runs/mine/000/log.txt").read_text().count("Goes on from step") == 3


@posix
def test_sweep_that_is_asked_to_stop_saves_its_trial_and_goes_on_with_it():
    file = written(trials=2, fixed={**FIXED, "trainer.max_epochs": 4, "trainer.limit_train_batches": 40})
    process = started(file)
    while not Path("runs/mine/001/checkpoints/last.ckpt").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert "Stopped by SIGTERM; the same command goes on" in process.communicate()[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert states() == ["COMPLETE", "RUNNING"]
    assert "trial running" in Path("runs/mine/report.html").read_text()
    assert "1 trial there, 1 under way" in swept(file)
    assert states() == ["COMPLETE"] * 2
    assert "trial running" not in Path("runs/mine/report.html").read_text()
    assert "Goes on from step" in Path("runs/mine/001/log.txt").read_text()
    assert "killed" not in study().trials[1].user_attrs


# Holds the lock of a trial's run, as the process of a killed sweep may, and tells that it does.
HOLDER = """
import time
from pathlib import Path
from lit_project.engine.saving.lock import locked
with locked(Path("runs/mine/000")):
    print("holds", flush=True)
    time.sleep({seconds})
"""


@posix
@pytest.mark.parametrize(
    ("seconds", "patience", "code"), [(1, 30, 0), (60, 0.5, -signal.SIGKILL)], ids=["ends", "stays"]
)
def test_trial_waits_for_the_process_of_a_killed_sweep_and_ends_it_at_last(seconds, patience, code, monkeypatch):
    monkeypatch.setattr(assigned, "PATIENCE", patience)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER.format(seconds=seconds)], stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    assigned.wait_until_free(Path("runs/mine/000"))
    holder.communicate()
    assert holder.returncode == code


def test_two_workers_share_the_trials():
    printed = swept(written(trials=4), "--workers", "2")
    assert states() == ["COMPLETE"] * 4
    assert len({trial.params[LR] for trial in study().trials}) == 4
    assert "4 trials, 2 at a time" in printed


def test_pruner_stops_a_trial_of_two_processes_and_both_end():
    pruner = {"name": "ThresholdPruner", "upper": 0.0, "n_warmup_steps": 1}
    printed = swept(written(trials=1, presets=["ddp-cpu"], pruner=pruner, fixed={**FIXED, "trainer.max_epochs": 5}))
    assert states() == ["PRUNED"]
    assert "pruned at 2" in printed
    log = Path("runs/mine/000/log.txt").read_text()
    assert "2 x CPU" in log
    assert "Pruned at validation 2" in log
    assert "after 2 epochs" in log


def sweep_of(sampler="TPESampler", **settings):
    search = {
        "a": {"float": [1e-4, 1.0], "log": True},
        "b": {"int": [1, 9], "step": 2},
        "c": {"choice": ["x", "y"]},
        "d": {"float": [0.0, 1.0], "step": 0.25, "when": {"c": "y"}},
    }
    if sampler in ("GridSampler", "BruteForceSampler"):
        search = {"b": search["b"], "c": search["c"]}
    return sweep_file.read({**BASE, "sampler": sampler, "search": search, **settings}, [])


def run_trials(sweep, folder, count, forgets):
    """Draw so many trials, with a value that follows from them; return them. With `forgets`, as new processes would."""
    folder.mkdir(exist_ok=True)
    shared = trials.Trials(sweep, trials.open_study(sweep, "it", open_storage(None, folder)), folder)
    for number in range(count):
        if forgets:
            shared.lock.close()
            shared = trials.Trials(sweep, trials.open_study(sweep, "it", open_storage(None, folder)), folder)
            assert shared._begin() == number  # as a kill leaves it: a number without values
        claimed = shared.claim()
        assert claimed.number == number
        own = optuna.trial.Trial(shared.study, shared.all()[number]._trial_id)
        own.report(sum(value for value in own.params.values() if not isinstance(value, str)), 0)
        shared.end(number, 0, "")
    shared.lock.close()
    return [trial.params for trial in shared.all()]


SAMPLERS = ["TPESampler", "RandomSampler", "QMCSampler", "GridSampler", "NSGAIISampler", "BruteForceSampler"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_draw_the_same_after_a_restart_and_not_the_same_again_and_again(sampler, tmp_path):
    sweep = sweep_of(sampler, trials=10)
    drawn = run_trials(sweep, tmp_path / "calm", 10, forgets=False)
    assert drawn == run_trials(sweep, tmp_path / "killed", 10, forgets=True)
    assert len({str(params) for params in drawn}) >= 8


PRUNERS = [
    {"name": "MedianPruner", "n_startup_trials": 1},
    {"name": "SuccessiveHalvingPruner", "min_resource": 1},
    {"name": "HyperbandPruner", "max_resource": 8},
    {"name": "PatientPruner", "wrapped_pruner": {"name": "MedianPruner", "n_startup_trials": 1}, "patience": 1},
]


def decide_all(sweep, folder, goes_back):
    """Decide on all validations of some trials; with `goes_back`, each of them twice, as after a kill."""
    folder.mkdir()
    shared = trials.Trials(sweep, trials.open_study(sweep, "it", open_storage(None, folder)), folder)
    pruner = sweep.pruner_of()
    for number in range(6):
        shared.claim()
        own = optuna.trial.Trial(shared.study, shared.all()[number]._trial_id)
        decided = {"pruned": False}
        for step in range(8):
            values = [number * 7 % 5 + at / 10 for at in range(step + 1)]
            for at in range(max(0, step - 2), step + 1) if goes_back else [step]:
                decided = replica.decide(shared.study, pruner, number, at, values[at])
                assert not decided["pruned"] or at == step
            if decided["pruned"] or decided["trial"]:
                own.set_user_attr(replica.DECIDED, decided)
            own.report(values[step], step)
            if decided["pruned"]:
                break
        shared.end(number, 0, "")
    shared.lock.close()
    return [(trial.state.name, trial.intermediate_values) for trial in shared.all()]


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner["name"])
def test_pruners_decide_the_same_when_a_trial_goes_back_to_an_earlier_validation(pruner, tmp_path):
    sweep = sweep_of(pruner=pruner, trials=6)
    decided = decide_all(sweep, tmp_path / "calm", goes_back=False)
    assert "PRUNED" in {state for state, _ in decided}
    assert decided == decide_all(sweep, tmp_path / "killed", goes_back=True)


@pytest.mark.parametrize("torn", ['{"op_code": 4, "wor', "x" * 10_000])
def test_journal_survives_a_line_that_a_power_cut_has_torn(torn, tmp_path):
    for number in range(2):
        own = optuna.create_study(study_name="it", storage=open_storage(None, tmp_path), load_if_exists=True)
        own.ask()
        with (tmp_path / JOURNAL).open("a") as file:
            file.write(torn)
        assert len(own.trials) == number + 1


def test_worker_of_another_host_is_left_its_trial_while_it_lives(tmp_path):
    sweep = sweep_of(trials=2)
    one = trials.Trials(sweep, trials.open_study(sweep, "it", open_storage(None, tmp_path)), tmp_path)
    claimed = one.claim()
    begun = optuna.trial.Trial(one.study, one.all()[0]._trial_id)
    one.running.clear()
    begun.set_user_attr(trials.WORKER, "elsewhere-0")  # of which this folder knows nothing
    assert one.claim().number == 1
    (tmp_path / trials.WORKERS / "elsewhere-0").mkdir()  # it shares the folder, and has ended
    assert one.claim() == claimed
    one.lock.close()


def test_trial_that_another_host_has_just_begun_is_its_own(tmp_path):
    sweep = sweep_of(trials=2)
    study = trials.open_study(sweep, "it", open_storage(None, tmp_path))  # which both hosts have in a database
    one, other = (trials.Trials(sweep, study, tmp_path / name) for name in ("one", "other"))
    assert one._begin() == 0
    assert other.claim().number == 1
    assert one.claim().number == 0
    for worker in (one, other):
        worker.lock.close()


def test_two_folders_are_told_apart_also_on_hosts_of_one_name(tmp_path):
    names = [trials.new_worker(tmp_path / folder) for folder in ("one", "other")]
    assert len({name for name, _ in names}) == 2
    for _, held in names:
        held.close()
    assert trials.new_worker(tmp_path / "one")[0] == names[0][0]  # after a restart


def test_condition_holds_in_what_is_probed_and_in_what_is_drawn(tmp_path):
    sweep = sweep_of(trials=12)
    probed = space.probes(sweep.search)
    assert all(("d" in chosen) == (chosen["c"] == "y") for chosen in probed)
    assert {chosen.get("d") for chosen in probed} == {None, 0.0, 1.0}
    assert {chosen["c"] for chosen in probed} == {"x", "y"}
    drawn = run_trials(sweep, tmp_path / "it", 12, forgets=False)
    assert all(("d" in params) == (params["c"] == "y") for params in drawn)


def test_numbers_that_yaml_takes_for_text_are_numbers():
    settings = yaml.safe_load("{a: {float: [1e-4, 1e-1], log: true}, b: {int: [1, 4]}}")
    first, second = space.read_space(settings)
    assert (first.values, second.values) == ((0.0001, 0.1), (1, 4))
    assert space.flags_of({"a": 0.0001, "b": 4, "c": None, "d": True, "e": "x", "f": '{"g": 1}'}) == [
        *("--a=0.0001", "--b=4", "--c=null", "--d=true", "--e=x", '--f={"g": 1}')
    ]


def test_names_are_short_and_told_apart():
    names = ["model.optimizer.class_path", "model.optimizer.init_args.lr", "model.a.width", "model.b.width"]
    parameters = [space.Parameter(name, "choice", (1, 2)) for name in names]
    assert list(short_names(parameters).values()) == ["optimizer", "lr", "a.width", "b.width"]


def test_same_search_is_written_for_wandb(refused):
    main(["sweep", "tune", "--wandb", "wandb.yaml", "--trainer.max_epochs=3"])
    settings = yaml.safe_load(Path("wandb.yaml").read_text())
    assert settings["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert settings["parameters"][LR] == {"distribution": "log_uniform_values", "min": 0.0005, "max": 0.02}
    assert settings["parameters"][WIDTH] == {"values": [8, 16, 32]}
    assert settings["command"][:5] == ["${env}", "${interpreter}", "-m", "lit_project", "fit"]
    assert "--trainer.max_epochs=3" in settings["command"]
    assert "exists, and is not overwritten" in refused("sweep", "tune", "--wandb", "wandb.yaml")


def test_address_of_a_database_is_kept_without_its_password(refused):
    told = refused("sweep", written(storage="nosuch://me:secret@host/db"))
    assert "secret" not in told
    assert not any("secret" in path.read_text() for path in Path("runs").rglob("*.yaml"))


def test_hosts_that_make_the_tables_of_a_database_at_once_try_again(monkeypatch):
    said = ['duplicate key value violates "x"', 'relation "studies" already exists']

    def get_storage(address):
        if said:
            raise ValueError(said.pop())
        return address

    monkeypatch.setattr(optuna.storages, "get_storage", get_storage)
    monkeypatch.setattr(storage, "SECONDS_BETWEEN_HOSTS", 0)
    assert open_storage("postgresql://host/name", Path()) == "postgresql://host/name"
    said.append("connection refused")
    with pytest.raises(RunError, match="cannot be used: connection refused"):
        open_storage("postgresql://host/name", Path())


def test_error_that_is_no_mistake_is_told_by_the_last_line_of_its_traceback(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("before\nTraceback (most recent call last):\n  File x\nmine.Wrong: no\n" + f"{NAME}: in model.py\n")
    assert endings.reason_in(log, 0, NAME) == "mine.Wrong: no"
    log.write_text(f"{NAME}: error: too large\n{NAME}: try: less\n")
    assert endings.reason_in(log, 0, NAME) == "too large"
    with pytest.raises(RunError):
        sweep_of("NoSampler")
    assert re.match(r"SIG\w+", endings.signal_name(-9))
