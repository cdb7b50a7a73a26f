"""The engine: what no change in a team's own files can break, so each generated project need not test it again."""

import re
import shutil

import pytest
from conftest import OWN_TESTS, PROGRAMS, PROJECT, bake_into, run
from imports import WINGS, offences

PACKAGES = [path for path in PROJECT.rglob("src/{{cookiecutter.__package}}") if path.is_dir()]


def test_engine_keeps_its_promises_in_a_baked_project(tmp_path, python):
    project = bake_into(tmp_path, task="vision", logger="csv")
    # Beside the project's own tests, whose fixtures they use.
    shutil.copytree(PROGRAMS / "engine_checks", project / "tests/engine_checks")
    assert " passed" in run([python, *OWN_TESTS, "tests/engine_checks"], project)


def test_imports_follow_the_layers():
    assert len(PACKAGES) >= 5  # the shared one, and one of each task
    found = offences(*PACKAGES)
    assert not found, "imports that break the layers:\n" + "\n".join(found)


def test_readme_of_the_engine_has_a_line_for_each_file():
    engine = PROJECT / "src/{{cookiecutter.__package}}/engine"
    listed, wing = [], ""
    for line in (engine / "README.md").read_text(encoding="utf-8").splitlines():
        wing = line[3:].partition(":")[0] + "/" if line.startswith("## ") else wing
        listed += [wing + name for name in re.findall(r"^- `(\w+\.py)` ", line)]
    files = [path.relative_to(engine).as_posix() for path in engine.rglob("*.py") if path.name != "__init__.py"]
    assert sorted([*listed, "errors.py"]) == sorted(files)


# A small package that keeps every rule, also where it imports for a type checker, or only when a function is called.
LAYERED = {
    "__init__.py": "import torch",
    "__main__.py": "from .engine.command.dispatch import run\ndef load():\n    from .model import Model",
    "model.py": "from .engine.training.module import EngineModule\nfrom .network import Network",
    "network.py": "from torch import nn",
    "objective.py": "from .engine.errors import RunError",
    "engine/__init__.py": "",
    "engine/errors.py": "import sys",
    **{f"engine/{wing}/__init__.py": "" for wing in WINGS},
    "engine/command/dispatch.py": "from ..errors import RunError\nfrom ..training import module\nfrom . import flags",
    "engine/command/flags.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..devices import launch",
    "engine/training/module.py": "from ..devices.launch import start\nfrom ..saving import runs",
    "engine/saving/runs.py": "from ..devices.launch import start",
    "engine/devices/launch.py": "from .. import errors",
}
# By what is planted: the file that is changed, its source, and the beginning of each line that must be told.
VIOLATIONS = {
    "engine imports the package above": (
        "engine/training/module.py",
        "from ...network import Network",
        ["engine/training/module.py: from ...network import Network (climbs out"],
    ),
    "engine imports the package above in a function": (
        "engine/devices/launch.py",
        "def start():\n    from ... import network",
        ["engine/devices/launch.py: from ... import network (climbs out"],
    ),
    "engine imports by the package's name": (
        "engine/saving/runs.py",
        "import lit_project.network\nfrom lit_project import model",
        [
            "engine/saving/runs.py: import lit_project.network (an absolute import",
            "engine/saving/runs.py: from lit_project import model (an absolute import",
        ],
    ),
    "front imports by the package's name": (
        "network.py",
        "from lit_project.engine.errors import RunError",
        ["network.py: from lit_project.engine.errors import RunError (an absolute import"],
    ),
    "training imports command": (
        "engine/training/module.py",
        "from ..command.flags import flag",
        ["engine/training/module.py: from ..command.flags import flag (training lies below command)"],
    ),
    "devices import training for a type checker": (
        "engine/devices/launch.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..training import module",
        ["engine/devices/launch.py: from ..training import module (devices lies below training)"],
    ),
    "saving imports after": (
        "engine/saving/runs.py",
        "from .. import after",
        ["engine/saving/runs.py: from .. import after (saving lies below after)"],
    ),
    "errors import anything": (
        "engine/errors.py",
        "from .devices import launch",
        ["engine/errors.py: from .devices import launch (everything may import this file"],
    ),
    "folder of no wing": (
        "engine/utils/helpers.py",
        "",
        ["engine/utils/helpers.py (lies in none of command, search"],
    ),
    "circle of two files, one in a function": (
        "engine/command/flags.py",
        "def flag():\n    from .dispatch import run",
        [
            "engine/command/dispatch.py: from . import flags (closes a circle",
            "engine/command/flags.py: from .dispatch import run (closes a circle",
        ],
    ),
    "circle in front": (
        "network.py",
        "from .model import Model",
        ["model.py: from .network import Network (closes a circle", "network.py: from .model import Model (closes"],
    ),
    "file that imports itself": (
        "network.py",
        "from . import network",
        ["network.py: from . import network (closes a circle"],
    ),
    "front imports __main__": (
        "objective.py",
        "from .__main__ import main",
        ["objective.py: from .__main__ import main (__main__ imports the others"],
    ),
}


def plant(folder, files):
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    return folder


def test_package_in_layers_breaks_no_rule(tmp_path):
    assert not offences(plant(tmp_path, LAYERED))


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_import_against_the_layers_is_told(tmp_path, violation):
    file, source, expected = VIOLATIONS[violation]
    found = offences(plant(tmp_path, LAYERED | {file: source}))
    assert len(found) == len(expected), found
    assert all(line.startswith(beginning) for line, beginning in zip(found, expected, strict=True)), found


def test_circle_through_a_variant_is_told(tmp_path):
    shared = plant(tmp_path / "shared", LAYERED)
    variant = plant(tmp_path / "variant", {"network.py": "from .model import Model"})
    assert any("network.py: from .model import Model (closes a circle" in line for line in offences(shared, variant))
