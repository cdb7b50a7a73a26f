"""The commands of the README and the Makefile, as typed."""

import re

import pytest
from conftest import ROOT, run

RECIPES = (ROOT / "Makefile").read_text().replace("$(UV)", "python3 tools/uv.py")


def recipe(target):
    return re.search(rf"^{target}:\n((?:\t.*\n)+)", RECIPES, re.MULTILINE)[1].replace("\t", "").splitlines()


def test_readme_shows_each_command_of_the_makefile():
    readme = (ROOT / "README.md").read_text()
    for command in [*recipe("demo"), *recipe("test")]:
        assert command in readme


def test_ci_runs_the_test_command():
    assert recipe("test")[0] in (ROOT / ".ci/run").read_text()


@pytest.mark.train
def test_demo_trains_to_its_end_and_shows_where():
    printed = "".join(run(command.split(), ROOT) for command in recipe("demo"))
    assert "test/mse" in printed
    (folder,) = set(re.findall(r"^Run folder: +(\S+)", printed, re.MULTILINE))
    assert f"{folder}/curves.png" in printed
