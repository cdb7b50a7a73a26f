"""The commands of both READMEs, taken out of them and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, bake_into, find_uv, run

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


def commands(readme):
    """The lines of its shell blocks, continued ones joined, comments left out."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip()]


def test_every_command_of_a_project_s_readme_does_what_it_says(tmp_path, python, tools, monkeypatch):
    project = bake_into(tmp_path, task="regression", logger="csv")
    # What an installation of the project would put there.
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "lit-project").write_text(f'#!/bin/sh\nexec {python} -m lit_project "$@"\n')
    (folder / "lit-project").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    done = []
    for command in commands(project / "README.md"):
        if any(command.startswith(beginning) for beginning in ELSEWHERE):
            continue
        if " merge " in command:  # of a run in shards
            sharded = f"fit --run first --fresh {SHARDED} --trainer.strategy.class_path Sharded"
            run(["sh", "-c", f"rm -r runs/first && lit-project {sharded}"], project)
        run(["sh", "-c", command], project)
        done.append(command)
    assert len(done) >= 8
    assert all(
        any(command.startswith(beginning) for command in commands(project / "README.md")) for beginning in ELSEWHERE
    )
    assert (project / "runs/first/predictions.pt").is_file()
    assert (project / ".git/hooks/pre-commit").is_file()


@pytest.mark.parametrize("task", ["vision", "language", "blank"])
def test_other_tasks_readmes_differ_by_one_flag(tmp_path, python, task):
    project = bake_into(tmp_path, task=task, logger="csv")
    flags = [line for line in commands(project / "README.md") if "--model" in line or "--data" in line]
    assert flags
    for line in flags:
        words = line.removeprefix("uv run lit-project ").split()
        assert "trainer:" in run([python, "-m", "lit_project", *words, "--print_config"], project)


def test_two_commands_of_the_template_s_readme_bake_a_project(tmp_path):
    install, bake = commands(ROOT / "README.md")[:2]
    assert (install, bake) == ("pip install cookiecutter", "cookiecutter gh:org/lit-template")
    subprocess.run([find_uv(), "venv", "--quiet", "--seed", "--python", sys.executable, tmp_path / "env"], check=True)
    script = f"{install} --quiet --disable-pip-version-check && {bake.replace('gh:org/lit-template', str(ROOT))}"
    path = f"{tmp_path / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    subprocess.run(["sh", "-c", script], input="\n" * 8, cwd=tmp_path, env=environment, text=True, check=True)
    assert Path(tmp_path, "lit-project/README.md").is_file()
