"""What a person or a CI job may answer, and what they get."""

import ast
import os
import subprocess
import sys

import pytest
import yaml
from conftest import QUESTIONS, ROOT, SINGLE_ANSWERS, pyproject, run

COOKIECUTTER = [sys.executable, "-m", "cookiecutter", str(ROOT)]


@pytest.mark.parametrize(("option", "answer"), SINGLE_ANSWERS)
def test_single_answer_gives_a_clean_project(bake, option, answer):
    project = bake(**{option: answer})
    files = [path for path in project.rglob("*") if path.is_file()]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert text.strip() or path.name == "__init__.py", path
        assert "cookiecutter" not in text, path
        assert "{%" not in text, path
        assert text.endswith("\n") or not text, path
        if path.suffix == ".py":
            ast.parse(text)
        if path.suffix in (".yaml", ".yml"):
            yaml.safe_load(text)
    assert not (project / "variants").exists()
    assert pyproject(project)["project"]["name"] == project.name
    run([sys.executable, "-m", "ruff", "check", "."], project)
    run([sys.executable, "-m", "ruff", "format", "--check", "."], project)


@pytest.mark.parametrize("name", ["A", "A Longer Name Than Most Teams Would Choose"])
def test_length_of_the_name_does_not_disturb_the_format(bake, name):
    project = bake(project_name=name, project_slug=name.lower().replace(" ", "-")[:40].strip("-"))
    run([sys.executable, "-m", "ruff", "check", "."], project)
    run([sys.executable, "-m", "ruff", "format", "--check", "."], project)


def test_files_belong_to_the_answers(bake):
    project = bake(ci="gitlab", license="none", logger="csv", task="vision")
    assert (project / ".gitlab-ci.yml").is_file()
    assert not (project / ".github").exists()
    assert not (project / "LICENSE").exists()
    assert not (project / "examples").exists()
    assert "wandb" not in (project / "pyproject.toml").read_text()


def test_bakes_with_closed_input_and_says_what_next_in_three_lines(tmp_path):
    command = [*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip().splitlines()) == 3
    assert "uv run lit-project fit" in done.stdout


def test_asks_readable_questions(tmp_path):
    command = [*COOKIECUTTER, "--output-dir", str(tmp_path)]
    answers = "My First Model\n" + "\n" * (len(QUESTIONS) - 1)
    done = subprocess.run(
        command, input=answers, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}
    )
    assert f"[{len(QUESTIONS)}/{len(QUESTIONS)}]" in done.stdout
    assert "Task to start from" in done.stdout
    assert (tmp_path / "my-first-model/src/my_first_model").is_dir()


@pytest.mark.parametrize(
    "slug", ["43project", "_test", "torch", "json", "class", "match", "../out", "a b", "a--b", "A", "tests"]
)
def test_unusable_name_is_refused_in_one_line_and_leaves_nothing(tmp_path, slug):
    command = [*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path), f"project_slug={slug}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: project_slug")]
    assert done.returncode != 0
    assert len(lines) == 1
    assert not list(tmp_path.iterdir())


def test_baking_again_over_a_project_keeps_its_runs(tmp_path):
    command = [*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    (tmp_path / "lit-project/runs/first").mkdir(parents=True)
    assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 1
    subprocess.run([*command, "--overwrite-if-exists"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert (tmp_path / "lit-project/runs/first").is_dir()
    assert not (tmp_path / "lit-project/variants").exists()


@pytest.mark.parametrize("text", ['say "hi"', "back\\slash", "percent % and # hash", "naïve 한국어", "it's"])
def test_description_and_author_reach_the_metadata_unchanged(bake, text):
    project = pyproject(bake(description=text, author_name=text))["project"]
    assert project["description"] == text
    assert project["authors"] == [{"name": text}]
