"""Make the example repositories: a project for each task, with what its default run gave, ready to be pushed.

    python3 tools/uv.py run python tools/examples.py FOLDER [TASK ...]

Each is FOLDER/lit-example-TASK, a git repository with one commit, made in the name that git has for whoever runs this.
The report of its run names this machine.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
VERSION = SETTINGS["_version"]
ADDRESS = "https://github.com/org/lit-template"
# What is kept of the default run, from its folder.
KEPT = ("config.yaml", "curves.png", "metrics.csv", "report.html", "test")

ORIGIN = """
> An example of what [lit-template]({address}) makes. This is release {version} with the
> task `{task}`, and the first answers to the other questions that have several.
"""
RESULTS = """
[docs/default-run](docs/default-run) is what `fit`, `test` and `report` gave, without a flag: its
[figures](docs/default-run/test/figures.csv), a page to download and open ([report.html](docs/default-run/report.html)),
and its curves:

![curves of the default run](docs/default-run/curves.png)
"""


def bake(task: str, folder: Path) -> Path:
    """The project of a task, whose README says where it comes from."""
    answers = {
        "project_name": f"Lit Example {task.capitalize()}",
        "project_slug": f"lit-example-{task}",
        "description": f"What lit-template makes for the task {task}",
        "author_name": "The authors of lit-template",
        "task": task,
    }
    settings = {"no_input": True, "default_config": True, "output_dir": str(folder), "extra_context": answers}
    project = Path(cookiecutter(str(ROOT), **settings))
    insert(project, ORIGIN.format(address=ADDRESS, version=VERSION, task=task))
    return project


def insert(project: Path, text: str) -> None:
    """Add to what stands before the first chapter of its README."""
    readme = project / "README.md"
    before, chapter, after = readme.read_text(encoding="utf-8").partition("\n## ")
    readme.write_text(before + text + chapter + after, encoding="utf-8")


def train(project: Path) -> None:
    """Do the default run, and keep what a visitor would like to see of it."""
    package = project.name.replace("-", "_")
    for command in (["fit", "--run", "default"], ["test", "--run", "default"], ["report", "default"]):
        uv("run", "python", "-m", package, *command, folder=project)
    run, kept = project / "runs/default", project / "docs/default-run"
    kept.mkdir()
    for name in KEPT:
        copy = shutil.copytree if (run / name).is_dir() else shutil.copy
        copy(run / name, kept / name)
    insert(project, RESULTS)


def uv(*words: str, folder: Path) -> None:
    # Nobody's account at W&B, and the project's own environment.
    variables = {**os.environ, "WANDB_MODE": "offline", "VIRTUAL_ENV": ""}
    subprocess.run([sys.executable, ROOT / "tools/uv.py", *words], cwd=folder, env=variables, check=True)


def commit(project: Path) -> None:
    (project / "uv.lock").unlink(missing_ok=True)  # it has the addresses of this machine's registries
    for words in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["-c", "core.safecrlf=false", "add", "--all"],  # .gitattributes decides how lines end
        ["commit", "--quiet", "--message", f"Make this with lit-template {VERSION}"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True)


def main() -> None:
    if not sys.argv[1:]:
        sys.exit("Error: no folder is named; for example: tools/examples.py build/examples")
    folder, *tasks = sys.argv[1:]
    for task in tasks or SETTINGS["task"]:
        project = bake(task, Path(folder))
        train(project)
        commit(project)
        print(f"{project}: git push --force {ADDRESS.rpartition('/')[0]}/{project.name} main")


if __name__ == "__main__":
    main()
