"""The commands `runs` and `compare`: states, tables and conditions, also of runs whose files are damaged."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lit_project.__main__ import main
from lit_project.engine.command import configurations
from lit_project.engine.saving import summary
from lit_project.engine.saving.lock import is_held, locked
from lit_project.engine.saving.rows import read
from lit_project.engine.search.conditions import filtered, full_name, parsed, sorted_by
from lit_project.engine.search.records import Record, records_in
from lit_project.engine.search.settings import differing, short_names
from lit_project.engine.search.statistics import estimate, t_quantile
from lit_project.engine.search.table import Column, lines_of, wide
from lit_project.model import Model

NOW = "2026-11-01T12:00:00+00:00"


def make_run(name, settings=None, tests=None, **kept):
    """A run's folder as a training leaves it, without the training."""
    run = Path("runs", name)
    (run / "checkpoints").mkdir(parents=True)
    settings = {"model": {"lr": 0.1}, "data": {"width": 8}} | (settings or {})
    (run / "config.yaml").write_text(json.dumps(settings))  # which is YAML too
    values = {"state": "finished", "started": NOW, "seconds": 61.0, "step": 20, "epoch": 2}
    values["best"] = {"metric": "val/loss", "mode": "min", "value": 0.5}
    values["metrics"] = {"val/loss": 0.5}
    values["config"] = summary.fingerprint((run / "config.yaml").read_bytes())
    values["settings"] = summary.flat_values(settings)
    (run / "summary.json").write_text(json.dumps(values | kept))
    if tests:
        (run / "test.json").write_text(json.dumps(tests))
    return run


def listed(capsys, *args):
    """The table as rows of cells by column."""
    capsys.readouterr()
    main(["runs", "--csv", *args])
    return {row["run"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}


def printed(capsys, *args):
    capsys.readouterr()
    main(list(args))
    return capsys.readouterr().out


def records():
    return records_in(Path("runs"), configurations.read)


def test_a_run_is_running_then_stopped_by_a_kill_and_then_finished(short, capsys):
    run = ["fit", "--run=killed", *short, "--trainer.max_epochs=100000", "--trainer.limit_train_batches=2"]
    training = subprocess.Popen([sys.executable, "-m", "lit_project", *run], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not Path("runs/killed/config.yaml").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert listed(capsys)["killed"]["state"] == "running"
    assert listed(capsys)["killed"]["time"]
    training.kill()
    training.wait()
    killed = listed(capsys)["killed"]
    assert killed["state"] == "stopped"
    assert json.loads(Path("runs/killed/summary.json").read_text())["state"] == "running"  # it could not say so
    shutil.rmtree("runs/killed")
    main(["fit", "--run=killed", *short])
    assert listed(capsys)["killed"]["state"] == "finished"


def test_states_metrics_and_time_go_on_with_a_run(short, capsys, stop_at):
    stop_at(4, signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["fit", "--run=one", *short])
    stopped = listed(capsys)["one"]
    assert (stopped["state"], stopped["step"]) == ("stopped", "4")
    main(["fit", "--run=one"])
    finished = listed(capsys)["one"]
    assert (finished["state"], finished["step"], finished["epoch"]) == ("finished", "6", "2")
    assert float(finished["time"]) > float(stopped["time"])
    assert finished["started"] == stopped["started"]
    rows = read(Path("runs/one/metrics.csv"))[1]
    assert float(finished["val/loss"]) == min(float(row["val/loss"]) for row in rows if row["val/loss"])
    main(["test", "--run=one", *short])
    measured = json.loads(Path("runs/one/test.json").read_text())
    assert measured.pop("checkpoint")["path"] == "checkpoints/best.ckpt"
    assert {name: float(listed(capsys)["one"][name]) for name in measured} == measured


def test_an_error_in_the_model_is_a_failed_run_with_its_line(short, capsys, monkeypatch):
    step = Model.training_step

    def fails(self, batch, batch_idx):
        if self.trainer.global_step == 4:
            raise ValueError("no more of this, at https://user:hunter2@host")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Model, "training_step", fails)
    with pytest.raises(ValueError, match="no more"):
        main(["fit", "--run=one", *short])
    assert listed(capsys)["one"]["state"] == "failed"
    (record,) = records()
    assert record.reason == "ValueError: no more of this, at https://user:***@host"


def test_a_training_that_ended_before_it_could_say_so_is_finished_for_the_next_command(short, capsys):
    main(["fit", "--run=one", *short])
    kept = json.loads(Path("runs/one/summary.json").read_text())
    Path("runs/one/summary.json").write_text(json.dumps(kept | {"state": "running"}))
    assert listed(capsys)["one"]["state"] == "stopped"
    main(["fit", "--run=one"])  # finds nothing left to train
    assert listed(capsys)["one"]["state"] == "finished"


def test_a_full_disk_under_the_summary_does_not_end_a_training(short, monkeypatch):
    write = Path.write_text

    def full(path, *args, **kwargs):
        if "summary" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    main(["fit", "--run=one", *short])
    assert not Path("runs/one/summary.json").exists()


def test_a_look_at_a_run_leaves_its_lock():
    make_run("one")
    is_locked = "from lit_project.engine.saving.lock import is_held; print(is_held('runs/one'))"
    with locked(Path("runs/one")):
        assert is_held("runs/one")
        assert [record.state for record in records()] == ["running"]
        asked = subprocess.run([sys.executable, "-c", is_locked], capture_output=True, text=True, check=True)
        assert asked.stdout == "True\n"
    assert not is_held("runs/one")


def test_table_has_the_settings_that_differ_and_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    make_run("2026-11-01_12-00-00", tests={"test/accuracy": 0.98765, "test/loss": 0.1})
    make_run("wide", {"data": {"width": 16}}, state="failed")
    text = printed(capsys, "runs")
    assert max(map(len, text.splitlines())) <= 80
    lines = text.splitlines()
    assert lines[1].split()[:2] == ["run", "state"]
    assert "width" in lines[1]
    assert "lr" not in lines[1].split()  # the same in both
    assert "0.9877" in text
    assert "failed" in text
    assert "2 runs in" in text
    monkeypatch.setenv("COLUMNS", "40")
    narrow = printed(capsys, "runs")
    left_out = narrow[narrow.index("No room for:") :].split("\n\n")[0].replace("\n", " ")
    for name in ("started", "test/loss"):
        assert name in left_out
    assert "failed" in narrow


def test_no_runs_are_told_and_refused_where_one_is_needed(capfd, refused):
    assert "no runs in" in printed(capfd, "runs")
    assert printed(capfd, "runs", "--filter", "lr>1", "--sort", "lr").startswith("no runs in")
    assert "no run" in refused("report")
    make_run("one")
    assert "no run 'other'" in refused("runs", "other")
    assert "the newest there: one" in refused("compare", "one", "other")
    assert "nothing to compare" in refused("compare", "one")


def test_commands_that_only_read_import_no_torch():
    make_run("one")
    make_run("two", {"data": {"width": 9}})
    for command in (["runs"], ["compare", "one", "two"], ["report", "one"]):
        code = f"import sys; from lit_project.__main__ import main; main({command}); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("False\n"), command


DAMAGES = {
    "summary.json": ["", "{", "null", "[1]", "\x00" * 40, '{"state": 3, "best": [], "metrics": "x", "settings": 1}'],
    "config.yaml": ["a: [", "- 1", "\x00", "a: &a [*a]", "1: 2\n2: 3", "x: 1\nx: 2"],
    "test.json": ["", "[]", '{"test/loss": "x"}', '{"test/loss": NaN}', "[" * 100_000],
    "manifest.json": ["", "{"],
    "metrics.csv": ["", "step", "\x00\x00", 'epoch,step,val/loss\n1,x,"'],
}


@pytest.mark.parametrize(("name", "content"), [(name, one) for name, all_ in DAMAGES.items() for one in all_])
def test_damaged_files_cost_a_run_its_own_cells_alone(capsys, name, content):
    make_run("sound", {"data": {"width": 16}}, tests={"test/loss": 0.25})
    Path(make_run("damaged", tests={"test/loss": 0.5}), name).write_text(content)
    rows = listed(capsys)
    if Path("runs/damaged/config.yaml").stat().st_size:
        assert rows.keys() == {"sound", "damaged"}
    assert (rows["sound"]["test/loss"], rows["sound"]["state"]) == ("0.25", "finished")
    assert "damaged" in printed(capsys, "runs")
    printed(capsys, "compare", "sound", "damaged")
    printed(capsys, "report", "sound", "damaged")


def test_unreadable_runs_and_other_things_in_the_folder_do_no_harm(capsys):
    make_run("sound")
    Path("runs/file").write_text("x")
    Path("runs/empty").mkdir()
    Path("runs/.hidden").mkdir()
    Path("runs/dangling").symlink_to("nowhere")
    Path("runs/folders/config.yaml").mkdir(parents=True)
    shutil.copytree("runs/sound", "runs/\x1b[31mred\nline")
    text = printed(capsys, "runs")
    assert "\x1b" not in text
    assert "?[31mred?line" in text
    assert "2 runs in" in text


def test_an_edited_configuration_is_what_is_shown(capsys):
    make_run("one")
    make_run("two")
    Path("runs/two/config.yaml").write_text("model: {lr: 0.7}\ndata: {width: 8}")
    rows = listed(capsys)
    assert (rows["one"]["model.lr"], rows["two"]["model.lr"]) == ("0.1", "0.7")


def test_a_test_of_an_older_checkpoint_is_not_shown(capsys):
    run = make_run("one", tests={"test/loss": 0.5})
    (run / "checkpoints/best.ckpt").write_text("x")
    os.utime(run / "test.json", (1_000, 1_000))
    assert "test/loss" not in listed(capsys)["one"]
    os.utime(run / "checkpoints/best.ckpt", (1_000, 1_000))
    assert listed(capsys)["one"]["test/loss"] == "0.5"


@pytest.fixture
def sweep():
    for number, (lr, loss) in enumerate([(0.1, 0.9), (0.2, 0.3), (0.3, float("nan"))]):
        values = {"best": {"metric": "val/loss", "mode": "min", "value": loss}, "metrics": {"val/loss": loss}}
        make_run(f"search/00{number}", {"model": {"lr": lr}}, **values, state="stopped" if number else "finished")
    Path("runs/search/study.journal").write_text("x")
    make_run("alone")


def test_a_sweep_is_a_line_that_can_be_opened(capsys, sweep):
    text = printed(capsys, "runs")
    (line,) = [line for line in text.splitlines() if "search" in line]
    assert "search (3 runs)" in line
    assert "0.3000" in line  # of its best run
    assert "stopped" in line
    assert "4 runs in" in text
    opened = printed(capsys, "runs", "search")
    assert [f"search/00{number}" in opened for number in range(3)] == [True] * 3
    assert "alone" not in opened
    assert "lr" in opened.splitlines()[1]


def test_conditions_and_programs_see_the_runs_of_a_sweep(capsys, sweep):
    assert listed(capsys).keys() == {"search/000", "search/001", "search/002", "alone"}
    assert listed(capsys, "--filter", "lr > 0.1").keys() == {"search/001", "search/002"}
    assert "search/001" in printed(capsys, "runs", "--filter", "lr=0.2")
    assert [*listed(capsys, "--sort", "val/loss")] == ["search/001", "alone", "search/000", "search/002"]
    assert [*listed(capsys, "--sort", "val/loss", "--reverse")] == ["search/000", "alone", "search/001", "search/002"]


RECORDS = [
    Record("a", Path("a"), state="finished", started=NOW, metrics={"val/loss": 0.5}, tests={"test/loss": 0.6}),
    Record("b", Path("b"), state="failed", metrics={"val/loss": float("nan")}),
    Record("c", Path("c"), state="finished", metrics={"val/loss": 2.0}),
]
for one, values in zip(
    RECORDS,
    [
        {"model.opt.lr": 0.01, "data.name": "plain text", "trainer.precision": None, "data.flip": True},
        {"model.opt.lr": "1e-3", "data.name": "b", "trainer.precision": "16-mixed", "data.flip": False},
        {"model.opt.lr": 1, "data.name": "c", "data.columns": ["x", "y"], "data.flip": None},
    ],
    strict=True,
):
    one.settings = values


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("lr>0.001", "ac"),
        ("lr >= 0.001", "abc"),
        ("opt.lr<1", "ab"),
        ("model.opt.lr=0.001", "b"),  # which YAML takes for a text
        ("lr==1.0", "c"),
        ("lr!=1", "ab"),
        ("val/loss<=0.5", "a"),  # nan is neither more nor less
        ("val/loss!=0.5", "bc"),
        ("test/loss>0", "a"),
        ("state=finished", "ac"),
        ("state!=finished", "b"),
        ("name='plain text'", "a"),
        ('name = "plain text"', "a"),
        ("name=b", "b"),
        ("name>b", "ac"),
        ("precision=null", "ac"),  # as in a run that has no such setting
        ("precision!=null", "b"),
        ("precision=16-mixed", "b"),
        ("flip=true", "a"),
        ("flip!=true", "bc"),
        ('columns=\'["x", "y"]\'', "c"),
        ("started>2026", "a"),
        ("run!=a", "bc"),
    ],
)
def test_conditions(condition, found):
    if condition.startswith("started"):
        condition = condition.replace("2026", "'2026'")
    assert "".join(record.name for record in filtered(RECORDS, [parsed(condition)])) == found


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("lr", "no condition"),
        ("lr>", "no condition"),
        (">1", "no condition"),
        ("lr>1 and name=b", "no value"),
        ("lr>1>2", "no value"),
        ("name='b", "no value"),
        ("loss>1", "loss may be test/loss, val/loss"),
        ("rl>1", "no run has a setting or a metric rl"),
        ("state>3", "neither more nor less"),
        ("lr>abc", "neither more nor less"),
    ],
)
def test_conditions_that_mean_nothing_are_refused(condition, told, refused):
    make_run("one", {"data": {"name": "b"}}, tests={"test/loss": 1.0})
    assert told in refused("runs", "--filter", condition)


def test_a_name_nearby_is_offered(refused):
    make_run("one")
    assert "try: data.width" in refused("runs", "--sort", "widht")
    assert full_name("a.b", ["x.a.b", "a.b"]) == "a.b"


def test_sorting_puts_numbers_first_and_what_is_missing_last():
    names = [record.name for record in sorted_by(RECORDS, "test/loss", descending=False)]
    assert names == ["a", "b", "c"]
    assert [record.name for record in sorted_by(RECORDS, "lr", descending=True)] == ["c", "a", "b"]


def test_settings_are_named_by_what_tells_them_apart():
    names = ["model.a.lr", "model.b.lr", "data.width"]
    assert short_names(names, names) == {"model.a.lr": "a.lr", "model.b.lr": "b.lr", "data.width": "width"}
    assert short_names(["model.a.lr"], names) == {"model.a.lr": "a.lr"}
    assert differing(RECORDS)[:1] == ["model.opt.lr"]


def test_arguments_of_a_class_that_some_runs_lack_are_left_out():
    own = {"trainer.strategy.class_path": "DDPStrategy", "trainer.strategy.init_args.static_graph": True}
    one, other = ({"opt.class_path": name, "opt.init_args.lr": lr} for name, lr in (("SGD", 0.1), ("Adam", 0.2)))
    records = [Record("a", Path("a")), Record("b", Path("b"))]
    records[0].settings, records[1].settings = one | own, other | {"trainer.strategy": "auto"}
    names = ["trainer.strategy", "trainer.strategy.class_path", "opt.class_path", "opt.init_args.lr"]
    assert differing(records) == names


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_it_may_be(width):
    cells = ["short", "long" * 30, "漢字" * 30, "e\u0301" * 5]
    columns = [Column("run", cells, 0, False), *(Column(f"part/name{n}", ["1", "2", "3", "4"], n) for n in range(30))]
    lines = lines_of(columns, width)
    assert len(lines) > 6
    assert max(map(wide, lines)) <= max(width, 40)  # the first column is always there


def test_compare_prints_what_differs_and_draws_the_curves(capsys, short, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    setting = "--trainer.gradient_clip_val"
    for number in range(3):
        main(["fit", f"--run=run_{number}", *short, f"{setting}=0.{number + 1}"])
    text = printed(capsys, "compare", "run_0", "run_1", "run_2")
    assert "trainer.gradient_clip_val" in text
    assert "max_epochs" not in text
    assert max(map(len, text.split("Curves:")[0].splitlines())) <= 80
    (line,) = [line for line in text.splitlines() if line.startswith("val/loss")]
    assert len(line.split()) == 4
    assert Path("runs/compare.png").read_bytes().startswith(b"\x89PNG")
    printed(capsys, "compare", "run_0", "run_1", "--output", "some/where.svg")
    assert "<svg" in Path("some/where.svg").read_text()


def test_compare_takes_names_that_a_drawing_would_read_as_formulas(capsys):
    for name in ("_under", "x$^$y"):
        run = make_run(name)
        (run / "metrics.csv").write_text("epoch,step,val/$\\frac$\n0,1,0.5\n0,2,0.4\n")
    printed(capsys, "compare", "_under", "x$^$y")
    assert Path("runs/compare.png").exists()


def test_a_picture_in_no_known_format_and_a_place_that_cannot_be_written_are_refused(refused):
    make_run("one")
    make_run("two")
    Path("file").write_text("x")
    (Path("runs/one/metrics.csv")).write_text("epoch,step,val/loss\n0,1,0.5\n0,2,0.4\n")
    assert "a picture is one of .png" in refused("compare", "one", "two", "--output", "x.doc")
    assert "cannot be written" in refused("compare", "one", "two", "--output", "file/x.png")
    assert "cannot be written" in refused("report", "one", "--output", "file/x.html")


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_estimate_of_several_trainings():
    five = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert five == pytest.approx((3, 1.5811388, 1.0367568, 4.9632432))
    assert estimate([2.0])[0] == 2.0
    assert all(value != value for value in estimate([2.0])[1:])
    assert all(value != value for value in [*estimate([1.0, float("nan")]), *estimate([])])
