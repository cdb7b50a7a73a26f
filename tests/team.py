"""A team that makes a project its own: its files over a bake, and a process that runs commands there."""

import difflib
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PROGRAMS, bake_into, run

PACKAGE = Path("src/lit_project")
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
ON_CPU = [*QUIET, "--trainer.accelerator=cpu"]


class Commands:
    """A process that runs commands in a project, without importing torch for each (tests/programs/team_commands.py).

    Args:
        project: a bake named lit-project.
        python: of an environment with what bakes need.
    """

    def __init__(self, project, python):
        self.project = project
        self.python = python
        environment = {
            **os.environ,
            "PYTHONPATH": str(project / "src"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        command = [python, PROGRAMS / "team_commands.py"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        self.commands = subprocess.Popen(command, cwd=project, env=environment, **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.commands.communicate()

    def __call__(self, *args, code=0, processes=1, stop=None):
        """Run a command; return what it printed, fail with another exit code."""
        return self._ask({"args": list(map(str, args)), "processes": processes, "stop": stop}, code)

    def do(self, code):
        """Run Python in a process that has imported the engine; return what it printed."""
        return self._ask({"code": code}, 0)

    def evaluate(self, expression):
        """The value of an expression there, by way of JSON."""
        return json.loads(self.do(f"print(json.dumps({expression}))"))

    def _ask(self, request, code):
        print(json.dumps(request), file=self.commands.stdin, flush=True)
        answer = json.loads(self.commands.stdout.readline())
        if answer["code"] != code:
            pytest.fail(f"{request} ended with {answer['code']}:\n{answer['printed'][-6000:]}", pytrace=False)
        return answer["printed"]


class Team(Commands):
    """A bake with a team's files over it, and a process that runs commands in it.

    Args:
        folder: where the bake goes.
        python: of an environment with what bakes need.
        files: the folder of the team's files, each at its place in the project; None for a bake as it is.
        task: the answer to bake with.
        deleted: files and folders of the bake that the team does not need.
    """

    def __init__(self, folder, python, files, task, deleted=()):
        self.project = bake_into(folder, task=task, logger="csv")
        self.baked = files_of(self.project)
        if files:
            ignored = shutil.ignore_patterns("README.md", "__pycache__")
            shutil.copytree(files, self.project, dirs_exist_ok=True, ignore=ignored)
        for path in (self.project / name for name in deleted):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if (self.project / "tests/data").is_dir():
            shutil.copytree(self.project / "tests/data", self.project / "data", dirs_exist_ok=True)
        super().__init__(self.project, python)

    def __exit__(self, *error):
        super().__exit__(*error)
        run([self.python.parent / "ruff", "check", "--quiet", "src"], self.project)
        engine = [path for path in files_of(self.project).items() if "engine" in path[0].parts]
        assert engine == [path for path in self.baked.items() if "engine" in path[0].parts]

    def refused(self, *args):
        """Run a command that must end with code 2 and one line of error; return it with its hint."""
        printed = self(*args, code=2)
        assert "Traceback" not in printed
        lines = [line for line in printed.splitlines() if line.startswith("lit-project: ")]
        assert [line.split()[1] for line in lines] in (["error:"], ["error:", "try:"])
        return "\n".join(lines)

    @contextmanager
    def changed(self, file, old, new):
        """Have a file of the package say something else for a while."""
        path = self.project / PACKAGE / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        yield
        path.write_text(text)

    def lines_in_front(self):
        """By file of the package: how many lines the team wrote or changed."""
        counts = {}
        for path, content in files_of(self.project).items():
            if path.is_relative_to(PACKAGE):
                lines = [text.decode().splitlines() for text in (self.baked.get(path, b""), content)]
                written = sum(line.startswith("+ ") for line in difflib.ndiff(*lines))
                counts |= {str(path.relative_to(PACKAGE)): written} if written else {}
        return counts


def patch(path, changes):
    """Replace the lines of a file with a minus by those with a plus that follow them."""
    content = path.read_text(encoding="utf-8")
    found = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", changes, re.MULTILINE)
    assert found
    for change in found:
        old, new = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in change)
        assert content.count(old) == 1, f"{path} has not once: {old}"
        content = content.replace(old, new)
    path.write_text(content, encoding="utf-8")


def files_of(project):
    paths = [path for folder in ("src", "tests") for path in sorted((project / folder).rglob("*")) if path.is_file()]
    return {path.relative_to(project): path.read_bytes() for path in paths if "__pycache__" not in path.parts}
