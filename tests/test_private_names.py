"""Every private name of a library on which the package depends is known, and is there in the installed releases."""

import json
import re
import shutil

import pytest
from conftest import CHOICES, PROGRAMS, PROJECT, bake_into, run
from private_names import REPLACED, TAKEN, taken_names

SOURCES = [path for folder in PROJECT.rglob("src/{{cookiecutter.__package}}") for path in folder.rglob("*.py")]
# What the program must find missing, and what it then says.
WRONG = {
    "_no_such_name": ("pytorch_lightning.Trainer", "_no_such_name: pytorch_lightning.Trainer has none"),
    "_batch_progress": ("pytorch_lightning.loops.Gone", "_batch_progress: there is no pytorch_lightning.loops.Gone"),
    "_shelf": ("torch.no_such_module", "_shelf: there is no torch.no_such_module"),
    "_update_counts": ("torchmetrics.Metric", "_update_counts: torchmetrics.Metric has none"),
}


def test_table_has_every_private_name_that_the_package_takes_from_a_library_and_no_other():
    found = taken_names(SOURCES)
    unknown = [f"{name} in {', '.join(sorted(files))}" for name, files in sorted(found.items()) if name not in TAKEN]
    assert not unknown, "add to TAKEN in tests/private_names.py, or do without:\n" + "\n".join(unknown)
    assert TAKEN.keys() == found.keys()


def test_loops_and_metrics_are_reached_into_by_two_files_alone():
    within = ("pytorch_lightning.loops.", "pytorch_lightning.utilities.combined_loader.", "torchmetrics.")
    files = [files for name, files in taken_names(SOURCES).items() if TAKEN[name].startswith(within)]
    assert len(files) > 5
    assert set().union(*files) == {"loop_state.py", "short_steps.py"}


# A class that uses its own private names alone, and how it may take one from a library.
CLEAN = """
import torch
class Loop(torch.nn.Module):
    def __init__(self):
        self._own = self.__class__.__name__
    def _step(self):
        return self._own + f"{self}_step" + self._step()
"""
TAKING = {
    "attribute of another": "def run(trainer):\n    return trainer._taken",
    "attribute that is set": "def run(trainer):\n    trainer._taken = 1",
    "own name on another": "def run(trainer):\n    trainer._step()",
    "attribute of a base class": "class Loop(Base):\n    def run(self):\n        return self._taken",
    "method of a base class": "class Loop(Base):\n    def _taken(self):\n        return super()._taken()",
    "module": "from torch._taken.inner import name",
    "imported name": "from torch import _taken",
    "text": "ALLOWED = {'torch': '_taken'}",
    "argument": "run(_taken=1)",
}


def test_names_of_the_package_s_own_are_not_a_library_s(tmp_path):
    (tmp_path / "clean.py").write_text(CLEAN)
    assert not taken_names([tmp_path / "clean.py"])


@pytest.mark.parametrize("way", TAKING)
def test_private_name_is_found_however_it_is_taken(tmp_path, way):
    (tmp_path / "clean.py").write_text(CLEAN)
    (tmp_path / "taking.py").write_text(TAKING[way])
    name = "_step" if way == "own name on another" else "_taken"
    assert taken_names([tmp_path / "clean.py", tmp_path / "taking.py"]) == {name: {"taking.py"}}


@pytest.fixture(scope="module")
def names(tmp_path_factory, python):
    """What the installed libraries lack of the tables and of WRONG, and which of their names the packages replace.

    Asked in one process with a project of each task, because importing the libraries takes seconds.
    """
    folder = tmp_path_factory.mktemp("names")
    projects = [bake_into(folder, project_slug=f"lit-{task}", task=task) for task in CHOICES["task"]]
    for project in projects[1:]:
        shutil.copytree(project / "src", projects[0] / "src", dirs_exist_ok=True)
    packages = sorted(path.name for path in (projects[0] / "src").iterdir())
    assert len(packages) == len(projects)
    table = TAKEN | REPLACED | {name: owner for name, (owner, _) in WRONG.items()}
    printed = run([python, PROGRAMS / "library_names.py", json.dumps(table), *packages], projects[0])
    return json.loads(re.search(r"^names: (.*)$", printed, re.MULTILINE)[1])


def test_installed_libraries_have_every_private_name(names):
    lacking = [line for line in names["missing"] if line.partition(":")[0] not in WRONG]
    assert not lacking, "private names that the installed releases lack:\n" + "\n".join(lacking)


def test_name_that_a_library_lacks_is_told(names):
    told = [line for line in names["missing"] if line.partition(":")[0] in WRONG]
    assert told == [line for _, line in WRONG.values()]


def test_private_names_that_the_package_replaces_are_known(names):
    unknown = sorted(set(names["replaced"]) - REPLACED.keys())
    assert not unknown, "a library's class has these too: rename them, or add them to REPLACED: " + ", ".join(unknown)
    assert names["replaced"] == sorted(REPLACED)
