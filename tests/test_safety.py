"""What gets into a baked project from outside, and what must not get out of it."""

import itertools
import json
import random
import re
import shutil
import string
import subprocess
import sys

import pytest
from conftest import CHOICES, OWN_TESTS, PROGRAMS, ROOT, SHORT, add_to_git, bake_into, find_uv, pyproject, run
from packaging.requirements import Requirement
from packaging.version import Version

# Releases that must never be installed, and why.
FORBIDDEN = {
    "pytorch-lightning": {
        "2.6.2": "malware, GHSA-w37p-236h-pfx3",
        "2.6.3": "malware, GHSA-w37p-236h-pfx3",
        "2.6.5": "a checkpoint could run code, CVE-2026-58659",
        "2.5.5": "a checkpoint could run code, CVE-2026-58659",
    },
    "lightning": {"2.6.2": "malware, GHSA-w37p-236h-pfx3", "2.6.3": "malware, GHSA-w37p-236h-pfx3"},
    "torch": {"2.5.1": "weights_only could run code, CVE-2025-32434"},
    "jsonargparse": {"4.51.0": "no list of what may be imported"},
}


@pytest.mark.parametrize("payloads", ["checkpoint_payloads.py", "configuration_payloads.py"])
def test_no_payload_is_run(tmp_path, python, payloads):
    project = bake_into(tmp_path, logger="csv")
    shutil.copy(PROGRAMS / payloads, project / "payloads.py")
    assert " passed" in run([python, *OWN_TESTS, "--noconftest", "payloads.py"], project)
    assert not list(project.rglob("executed"))


@pytest.mark.parametrize("logger", CHOICES["logger"])
def test_no_secret_reaches_the_run_folder(tmp_path, python, monkeypatch, logger):
    project = bake_into(tmp_path, task="vision", logger=logger)
    data = project / "src/lit_project/data.py"
    more = 'seed: int, api_token: str = "", password: str = "", headers: dict | None = None, mirror: str = ""\n    )'
    text, last = data.read_text(), "seed: int,\n    )"
    assert text.count(last) == 1
    data.write_text(text.replace(last, more))
    for command in (["init"], ["remote", "add", "origin", "https://me:CANARY-remote@127.0.0.1/a/b.git"]):
        subprocess.run(["git", *command], cwd=project, check=True, capture_output=True)
    secrets = ["--data.api_token=CANARY-token", "--data.password", "CANARY-password"]
    secrets += ["--data.headers", '{"authorization": "CANARY-header"}', "--data.mirror=https://me:CANARY-login@host/x"]
    monkeypatch.setenv("WANDB_API_KEY", "CANARY-wandb".ljust(40, "0"))
    monkeypatch.setenv("HF_TOKEN", "CANARY-environment")
    run([python, "-m", "lit_project", "fit", "--run", "first", *SHORT, *secrets], project)
    files = [path for path in (project / "runs/first").rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if b"CANARY" in path.read_bytes()]
    assert "mirror: https://me:***@host/x" in (project / "runs/first/config.yaml").read_text()


def requirements(project):
    settings = pyproject(project)
    optional = itertools.chain(*settings["project"]["optional-dependencies"].values())
    texts = [*settings["project"]["dependencies"], *settings["dependency-groups"]["dev"], *optional]
    return {requirement.name: requirement for requirement in map(Requirement, texts)}


@pytest.mark.parametrize("logger", CHOICES["logger"])
def test_bounds_exclude_every_forbidden_release(bake, logger):
    wanted = requirements(bake(logger=logger))
    assert all(requirement.specifier for requirement in wanted.values())
    for name in FORBIDDEN.keys() & wanted.keys():
        for release, reason in FORBIDDEN[name].items():
            assert release not in wanted[name].specifier, reason


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
@pytest.mark.parametrize("logger", CHOICES["logger"])
def test_no_forbidden_release_is_resolved(bake, logger, resolution):
    uv = find_uv()
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--resolution",
        resolution,
        "--python-version",
        "3.11",
    ]
    project = bake(logger=logger)
    lines = run([*command, "--group", "dev", "pyproject.toml"], project).splitlines()
    resolved = dict(re.findall(r"^([\w.-]+)==(\S+)", "\n".join(lines), re.MULTILINE))
    assert len(resolved) > 30
    assert Version(resolved["pytorch-lightning"]) >= Version("2.6.6")
    assert not [name for name, releases in FORBIDDEN.items() if resolved.get(name) in releases]


@pytest.mark.parametrize("ci", CHOICES["ci"])
def test_workflows_are_valid_pinned_and_modest(bake, ci):
    for folder in (ROOT, bake(ci=ci)):
        workflows = sorted((folder / ".github/workflows").glob("*.yml"))
        schemas = [("vendor.github-workflows", path) for path in workflows]
        schemas += [("vendor.gitlab-ci", path) for path in folder.glob(".gitlab-ci.yml")]
        for schema, path in schemas:
            run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path], folder)
        if workflows:
            run(["zizmor", "--offline", "--no-progress", "--persona", "auditor", *workflows], folder)
        for use in re.findall(r"uses: *(.*)", "".join(path.read_text() for path in workflows)):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)


def letters(count, alphabet=string.ascii_letters + string.digits):
    return "".join(random.Random(count).choices(alphabet, k=count))


# Made here, at random: nothing that looks like a key stands in this file.
PLANTED = {
    "aws.py": f'key = "AKIA{letters(16, string.ascii_uppercase)}"',
    "github.py": f'login("ghp_{letters(36)}")',
    "gitlab.py": f'login("glpat-{letters(20)}")',
    "huggingface.py": f'HF_TOKEN = "hf_{letters(34)}"',
    "openai.py": f'client = Client("sk-{letters(20)}T3BlbkFJ{letters(20)}")',
    "wandb.py": f'WANDB_API_KEY = "{letters(40, string.hexdigits.lower())}"',
    "slack.yaml": f"hook: xoxb-{letters(12, string.digits)}-{letters(12, string.digits)}-{letters(24)}",
    "key.pem": f"-----BEGIN {'RSA PRIVATE'} KEY-----",
    "remote.cfg": f"url = https://me:{letters(16)}@example.org/data",
    "settings.yaml": f'password: "{letters(14)}"',
}


def test_pre_commit_finds_every_planted_key(bake, python, tools):
    project = bake()
    cruft = {"template": "https://host/template", "commit": "0123456789abcdef0123456789abcdef01234567"}
    (project / ".cruft.json").write_text(json.dumps(cruft, indent=2) + "\n")
    add_to_git(project)
    run([python, "-m", "pre_commit", "run", "detect-secrets", "--all-files"], project)
    for name, text in PLANTED.items():
        (project / name).write_text(text + "\n")
        command = [python, "-m", "pre_commit", "run", "detect-secrets", "--files", name]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 1, name
        assert f"Location:    {name}:1" in done.stdout
