"""What a project says to programs that write code in it, and to editors, names what is there."""

import json
import re
import sys

import pytest
from conftest import CHOICES, ROOT, bake_into, run


@pytest.fixture(params=CHOICES["task"])
def project(request, tmp_path):
    return bake_into(tmp_path, task=request.param, project_slug="ada-lace", project_name='Ada\'s "Lace"')


def commands_of(project):
    text = (project / "src/ada_lace/engine/command/dispatch.py").read_text(encoding="utf-8")
    return re.findall(r'^    "(\w+)": "', text, re.MULTILINE)


def test_guide_for_programs_names_files_and_commands_that_exist(project):
    guide = (project / "AGENTS.md").read_text(encoding="utf-8")
    assert len(guide.splitlines()) < 60
    assert max(map(len, guide.splitlines())) <= 120
    names = re.findall(r"`([\w./-]+(?:/|\.py|\.yaml|\.md))`", guide)
    assert len(names) > 10
    package = project / "src/ada_lace"
    assert not [
        name for name in names if not any((at / name).exists() for at in (project, package)) and name != "runs/"
    ]
    assert set(re.findall(r"uv run ada-lace (\w+)", guide)) <= set(commands_of(project))
    tools = "".join((project / "pyproject.toml").read_text().partition("[dependency-groups]")[2])
    assert {"pytest", "pre-commit"} == set(re.findall(r"^uv run (?!ada-lace)(\S+)", guide, re.MULTILINE))
    assert all(f'"{tool}' in tools for tool in ("pytest", "pre-commit"))
    presets = {path.stem for path in package.glob("configs/presets/*.yaml")}
    assert set(re.findall(r"--preset (\S+)", guide)) <= presets
    assert "ALLOWED = [" in (package / "__init__.py").read_text()


def test_readme_names_each_page_of_the_documentation(project):
    pages = {path.name for path in (project / "docs").glob("*.md")}
    assert len(pages) > 10
    assert pages == set(re.findall(r"\]\(docs/([\w-]+\.md)\)", (project / "README.md").read_text(encoding="utf-8")))


def test_debugger_starts_commands_that_exist(project):
    launch = json.loads((project / ".vscode/launch.json").read_text())
    own = [one["args"] for one in launch["configurations"] if one["module"] == "ada_lace"]
    assert [args[0] for args in own] == ["fit", "test"]
    assert {args[0] for args in own} <= set(commands_of(project))
    assert [one["args"] for one in launch["configurations"] if one["module"] == "pytest"] == [["${file}"]]
    assert json.loads((project / ".vscode/extensions.json").read_text())["recommendations"]


def test_dev_container_sets_up_what_readme_says(project):
    settings = json.loads((project / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert settings["name"] == 'Ada\'s "Lace"'
    assert settings["postCreateCommand"].endswith("uv run ada-lace schema")
    python = settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python == f"{settings['containerEnv']['UV_PROJECT_ENVIRONMENT']}/bin/python"


def test_files_of_the_template_s_own_site_on_github_are_valid(tmp_path):
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    for path in forms:
        schema = "vendor.github-issue-config" if path.stem == "config" else "vendor.github-issue-forms"
        run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path], ROOT)
    assert len(forms) == 3
