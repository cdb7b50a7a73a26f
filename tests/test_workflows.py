"""What CI runs, a project's and the template's own, is run here: its commands, one after the other."""

import os
import sys

import pytest
import yaml
from conftest import ROOT, add_to_git, bake_into, find_uv, run

THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
FILES = {"github": ".github/workflows/test.yml", "gitlab": ".gitlab-ci.yml"}
# Every job, and the answers of the project in which it runs.
JOBS = [
    ("github", "check", {}),
    ("github", "test lowest-direct", {"task": "vision", "logger": "wandb"}),
    ("github", "test highest", {"task": "regression", "logger": "csv"}),
    ("gitlab", "check", {}),
    ("gitlab", "test lowest-direct", {"task": "language", "logger": "mlflow"}),
    ("gitlab", "test highest", {"task": "vision", "logger": "tensorboard"}),
]


def settings(folder, ci):
    return yaml.safe_load((folder / FILES[ci]).read_text(encoding="utf-8"))


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def fill(variables, row):
    """What a job's variables are in one row of its matrix."""
    return {name: row[text.removeprefix("${{ matrix.").removesuffix(" }}")] for name, text in variables.items()}


def github(folder):
    """Each job and row of its matrix: (name, commands, variables)."""
    for name, job in settings(folder, "github")["jobs"].items():
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            yield name, commands(job), fill(job.get("env", {}), row)


def gitlab(folder):
    found = settings(folder, "gitlab")
    for name, job in found.items():
        if "script" in job:
            for row in job.get("parallel", {}).get("matrix", [{}]):
                yield name, found["default"]["before_script"] + job["script"], row


def jobs(folder, ci):
    rows = {"github": github, "gitlab": gitlab}[ci](folder)
    return {f"{name} {variables.get('RESOLUTION', '')}".strip(): (steps, variables) for name, steps, variables in rows}


@pytest.mark.parametrize(("ci", "job", "answers"), JOBS)
def test_job_of_a_project_s_ci_succeeds(tmp_path, python, ci, job, answers):
    project = bake_into(tmp_path, ci=ci, **answers)
    found = jobs(project, ci)
    assert list(found) == [name for system, name, _ in JOBS if system == ci]
    steps, variables = found[job]
    if "lowest" in job:  # the oldest torch of the registry has CUDA, several GB
        torch = run([python, "-c", "from importlib.metadata import version; print(version('torch'))"], project).strip()
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        override = f'[tool.uv]\noverride-dependencies = ["torch=={torch}"]\n'
        (project / "pyproject.toml").write_text(text.replace("[tool.uv]\n", override), encoding="utf-8")
    add_to_git(project)
    machine = tmp_path / "machine"
    run([find_uv(), "venv", "--quiet", "--seed", "--python", sys.executable, machine], project)
    path = os.pathsep.join([str(machine / "bin"), os.environ["PATH"]])
    places = {"PATH": path, "PIPX_HOME": str(machine / "pipx"), "PIPX_BIN_DIR": str(machine / "bin")}
    for command in steps:
        # In the project's own environment, and with the Python at hand.
        run(["sh", "-c", command], project, **{**variables, **places, "PYTHON": THIS_PYTHON, "PYTHONPATH": ""})


def test_template_s_jobs_run_what_ci_runs_here_and_one_command_on_many_machines(tmp_path):
    found = settings(ROOT, "github")["jobs"]
    assert commands(found.pop("whole")) == commands(found.pop("newest")) == [".ci/run"]
    (job,) = found.values()
    (command,) = commands(job)
    matrix = job["strategy"]["matrix"]
    places = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "env"), "VIRTUAL_ENV": "", "PYTHON": THIS_PYTHON}
    for release in {*matrix["cookiecutter"], *(row["cookiecutter"] for row in matrix["include"])}:
        # With one file of those that it takes: all of them run in this run too.
        chosen = {**places, "COOKIECUTTER": f"cookiecutter{release}"}
        assert " passed" in run(["bash", "-c", f"{command} tests/test_answers.py"], ROOT, **chosen)
