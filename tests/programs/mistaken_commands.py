"""Make mistakes, each in a process forked from this one, which has imported the libraries, and in a folder of its own.

    python mistaken_commands.py BAKES

BAKES holds a baked project for each task. Reads a line of JSON for each mistake: its task and words, what is given in
the folder beforehand, as Python, and the environment's variables. Answers with one: the exit code, what was printed,
and the files that were left behind, or changed.
"""

import contextlib
import ctypes
import json
import os
import pickle  # noqa: F401 - for what is given, as the next ones
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import matplotlib.figure  # noqa: F401 - here once, so that no child need import it
import sklearn.datasets  # noqa: F401
import torch
import torchmetrics.classification  # noqa: F401
import yaml

BAKES = Path(sys.argv[1]).resolve()
# All have the same engine, which is imported once; the files in front are those of the bake that CURRENT leads to.
CURRENT = BAKES / "current"
CURRENT.symlink_to(BAKES / "vision")
sys.path.insert(0, str(CURRENT / "src"))
from lit_project.engine.command import bench, memory, stages  # noqa: E402, F401

SECONDS = 60  # after which a command hangs
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SHORT = [*QUIET, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2"]


def trained():
    """A run that came to its end, runs/one."""
    shutil.copytree(BAKES / "trained/runs", "runs")


def write(path, content):
    """A file of text, bytes or settings."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, bytes | str) else yaml.safe_dump(content)
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())


def folder(path):
    """A folder, where there is perhaps a file."""
    Path(path).unlink(missing_ok=True)
    Path(path).mkdir(parents=True)


def changed(change, name="last"):
    """A trained run whose checkpoint is what `change` makes of it."""
    trained()
    path = Path(f"runs/one/checkpoints/{name}.ckpt")
    checkpoint = change(torch.load(path, weights_only=True))
    torch.save(checkpoint, path)


def read_only(path):
    """A folder that cannot be written, not even by root, who gives up the right to."""
    os.chmod(path, 0o555)
    if os.getuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # Linux's version of capset, for this process
        assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0


def printing_to(path):
    """Have standard output lead to a file that takes nothing, or to a program that has ended."""
    if path == "nobody":
        ours, theirs = os.pipe()
        os.close(ours)
    else:
        theirs = os.open(path, os.O_WRONLY)
    os.dup2(theirs, 1)


def files():
    return {str(path): path.stat().st_mtime_ns for path in sorted(Path().rglob("*")) if path.is_file()} | {
        f"{path}/": 0 for path in Path().rglob("*") if path.is_dir()
    }


def command(request):
    CURRENT.unlink()
    CURRENT.symlink_to(BAKES / request["task"])
    from lit_project.__main__ import main

    main(request["words"])


def child(request, report, output):
    os.environ.update(request["environment"])
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    exec(request["given"], globals())
    json.dump(files(), report)
    report.flush()
    signal.alarm(SECONDS)
    sys.argv = ["lit-project", *request["words"]]
    code = 0
    try:
        command(request)
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    try:  # as the interpreter does at its end
        sys.stdout.flush()
    except OSError:
        traceback.print_exc()
        code = 120
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def carry_out(request):
    place = tempfile.mkdtemp(dir=BAKES / "places")
    os.chdir(place)
    os.chmod(place, 0o777)
    with tempfile.TemporaryFile("w+") as report, tempfile.TemporaryFile() as output:
        process = os.fork()
        if not process:
            child(request, report, output)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        report.seek(0)
        before = json.loads(report.read() or "{}")
        output.seek(0)
        printed = output.read().decode(errors="replace")
    left = sorted(path for path, time in files().items() if before.get(path) != time)
    # The lock of a run that is there already stays, for the next one to take.
    left = [path for path in left if not (path.endswith("/.lock") and f"{Path(path).parent}/" in before)]
    os.chdir(BAKES)
    with contextlib.suppress(OSError):
        shutil.rmtree(place)
    return {"code": code, "printed": printed, "left": left}


def train_once():
    folder(BAKES / "trained")
    os.chdir(BAKES / "trained")
    if not (process := os.fork()):
        command({"task": "vision", "words": ["fit", "--run=one", *SHORT]})
        os._exit(0)
    os.waitpid(process, 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["LIT_PROJECT_RUNS"] = ""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    (BAKES / "places").mkdir()
    train_once()
    for line in sys.stdin:
        request = json.loads(line)
        if request["words"][:1] == ["fit"]:
            request["words"][1:1] = SHORT
        print(json.dumps(carry_out(request)), file=answers, flush=True)
