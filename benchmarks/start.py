"""How long a command takes to its answer, and a training to its first step, beside the imports that they need.

    python3 benchmarks/start.py              # from the template's folder: bakes, measures, writes docs/speed.md

Counts the processor time of whole processes, in turn, with compiled files.
"""

import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from report import ROOT, bake, cost, python_of, table, where, write_section

ROUNDS = 3
LIGHTNING, EMPTY_BAKE = "`import pytorch_lightning`", "bake of an empty template"
TEXT = """\
Seconds of processor time of whole processes, in turn, the median of {rounds} rounds, with compiled files in place.
{where}, by `python3 benchmarks/start.py`.

{table}

What needs no torch is told before torch is imported. "And the data" means that a task's own files are imported, and
its data prepared and set up. W&B's start is its own: importing it, and its process. A bake runs two hooks, each a
Python of its own, and renders the files of all answers.
"""


class Row(NamedTuple):
    """A command, and the one whose time it is compared with."""

    title: str
    command: list[str]
    folder: Path
    codes: tuple[int, ...] = (0,)
    base: str = ""


def rows() -> list[Row]:
    projects = {task: bake(f"start-{task}", task=task, logger="csv") for task in ("vision", "language")}
    projects["regression"] = bake("start-regression")
    pythons = {task: python_of(project) for task, project in projects.items()}
    project, python = projects["vision"], pythons["vision"]

    def command(line: str, base: str = "", mistaken: bool = False) -> Row:
        words = [python, "-m", "lit_project", *line.split()]
        return Row(f"`{line}`", words, project, (2,) if mistaken else (0,), base)

    found = [
        Row(LIGHTNING, [python, "-c", "import pytorch_lightning"], project),
        command("--help"),
        command("merge --help"),
        command("fitt", mistaken=True),
        command("fit --preset nosuch", mistaken=True),
        command("fit --config missing.yaml", mistaken=True),
        command("test --run nosuch", mistaken=True),
        command("fit --help", LIGHTNING),
        command("memory --help", LIGHTNING),
        command("fit --trainer.max_epoch 5", LIGHTNING, mistaken=True),
    ]
    for task, folder in projects.items():
        program = [pythons[task], __file__]
        data = f"{LIGHTNING} and the data of {task}"
        found.append(Row(data, [*program, "data"], folder))
        loggers = ("csv", "wandb") if task == "regression" else ("csv",)
        for logger in loggers:
            title = f"`fit` to its first step, {task}, logger {logger}"
            flags = ["fit", "--run", "start", "--logger", logger]
            found.append(Row(title, [*program, *flags], folder, base=data))
    return [*found, *bakes()]


def bakes() -> list[Row]:
    """The bake of this template with default answers, and of one with a single file."""
    folder = ROOT / "build/start-bakes"
    shutil.rmtree(folder, ignore_errors=True)
    content = folder / "empty/{{cookiecutter.project_slug}}"
    content.mkdir(parents=True)
    (content / "README.md").write_text("{{ cookiecutter.project_slug }}\n")
    (folder / "empty/cookiecutter.json").write_text('{"project_slug": "lit-project"}')
    program = Path(python_of(ROOT)).parent / "cookiecutter"
    words = [str(program), "--no-input", "-f", "--output-dir", str(folder / "out")]
    return [
        Row(EMPTY_BAKE, [*words, str(folder / "empty")], folder),
        Row("bake with default answers", [*words, str(ROOT)], folder, base=EMPTY_BAKE),
    ]


def first_step(words: list[str]) -> None:
    """In a project: train until the first step is done, and end there."""
    import pytorch_lightning as pl
    from lit_project.__main__ import main

    class End(pl.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            shutil.rmtree("runs/start", ignore_errors=True)
            os._exit(0)

    main(words, [End()])


def imports_and_data() -> None:
    """In a project: what any training has to import and to prepare before its first step."""
    import pytorch_lightning  # noqa: F401
    import yaml
    from lit_project import data, model, network, objective  # noqa: F401

    settings = yaml.safe_load(Path("src/lit_project/configs/default.yaml").read_text(encoding="utf-8"))
    module = data.DataModule(**settings.get("data", {}))
    module.prepare_data()
    module.setup("fit")
    os._exit(0)  # as the training, without what Python does at the end of a process


def measure() -> str:
    measured = rows()
    times: dict[str, list[float]] = {row.title: [] for row in measured}
    for number in range(ROUNDS + 1):
        for row in measured:
            seconds = cost(row.command, row.folder, row.codes).seconds
            if number:  # the first round compiles files, and reads them into the system's memory
                times[row.title].append(seconds)
    medians = {title: statistics.median(seconds) for title, seconds in times.items()}
    lines = []
    for row in measured:
        beside = f"{medians[row.title] / medians[row.base]:.2f} of {row.base}" if row.base else ""
        lines.append([row.title, f"{medians[row.title]:.2f}", beside])
    return table(["", "seconds", ""], lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["data"]:
        imports_and_data()
    elif sys.argv[1:]:
        first_step(sys.argv[1:])
    else:
        write_section("From a command to its answer", TEXT.format(rounds=ROUNDS, where=where(), table=measure()))
