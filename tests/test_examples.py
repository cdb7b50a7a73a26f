"""What tools/examples.py makes can be pushed as it is; its checks and tests are run by tests/test_born_green.py."""

import json
import re

import pytest
import yaml
from conftest import CHOICES, QUESTIONS, ROOT, pyproject, run

from tools import examples


@pytest.mark.parametrize("task", CHOICES["task"])
def test_example_says_where_it_comes_from_before_anything_else_in_its_readme(tmp_path, task):
    project = examples.bake(task, tmp_path)
    assert project == tmp_path / f"lit-example-{task}"
    before = (project / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    version = json.loads((ROOT / "cookiecutter.json").read_text())["_version"]
    assert "> An example of what [lit-template](https://github.com/org/lit-template) makes." in before
    assert f" release {version} with the\n> task `{task}`" in before
    settings = next(project.glob("src/*/configs/default.yaml")).read_text(encoding="utf-8")
    assert yaml.safe_load(settings)["logger"] == QUESTIONS["logger"][0]
    assert pyproject(project)["project"]["license"] == QUESTIONS["license"][0]


def test_trained_example_is_one_commit_that_passes_its_checks_and_shows_its_run(tmp_path, python, tools, monkeypatch):
    project = examples.bake("regression", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tests")
    examples.train(project)
    examples.commit(project)
    files = run(["git", "ls-files"], project).splitlines()
    added = [name for name in files if name.startswith("docs/default-run/")]
    run(["uv", "run", "pre-commit", "run", "--show-diff-on-failure", "--files", "README.md", *added], project)
    assert not run(["git", "status", "--short"], project)
    assert len(run(["git", "log", "--oneline", "main"], project).splitlines()) == 1
    assert "docs/default-run/report.html" in added
    assert not [name for name in files if name.startswith("runs/") or name.endswith((".ckpt", ".lock"))]
    links = re.findall(r"\]\((docs/[^)]+)\)", (project / "README.md").read_text(encoding="utf-8"))
    assert len(links) >= 4
    assert not [link for link in links if not (project / link).exists()]
    assert not run(["git", "grep", "-l", str(tmp_path)], project, code=1)
