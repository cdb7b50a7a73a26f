"""Kill a training at its file events, one after the other, and compare each end with that of a training nobody touched.

    python file_events.py LOGGER EVERY FIRST

Runs in the folder of a baked project, in its environment. An event is whatever changes a file in the run's folder, and
each statement that a logger's database executes. A file that is opened to be written is left empty, as a kill or a full
disk may leave it. Of the events of a first start, and of one that goes on, every EVERY-th is tried, from number FIRST.
"""

import importlib
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import torch
from kills import QUIET, differences, train, write_to_log
from lit_project.engine.command import stages  # noqa: F401 - here once, so that no child need import it

SMALL = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=6", "--trainer.limit_val_batches=2"]
SAVING = ["--last_checkpoint.every_n_steps=3", "--trainer.log_every_n_steps=2"]
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
# By logger: what is imported here once, so that no child need do it.
IMPORTED = {
    "mlflow": ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy"],
    "tensorboard": ["torch.utils.tensorboard"],
    "wandb": ["wandb"],
}


class Events:
    """Counts the file events of a run in this process, and ends it at one of them."""

    def __init__(self, run, last):
        self.folder = str(Path("runs", run).resolve())
        self.last = last
        self.numbers = count(1)
        self.seen = []

    def watch(self):
        sys.addaudithook(self.hook)
        if "sqlalchemy" in sys.modules:  # writes through C, which Python does not see
            from sqlalchemy import event
            from sqlalchemy.engine import Engine

            event.listen(Engine, "before_cursor_execute", lambda *arguments: self.statement(arguments[2]))
            event.listen(Engine, "commit", lambda *_: self.note("sql", "commit"))

    def hook(self, name, arguments):
        if name not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if not path.startswith(self.folder) or (name == "os.mkdir" and os.path.exists(path)):
            return
        if name == "open" and not (arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        self.note(name, path, arguments)

    def statement(self, text):
        if not text.startswith(("SELECT", "PRAGMA")):
            self.note("sql", " ".join(text.split())[:80])

    def note(self, name, what, arguments=()):
        number = next(self.numbers)
        self.seen.append(f"{name} {what}")
        if number != self.last:
            return
        if name == "open" and arguments[2] & os.O_TRUNC:
            self.last = None
            os.close(os.open(what, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        os.kill(os.getpid(), signal.SIGKILL)


def fit(run, flags, last=None):
    """One start in a process of its own; returns its exit code, and its events."""
    events = Path("events.txt")
    child = os.fork()
    if child == 0:
        write_to_log(run)
        watched = Events(run, last)
        watched.watch()
        code = train(run, flags)
        events.write_text("\n".join(watched.seen))
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), events.read_text().splitlines() if events.exists() else []


def survives(name, flags):
    """Whether the same command goes on after the kill, with the end of the untouched run."""
    code, _ = fit(name, flags)
    if code:
        return f"cannot go on, code {code}"
    largest, same = differences("untouched", name)
    return "" if not largest and same else f"another end: {largest}, same metrics {same}"


def run(logger, every, first):
    flags = [*QUIET, *SMALL, *SAVING, f"--logger={logger}"]
    code, events = fit("untouched", flags)
    assert code == 0, Path("untouched.log").read_text()
    failed, kills = [], 0
    saved = next(number for number, event in enumerate(events, 1) if event.endswith("last.ckpt.part"))
    half_code, _ = fit("half", flags, last=saved + 3)
    assert half_code == -signal.SIGKILL
    shutil.copytree("runs/half", "runs/copy", symlinks=True)
    _, events_on = fit("copy", flags)
    for kind, total in ("first", len(events)), ("goes on", len(events_on)):
        for number in range(first, total + 1, every):
            shutil.rmtree("runs/killed", ignore_errors=True)
            if kind == "goes on":
                shutil.copytree("runs/half", "runs/killed", symlinks=True)
            code, _ = fit("killed", flags, last=number)
            if code == 0:
                continue  # other threads write too, and the order is not always the same
            kills += 1
            if problem := survives("killed", flags):
                what = (events if kind == "first" else events_on)[number - 1]
                failed.append(f"{kind} {number}: {problem}: {what}")
                print(failed[-1], flush=True)
                Path("killed.log").replace(f"failed-{len(failed)}.log")
    print(f"{logger}: events {len(events)} and {len(events_on)}, {kills} kills, not survived: {failed or 'none'}")
    return not failed


if __name__ == "__main__":
    torch.set_num_threads(1)
    logger = sys.argv[1]
    for module in IMPORTED.get(logger, ()):
        importlib.import_module(module)
    sys.exit(not run(logger, int(sys.argv[2]), int(sys.argv[3])))
