"""The template's answers, a way to bake them, and one environment in which every baked project runs."""

import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
# What runs inside baked projects, in their environment; tests copy from here.
PROGRAMS = ROOT / "tests/programs"
QUESTIONS = {key: value for key, value in json.loads((ROOT / "cookiecutter.json").read_text()).items() if key[0] != "_"}
CHOICES = {key: value for key, value in QUESTIONS.items() if isinstance(value, list)}
# What runs a notebook, which `uv run --with jupyter` brings to a project.
NOTEBOOKS = {"ipykernel>=7,<8", "nbclient>=0.10,<1"}
SINGLE_ANSWERS = [(option, answer) for option, answers in CHOICES.items() for answer in answers]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "python" in getattr(item, "fixturenames", ()):
            item.add_marker("train")


@pytest.fixture
def bake(tmp_path: Path) -> Callable[..., Path]:
    """Bake the template with the default answers, changed as asked."""
    return lambda **answers: bake_into(tmp_path, **answers)


def bake_into(folder: Path, template: Path = ROOT, **answers: str) -> Path:
    # Without the settings of whoever runs the tests.
    settings = {"no_input": True, "default_config": True, "output_dir": str(folder), "extra_context": answers}
    return Path(cookiecutter(str(template), **settings))


def pyproject(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with what any baked project or recipe asks for, as of the day in its pyproject.

    It is kept in build/ between runs, and made anew when a requirement changes.
    """
    requirements, day = set(), ""
    for option, answer in SINGLE_ANSWERS:
        settings = pyproject(bake_into(tmp_path_factory.mktemp("bake"), **{option: answer}))
        requirements |= {*settings["project"]["dependencies"], *settings["dependency-groups"]["dev"]}
        requirements |= set(itertools.chain(*settings["project"]["optional-dependencies"].values()))
        day = os.environ.get("UV_EXCLUDE_NEWER", settings["tool"]["uv"]["exclude-newer"])
    requirements |= NOTEBOOKS
    for readme in ROOT.glob("recipes/*/README.md"):
        for added in re.findall(r"^uv add (.*)$", readme.read_text(encoding="utf-8"), re.MULTILINE):
            requirements |= set(shlex.split(added))
    wanted = json.dumps([sys.version_info[:2], day, sorted(requirements)])
    folder = ROOT / "build" / f"env-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").exists():
            uv = find_uv()
            subprocess.run([uv, "venv", "--clear", "--python", sys.executable, folder], check=True)
            install = [uv, "pip", "install", "--python", python, "--exclude-newer", day]
            subprocess.run([*install, *sorted(requirements)], check=True)
            (folder / "complete").touch()
    return python


def measured(run_folder: Path) -> dict[str, float]:
    """What `test` has measured."""
    figures = json.loads((run_folder / "test.json").read_text(encoding="utf-8"))
    return {name: figure for name, figure in figures.items() if name != "checkpoint"}


# Flags of `fit` and `test`: one epoch of three batches.
SHORT = ["--trainer.max_epochs=1", "--trainer.max_steps=-1", "--trainer.val_check_interval=1.0"]
SHORT += ["--trainer.limit_train_batches=3", "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2"]
# A project's own tests, in its folder.
OWN_TESTS = ["-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "--show-capture=no"]


def add_to_git(project: Path) -> None:
    run(["git", "init", "--quiet"], project)
    run(["git", "add", "--all"], project)


def assert_checks_pass(project: Path) -> None:
    """Everything that pre-commit looks at; with the fixture `tools`."""
    add_to_git(project)
    run(["uv", "run", "pre-commit", "run", "--all-files", "--show-diff-on-failure"], project)


@pytest.fixture
def tools(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `uv run` in a baked project take that environment, as it is, and mypy remember the libraries it has read."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(python.parent), str(Path(find_uv()).parent), os.environ["PATH"]]))
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(python.parents[1]))
    monkeypatch.setenv("UV_NO_SYNC", "1")
    monkeypatch.setenv("MYPY_CACHE_DIR", str(ROOT / "build" / f"mypy-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"))


def find_uv() -> str:
    """The uv that runs these tests, which may be a private one outside the PATH."""
    return os.environ.get("UV") or shutil.which("uv") or pytest.fail("uv is missing: see README.md")


def environment(project: Path, **variables: str) -> dict[str, str]:
    """That of a command in a baked project, as if the project were installed."""
    return {
        **os.environ,
        "PYTHONPATH": str(project / "src"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
        "WANDB_MODE": "offline",
        "PYTHONDONTWRITEBYTECODE": "",  # without compiled files, each import of torch takes seconds longer
        **variables,
    }


def run(command: list[str | Path], project: Path, code: int = 0, **variables: str) -> str:
    """Run a command in a baked project as if that were installed; return what it printed, fail with another code."""
    done = subprocess.run(
        command,
        cwd=project,
        env=environment(project, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if done.returncode != code:
        pytest.fail(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-6000:]}", pytrace=False
        )
    return done.stdout


def needs(command: str, *packages: str) -> None:
    """Install what is missing, or skip with the reason."""
    if shutil.which(command):
        return
    if not shutil.which("apt-get") or os.geteuid():
        pytest.skip(f"{command} is missing, and there is no apt-get, or no root, to install {' '.join(packages)} with")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
    if subprocess.run(install, **quiet).returncode:
        subprocess.run(["apt-get", "update"], **quiet)
        if subprocess.run(install, **quiet).returncode:
            pytest.skip(f"apt-get cannot install {' '.join(packages)} here")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; it is installed if it is missing."""
    needs("chromium", "chromium")
    sys.path.insert(0, str(PROGRAMS))
    from browser import Browser

    with Browser() as opened:
        yield opened
