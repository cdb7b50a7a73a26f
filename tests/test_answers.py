"""What a person or a CI job may answer, and what they get."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import QUESTIONS, ROOT, SINGLE_ANSWERS, bake_into, pyproject, run
from cookiecutter.exceptions import FailedHookException

import lit_answers

COOKIECUTTER = [sys.executable, "-m", "cookiecutter", str(ROOT), "--default-config"]


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
    (settings,) = project.glob("src/*/configs/default.yaml")
    chosen = answer if option == "logger" else QUESTIONS["logger"][0]
    assert yaml.safe_load(settings.read_text(encoding="utf-8"))["logger"] == chosen
    assert pyproject(project)["project"]["name"] == project.name
    run([sys.executable, "-m", "ruff", "check", "."], project)
    run([sys.executable, "-m", "ruff", "format", "--check", "."], project)


@pytest.mark.parametrize("name", ["A", "A Longer Name Than Most Teams Would Choose"])
def test_length_of_the_name_does_not_disturb_the_format(bake, name):
    project = bake(project_name=name, project_slug=name.lower().replace(" ", "-")[:40].strip("-"))
    run([sys.executable, "-m", "ruff", "check", "."], project)
    run([sys.executable, "-m", "ruff", "format", "--check", "."], project)


def test_paths_stay_short_for_the_longest_name(bake):
    project = bake(project_slug="a" * 40)
    paths = [path.relative_to(project.parent).as_posix() for path in project.rglob("*")]
    assert max(map(len, paths)) <= 150
    assert not [path for path in paths if re.search(r'[<>:"|?*\\]|[ .]$', path)]


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


@pytest.mark.parametrize("hooks", ["yes", "no"])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("project_slug=My Model", "'My Model' is no name for a folder and a command"),
        ("project_slug=43things", "a letter first; for example: lit-project"),
        ("project_slug=torch", "a package that the project needs"),
        ("project_slug=../outside", "is no name for a folder"),
        ("project_slug=", "is no name for a folder"),
        ("__package=my-model", "is no name for a package"),
        ("project_name= ", "project_name ' ' is empty"),
        ("description=two\nlines", "the control or invisible character U+000A"),
        ("author_name=Ada ", "begins or ends with a blank"),
        (f"author_name={'x' * 200}", "has 200 characters, 100 are allowed; for example: Ada Lovelace"),
    ],
)
def test_typical_mistake_is_refused_in_one_line_with_or_without_hooks(tmp_path, answer, told, hooks):
    done = cookiecutter_in(tmp_path, "--no-input", "--accept-hooks", hooks, answer)
    assert done.returncode == 1
    assert told in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr
    assert not list(tmp_path.iterdir())


def cookiecutter_in(folder, *arguments):
    command = [*COOKIECUTTER, "--output-dir", str(folder), *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_unknown_choice_is_refused_by_cookiecutter_and_leaves_nothing(tmp_path):
    done = cookiecutter_in(tmp_path, "--no-input", "task=speech")
    assert done.returncode == 1
    assert "speech provided for choice variable task, but the choices are ['regression'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_older_cookiecutter_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.6.0")
    with pytest.raises(FailedHookException, match=r"^Error: cookiecutter 2\.6\.0 is too old; [^\n]+$"):
        bake_into(tmp_path)


def test_answers_of_a_replay_file_are_checked_too(tmp_path):
    context = {"cookiecutter": {**json.loads((ROOT / "cookiecutter.json").read_text()), "__package": "lit_project"}}
    context["cookiecutter"] |= {
        "project_slug": "lit-project",
        "description": "two\nlines",
        "__checked": "",
        "task": "vision",
    }
    replay = tmp_path / "replay.json"
    replay.write_text(json.dumps(context))
    done = cookiecutter_in(tmp_path / "out", "--replay-file", str(replay))
    assert done.returncode == 1
    assert "Error: description 'two\\nlines' holds the control" in done.stdout
    assert not list((tmp_path / "out").iterdir())


def test_hooks_take_no_module_from_the_folder_for_temporary_files(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for module in ("json", "shutil", "pathlib"):
        (temporary / f"{module}.py").write_text("raise SystemExit('planted module was run')\n")
    command = [*COOKIECUTTER, "--no-input", "--output-dir", str(tmp_path)]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, stdin=subprocess.DEVNULL, check=True)


def test_slug_of_any_project_name_is_usable(bake):
    names = {
        "Torch": "lit-torch",
        "43 Things": "lit-43-things",
        "🎉": "lit-project",
        "한국어": "hangugeo",
        "Class": "lit-class",
    }
    assert {name: bake(project_name=name).name for name in names} == names


def test_names_of_packages_in_a_project_s_environment_are_taken(python):
    listing = """
import importlib.metadata as metadata, json
print(json.dumps([*metadata.packages_distributions(), *(d.metadata["Name"] for d in metadata.distributions())]))
"""
    commands = [path.name for path in Path(python).parent.iterdir() if "." not in path.name]
    names = commands + json.loads(subprocess.run([python, "-c", listing], capture_output=True, check=True).stdout)
    slugs = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    free = {slug for slug in slugs if not lit_answers.objection("project_slug", slug)}
    assert len(slugs) > 100
    assert not free


def test_baking_over_a_project_is_refused_unless_told_and_then_keeps_what_the_user_wrote(bake, tmp_path):
    project = bake()
    written = [
        "runs/first/config.yaml",
        "src/lit_project/mine.py",
        "notes/variants/task/vision/notes.md",
        "examples/mine.py",
    ]
    for name in written:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    assert cookiecutter_in(tmp_path, "--no-input").returncode == 1
    assert cookiecutter_in(tmp_path, "--no-input", "--overwrite-if-exists").returncode == 0
    assert [(project / name).read_text() for name in written] == written
    assert not (project / "variants").exists()


def test_baking_over_a_folder_of_the_same_name_as_the_template_s_own_is_refused(bake, tmp_path):
    project = bake()
    (project / "README.md").write_text("mine")
    (project / "variants").mkdir()
    (project / "variants/mine.md").write_text("mine")
    done = cookiecutter_in(tmp_path, "--no-input", "--overwrite-if-exists")
    assert done.returncode == 1
    assert "this project has a folder variants/" in done.stdout + done.stderr
    assert (project / "variants/mine.md").read_text() == (project / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"task": "regression"}, {"task": "vision"}),
        ({"task": "language"}, {"task": "blank"}),
        ({"logger": "mlflow"}, {"logger": "csv"}),
        ({"ci": "github", "license": "MIT"}, {"ci": "gitlab", "license": "none"}),
    ],
    ids=str,
)
def test_baking_over_a_project_with_other_answers_leaves_no_file_of_the_old_ones(tmp_path, before, after):
    fresh, over = tmp_path / "fresh", tmp_path / "over"
    assert cookiecutter_in(over, "--no-input", *words(before)).returncode == 0
    assert cookiecutter_in(over, "--no-input", "--overwrite-if-exists", *words(after)).returncode == 0
    assert cookiecutter_in(fresh, "--no-input", *words(after)).returncode == 0
    files = [{path.relative_to(out) for path in out.rglob("*")} for out in (fresh, over)]
    assert files[0] == files[1]


def test_baking_over_a_project_keeps_files_of_the_old_answers_that_were_edited(tmp_path):
    assert cookiecutter_in(tmp_path, "--no-input").returncode == 0
    edited = tmp_path / "lit-project/examples/plain_pytorch.py"
    edited.write_text(edited.read_text() + "# mine\n")
    assert cookiecutter_in(tmp_path, "--no-input", "--overwrite-if-exists", "task=vision").returncode == 0
    assert edited.read_text().endswith("# mine\n")


def words(answers):
    return [f"{question}={answer}" for question, answer in answers.items()]


@pytest.mark.skipif(sys.platform != "linux", reason="makes a small file system with mount")
def test_full_disk_leaves_no_half_project(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", tmp_path]).returncode:
        pytest.skip("mount needs rights that this user has not")
    try:
        done = cookiecutter_in(tmp_path, "--no-input")
        assert done.returncode == 1
        assert "MiB free" in done.stdout + done.stderr
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_failed_bake_leaves_nothing(tmp_path):
    template = tmp_path / "template"
    shutil.copytree(ROOT, template, ignore=shutil.ignore_patterns("build", ".*", "tests"))
    (template / "hooks/post_gen_project.py").write_text("raise SystemExit(1)\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", "--output-dir", str(out)]
    assert subprocess.run(command, capture_output=True).returncode == 1
    assert not list(out.iterdir())
