"""What an outside judge says: scientific-python's review of repositories, sp-repo-review."""

import json
import subprocess
import sys

import pytest
from conftest import CHOICES, ROOT, pyproject


def review(repository):
    """{check: its result} of all checks that apply: true, false, or null if another had to pass first."""
    command = [sys.executable, "-m", "repo_review", "--format", "json", repository]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    return {check: verdict["result"] for check, verdict in json.loads(done.stdout)["checks"].items()}


def failures(results):
    return [check for check, result in results.items() if result is False]


@pytest.mark.parametrize("ci", CHOICES["ci"])
def test_baked_project_fails_no_check_and_ignores_three_at_most(bake, ci):
    project = bake(ci=ci)
    results = review(project)
    assert not failures(results)
    passed = sum(result is True for result in results.values())
    print(f"{ci}: {passed} passed")
    assert passed > 30
    ignored = pyproject(project)["tool"]["repo-review"]["ignore"]
    assert len(ignored) <= 3
    assert all(ignored.values())


def test_template_fails_no_check_that_applies_to_it():
    results = review(ROOT)
    assert not failures(results)
    assert sum(result is True for result in results.values()) > 20
    assert all(pyproject(ROOT)["tool"]["repo-review"]["ignore"].values())
