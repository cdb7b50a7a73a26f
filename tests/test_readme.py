"""The commands of both READMEs and of a project's other pages, taken out of them and run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from conftest import CHOICES, PROJECT, ROOT, bake_into, find_uv, run
from private_names import TAKEN

# By the beginning of a command: where it is run instead, since it takes minutes, other hosts or this person's git.
ELSEWHERE = {
    "uv run pytest": "test_born_green.py and test_workflows.py",
    "torchrun": "test_cluster.py",
    "uv run --extra sweep": "test_sweep.py",
    "uv run lit-project repeat": "test_repeat.py of the engine's checks",
    "uv run pre-commit run": "test_born_green.py",
    "uv run --with jupyter": "test_python.py",
}
SHARDED = "--preset fsdp --preset cpu --trainer.devices 2 --trainer.max_epochs 1"


def commands(*pages):
    """The lines of their shell blocks, continued ones joined, comments left out."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip()]


def pages_of(project):
    """README.md, and the pages in docs/ in the order in which it names them."""
    readme = project / "README.md"
    named = re.findall(r"^\| \[[^]]+\]\((docs/\S+\.md)\)", readme.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(project / name for name in named) == sorted(project.glob("docs/*.md"))
    return [readme, *(project / name for name in named)]


def test_every_command_of_a_project_s_pages_does_what_it_says(tmp_path, python, tools, monkeypatch):
    project = bake_into(tmp_path, task="regression", logger="csv")
    # What an installation of the project would put there.
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "lit-project").write_text(f'#!/bin/sh\nexec {python} -m lit_project "$@"\n')
    (folder / "lit-project").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    done = []
    typed = commands(*pages_of(project))
    for command in typed:
        if any(command.startswith(beginning) for beginning in ELSEWHERE):
            continue
        if " merge " in command:  # of a run in shards
            sharded = f"fit --run first --fresh {SHARDED} --trainer.strategy.class_path Sharded"
            run(["sh", "-c", f"rm -r runs/first && lit-project {sharded}"], project)
        run(["sh", "-c", command], project)
        done.append(command)
    assert len(done) >= 8
    assert all(any(command.startswith(beginning) for command in typed) for beginning in ELSEWHERE)
    assert (project / "runs/first/predictions.pt").is_file()
    assert (project / ".git/hooks/pre-commit").is_file()


@pytest.mark.parametrize("task", ["vision", "language", "blank"])
def test_other_tasks_pages_differ_by_one_flag(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    flags = [line for line in commands(*pages_of(project)) if "--model" in line or "--data" in line]
    assert flags
    for line in flags:
        words = line.removeprefix("uv run lit-project ").split()
        assert "trainer:" in run([python, "-m", "lit_project", *words, "--print_config"], project)


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_first_command_of_the_template_s_readme_bakes_a_project_on_a_machine_that_has_uv_alone(tmp_path):
    command = commands(ROOT / "README.md")[0]
    assert command == "uvx cookiecutter gh:org/lit-template"
    # No settings, packages or cache of whoever runs the tests; only how this machine reaches a registry.
    path = os.pathsep.join([str(Path(find_uv()).parent), "/usr/bin", "/bin"])
    own = {"VIRTUAL_ENV", "PYTHONPATH", "UV_CACHE_DIR", "COOKIECUTTER_CONFIG"}
    kept = {name: text for name, text in os.environ.items() if name not in own and not name.startswith("XDG_")}
    environment = {**kept, "PATH": path, "HOME": str(tmp_path / "home"), "UV_PYTHON": sys.executable}
    script = command.replace("gh:org/lit-template", str(ROOT))
    subprocess.run(["sh", "-c", script], input="\n" * 8, cwd=tmp_path, env=environment, text=True, check=True)
    assert Path(tmp_path, "lit-project/README.md").is_file()


def bounds(name):
    """The first and the last minor release of a package that a project allows: ("2.6", "2.13")."""
    (versions,) = re.findall(rf'^    "{name}>=([\d.]+),<(\d+)\.(\d+)"', PYPROJECT, re.MULTILINE)
    lowest, major, minor = versions
    return ".".join(lowest.split(".")[:2]), f"{major}.{int(minor) - 1}"


PYPROJECT = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")


def test_badges_name_the_versions_that_tests_run_with():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    pythons = workflow["jobs"]["bakes"]["strategy"]["matrix"]["python"]
    assert f"badge/Python-{pythons[0]}_to_{pythons[-1]}-" in README
    assert f"badge/torch-{'_to_'.join(bounds('torch'))}-" in README
    assert f"badge/Lightning-{'_to_'.join(sorted(set(bounds('pytorch-lightning'))))}-" in README
    assert "lit-template/actions/workflows/test.yml/badge.svg" in README


def test_figures_that_speak_against_the_template_are_true():
    """Those of "Why not": the first two within a fifth, the others as docs/speed.md has them."""
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PROJECT.glob("src/*/engine/**/*.py"))
    told = int(re.search(r"some ([\d,]+) lines", README)[1].replace(",", ""))
    assert abs(told - lines) < 0.2 * lines
    told = int(re.search(r"some (\d+) private names", README)[1])
    assert abs(told - len(TAKEN)) < 0.2 * len(TAKEN)
    speed = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    shares = [re.search(rf"^\| {task} \|.*\| ([\d.]+) \| [\d.]+ \|$", speed, re.MULTILINE)[1] for task in TASKS]
    assert re.findall(r"\b0\.\d\d\b(?=[^|]*measured)", README) == shares


TASKS = ("regression", "vision", "language")


def test_links_lead_to_files_that_are_there_and_threads_have_their_numbers():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        inside = [unquote(link.partition("#")[0]) for link in links if "://" not in link]
        assert inside
        assert not [link for link in inside if not (ROOT / link).exists()]
    threads = re.findall(r"\[#(\d+)\]\(https://github.com/[\w.-]+/[\w.-]+/(?:issues|pull)/(\d+)\)", README)
    assert len(threads) == len(re.findall(r"\[#", README)) > 10
    assert all(shown == linked for shown, linked in threads)


@pytest.mark.parametrize("task", CHOICES["task"])
def test_readme_links_each_example(task):
    assert f"[{task}](https://github.com/org/lit-example-{task})" in README
