"""The template as it lies here, before anything is baked."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHOICES, PROJECT, QUESTIONS, ROOT, pyproject, run

FILES = sorted(path for path in PROJECT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
PACKAGE_SOURCES = [path for path in FILES if path.suffix == ".py" and {"src", "examples"} & set(path.parts)]
CONTROL = re.compile(r"{%|{#")


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PACKAGE_SOURCES, ids=relative)
def test_package_source_is_plain_python(path):
    text = path.read_text(encoding="utf-8")
    ast.parse(text)
    assert "cookiecutter" not in text
    assert not re.search("lit.project", text, re.IGNORECASE)  # nothing here is rendered, and projects have other names


def test_packages_hold_source_configurations_and_what_the_engine_says_of_itself_alone():
    others = [path for path in FILES if "src" in path.parts and path.suffix not in (".py", ".yaml")]
    assert [path.relative_to(path.parents[1]).as_posix() for path in others] == ["engine/README.md"]


def test_jinja_control_lines_are_under_two_percent():
    lines = [line for path in FILES for line in path.read_text(encoding="utf-8").splitlines()]
    control = [line for line in lines if CONTROL.search(line)]
    print(f"{len(control)} of {len(lines)} lines")
    assert len(control) < 0.02 * len(lines)


def test_variant_folders_are_the_declared_answers():
    folders = {(path.parent.name, path.name) for path in (PROJECT / "variants").glob("*/*")}
    options = {path.name for path in (PROJECT / "variants").iterdir()}
    without_files = ("none", "csv")  # every project has the file of metrics
    needed = {(option, answer) for option in options for answer in CHOICES[option] if answer not in without_files}
    assert folders == needed
    assert options == CHOICES.keys()


def test_variants_never_overwrite_a_shared_file():
    variants = PROJECT / "variants"
    shared = {path.relative_to(PROJECT) for path in FILES if not path.is_relative_to(variants)}
    added = {Path(*path.relative_to(variants).parts[2:]) for path in FILES if path.is_relative_to(variants)}
    assert not shared & added


def test_paths_are_legal_everywhere_and_short():
    for path in FILES:
        assert not re.search(r'[<>:"|?*\\]|[ .]$', relative(path)), path
        assert len(relative(path)) <= 120, path
        assert not path.is_symlink(), path


def test_lines_end_alike_everywhere():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in tracked.split("\0") if name and not name.endswith((".png", ".safetensors"))]
    assert not [name for name in names if b"\r" in (ROOT / name).read_bytes()]


def test_template_s_own_python_is_clean():
    for command in (["check"], ["format", "--check"]):
        run([sys.executable, "-m", "ruff", *command, "--config", "pyproject.toml", "."], ROOT)


def test_at_most_eight_questions_each_with_a_prompt():
    prompts = json.loads((ROOT / "cookiecutter.json").read_text())["__prompts__"]
    assert len(QUESTIONS) <= 8
    assert prompts.keys() == QUESTIONS.keys()
    for option, answers in CHOICES.items():
        assert prompts[option].keys() == {"__prompt__", *answers}


def test_template_and_its_projects_name_one_version():
    assert json.loads((ROOT / "cookiecutter.json").read_text())["_version"] == pyproject(ROOT)["project"]["version"]


def class_paths(settings):
    """Every class_path in a configuration."""
    if isinstance(settings, dict):
        yield from (value for key, value in settings.items() if key == "class_path")
    for part in settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else ():
        yield from class_paths(part)


def test_short_names_in_configurations_are_registered_and_documented():
    text = (PROJECT / "src/{{cookiecutter.__package}}/engine/command/registry.py").read_text(encoding="utf-8")
    registered = set(re.search(r"for kind in \((.+?)\)", text)[1].split(", "))
    configs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES if "configs" in path.parts]
    short = {name for settings in configs for name in class_paths(settings) if "." not in name}
    pages = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "README.md", *PROJECT.glob("docs/*.md")))
    assert len(configs) > 20
    assert short <= registered
    assert {name for name in registered if f"`{name}`" in pages} == registered


def test_hook_that_promotes_knows_no_option_by_name():
    text = (ROOT / "hooks/post_gen_project.py").read_text()
    assert not [option for option in CHOICES if re.search(rf"\b{option}\b", text)]
