"""Several processes train like one: the presets of several devices, run for real on the CPU."""

import csv
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import CHOICES, PROGRAMS, bake_into, environment, measured, run

COMMAND = ["-m", "lit_project"]
# The same network with no randomness of each process's own, and batches that two processes cannot halve.
TASK = {
    "regression": ["--preset=mlp", "--trainer.max_epochs=4", "--data.batch_size=31"],
    "vision": [
        "--trainer.max_epochs=2",
        "--data.batch_size=31",
        "--model.network.dropout=0",
        "--data.max_shift=0",
        "--model.lr_factors={network.features: 0.5}",
        "--freeze.modules=[network.features.0]",  # its gradients must be averaged too, once it is trained
        "--freeze.until_epoch=1",
    ],
    "language": [
        "--data.context=32",
        "--trainer.max_steps=20",
        "--trainer.val_check_interval=10",
        "--trainer.limit_val_batches=3",
        "--data.batch_size=7",
    ],
    "blank": ["--trainer.max_epochs=3", "--data.samples=128", "--data.batch_size=31"],
}
SMALL = ["--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"]
JUDGED = ["--trainer.limit_test_batches=3", "--trainer.limit_predict_batches=3"]
SHARDED = ["--preset=fsdp", "--trainer.accelerator=cpu", "--trainer.devices=2"]


def rows(project, name):
    with (project / "runs" / name / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines_of(path):
    return path.read_text().splitlines()


def numbers(rows):
    return [{column: float(value) for column, value in row.items() if value} for row in rows]


def assert_alike(one, other):
    """The same rows, up to the order in which numbers were added."""
    assert len(one) == len(other) > 10
    for first, second in zip(numbers(one), numbers(other), strict=True):
        assert second == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize("task", CHOICES["task"])
def test_two_processes_train_like_one_and_see_every_sample_once(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="wandb")
    shutil.copy(PROGRAMS / "seen.py", project)
    flags = [*TASK[task], *SMALL]
    run([python, *COMMAND, "fit", "--run", "one", "--preset", "cpu", *flags], project)
    run([python, "seen.py", "fit", "--run", "two", "--preset", "ddp-cpu", *flags], project)
    assert_alike(rows(project, "one"), rows(project, "two"))
    assert {path.name for path in (project / "runs").iterdir()} == {"one", "two"}
    assert len(list((project / "runs/two/wandb").glob("offline-run-*"))) == 1
    lines = [list(map(int, line.split())) for n in (0, 1) for line in lines_of(project / f"seen-{n}.txt")]
    training = max(size for size, *_ in lines)
    seen = Counter(sample for size, *samples in lines if size == training for sample in samples)
    if task == "language":  # a part of one epoch
        assert set(seen.values()) == {1}
        assert len(seen) == 20 * 7
    else:
        epochs = {"regression": 4, "vision": 2, "blank": 3}[task]
        assert seen == dict.fromkeys(range(training), epochs)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, python):
    """A language project with a run of one process, and the same of two with everything in shards."""
    project = bake_into(tmp_path_factory.mktemp("sharded"), task="language", logger="csv")
    shutil.copy(PROGRAMS / "stop.py", project)
    flags = [*TASK["language"], *SMALL]
    run([python, *COMMAND, "fit", "--run", "one", "--preset", "cpu", *flags], project)
    run([python, *COMMAND, "fit", "--run", "two", *SHARDED, *flags], project)
    return project


def test_shards_train_like_one_process(sharded):
    assert_alike(rows(sharded, "one"), rows(sharded, "two"))


@pytest.mark.parametrize("how", [["--preset=ddp-cpu"], [*SHARDED, "--trainer.strategy.class_path=Sharded"]])
def test_two_processes_answer_a_file_like_one(tmp_path, python, how):
    project = bake_into(tmp_path, task="blank", logger="csv")
    run([python, *COMMAND, "fit", "--run=one", "--trainer.max_epochs=1", *SMALL], project)
    rows = "".join(f"{number},2,3,{'bad' if number % 50 == 9 else 4}\n" for number in range(3000))
    (project / "rows.csv").write_text(f"x0,x1,x2,x3\n{rows}")
    for name, flags in (("one", []), ("two", how)):
        words = [python, *COMMAND, "predict", "--input=rows.csv", f"--output={name}.csv", *SMALL, *flags]
        run(words, project, code=3)
    assert len(lines_of(project / "one.csv")) == 1 + 3000 - 60
    for ending in (".csv", ".rejects.csv"):
        assert (project / f"two{ending}").read_bytes() == (project / f"one{ending}").read_bytes()


@pytest.mark.parametrize("task", [task for task in CHOICES["task"] if task != "language"])  # which is sharded above
def test_every_task_can_be_sharded(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    flags = [*TASK[task], *SMALL, "--trainer.max_epochs=1"]
    printed = run([python, *COMMAND, "fit", "--run", "two", "--preset", "bf16", *SHARDED, *flags], project)
    assert "2/2" in printed
    assert (project / "runs/two/checkpoints/last.ckpt/.metadata").is_file()


def test_stopped_shards_go_on_with_two_processes_and_with_one(sharded, python):
    flags = [*TASK["language"], *SMALL]
    stopped = run([python, "stop.py", "13", "fit", "--run", "stopped", *SHARDED, *flags], sharded, code=143)
    assert "Go on with: lit-project fit --run stopped" in stopped
    shutil.copytree(sharded / "runs/stopped", sharded / "runs/alone")
    run([python, *COMMAND, "fit", "--run", "stopped"], sharded)
    assert rows(sharded, "stopped") == rows(sharded, "two")
    printed = run([python, *COMMAND, "fit", "--run", "alone", "--trainer.devices", "1"], sharded)
    assert "Saved by 2 processes, goes on with 1" in printed
    ours, theirs = ([row for row in rows(sharded, name) if not row["train/bits_per_byte"]] for name in ("alone", "two"))
    assert_alike(ours, theirs)


def test_shards_test_and_predict_in_one_process_like_in_two_and_merged(sharded, python):
    best = "runs/two/checkpoints/best"
    assert "best.merged.ckpt" in run([python, *COMMAND, "merge", f"{best}.ckpt"], sharded)
    metrics = []
    on_cpu = ["--preset", "cpu"]
    for name, how in (("shards", []), ("alone", on_cpu), ("merged", [*on_cpu, f"--ckpt_path={best}.merged.ckpt"])):
        run([python, *COMMAND, "test", "--run", "two", *JUDGED, *how], sharded)
        metrics.append(measured(sharded / "runs/two"))
        run([python, *COMMAND, "predict", "--run", "two", *JUDGED, *how], sharded)
        (sharded / "runs/two/predictions.pt").rename(sharded / f"{name}.pt")
    assert metrics[1] == metrics[2] == pytest.approx(metrics[0], rel=1e-5)
    compare = "import torch; a, *b = map(torch.load, ('shards.pt', 'alone.pt', 'merged.pt'));"
    compare += "print(len(a), *(torch.equal(a, other) for other in b))"
    assert run([python, "-c", compare], sharded) == f"{3 * 7} True True\n"


PLANT = """
import io, pickle, sys, torch
from pathlib import Path
from torch.distributed.checkpoint import FileSystemReader

class Evil:
    def __reduce__(self):
        return (open, ("ran", "w"))

where, folder = sys.argv[1], Path(sys.argv[2])
if where == "index":
    (folder / ".metadata").write_bytes(pickle.dumps(Evil()))
elif where == "values":
    torch.save({"hyper_parameters": Evil()}, folder / "meta.pt")
else:  # in place of a number of the optimizer, which no tensor is
    index = FileSystemReader(folder).read_metadata()
    entry, place = next((k, v) for k, v in index.storage_data.items() if k.fqn == "optimizer_0.param_groups.0.lr")
    planted = io.BytesIO()
    torch.save(Evil(), planted)
    index.storage_data[entry].relative_path, place.offset, place.length = "evil", 0, len(planted.getvalue())
    (folder / "evil").write_bytes(planted.getvalue())
    (folder / ".metadata").write_bytes(pickle.dumps(index))
"""


@pytest.mark.parametrize("where", ["index", "values", "optimizer"])
def test_shards_run_no_code(sharded, python, where):
    shutil.copytree(sharded / "runs/two", sharded / f"runs/{where}")
    folder = f"runs/{where}/checkpoints/best.ckpt"
    run([python, "-c", PLANT, where, folder], sharded)
    fit = ["fit", "--run", f"{where}-2", *TASK["language"], *SHARDED, "--trainer.devices=1", "--ckpt_path", folder]
    told = run([python, *COMMAND, *fit], sharded, code=2)
    assert "loading that could run code" in told
    assert not (sharded / "ran").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_second_process_ends_soon_after_the_first_one_is_killed(tmp_path, python):
    project = bake_into(tmp_path, logger="csv")
    flags = ["--preset=ddp-cpu", "--trainer.max_epochs=100000", "--early_stopping=null", *SMALL]
    first = subprocess.Popen([python, *COMMAND, "fit", "--run=orphans", *flags], cwd=project, env=environment(project))
    try:
        wait_for((project / "runs/orphans/checkpoints/best.ckpt").exists, 120)
        (second,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    finally:
        first.kill()
        first.wait()
    wait_for(lambda: not is_training(second), 10)


def is_training(process):
    with suppress(FileNotFoundError, ProcessLookupError):
        return "lit_project" in Path(f"/proc/{process}/cmdline").read_text()  # empty once it has ended
    return False


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
