"""The steps of CONTRIBUTING.md, followed for a toy task, and what it says of a release."""

import json
import re
import shutil

from conftest import OWN_TESTS, PROJECT, ROOT, assert_checks_pass, bake_into, run

# A copy of the task `blank`, as CONTRIBUTING.md suggests.
BLANK = PROJECT / "variants/task/blank"
ROW = """  "toy": {
    "summary": "A linear map that learns to add",
    "requirements": [],
    "figure": "a mean squared error of 0.01",
    "input": "rows.csv: a CSV or Parquet file with the columns `x0` to `x3`",
    "python": {
      "network": "Network(bias=True)", "objective": "Objective()",
      "optimizer": "torch.optim.AdamW, lr=0.05, weight_decay=0.0", "schedule": "warmup=0.1, floor=0.0",
      "data": "samples=512, batch_size=32, num_workers=0, seed=0", "trainer": "max_epochs=20"},
    "presets": {},
    "change": "--data.samples 256"},
"""


def test_task_is_added_in_the_steps_of_contributing(tmp_path, python, tools):
    template = tmp_path / "template"
    shutil.copytree(ROOT, template, ignore=shutil.ignore_patterns("build", ".git", ".uv", ".venv", "tests"))
    # 1. Its name, and its line in the prompt.
    questions = json.loads((template / "cookiecutter.json").read_text())
    questions["task"].append("toy")
    questions["__prompts__"]["task"]["toy"] = "sums of numbers"
    (template / "cookiecutter.json").write_text(json.dumps(questions))
    # 2. Its files.
    shutil.copytree(BLANK, template / "{{cookiecutter.project_slug}}/variants/task/toy")
    # 3. Its row.
    choices = template / "templates/choices.j2"
    text = choices.read_text()
    assert "{% set TASKS = {\n" in text
    choices.write_text(text.replace("{% set TASKS = {\n", "{% set TASKS = {\n" + ROW))
    # 4. Its tests, and everything that a project checks.
    project = bake_into(tmp_path, template, task="toy", logger="csv")
    assert "A linear map that learns to add" in (project / "README.md").read_text()
    assert_checks_pass(project)
    assert " passed" in run([python, *OWN_TESTS], project)


def test_release_has_notes_that_name_every_command():
    version = json.loads((ROOT / "cookiecutter.json").read_text())["_version"]
    notes = (ROOT / f".github/releases/v{version}.md").read_text(encoding="utf-8")
    dispatch = PROJECT / "src/{{cookiecutter.__package}}/engine/command/dispatch.py"
    commands = re.findall(r'^    "(\w+)": "', dispatch.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) > 10
    assert not [command for command in commands if f"`{command}`" not in notes]
    assert all(chapter in notes for chapter in ("What is in it", "What is known not to work", "What was not tested"))
    assert f"gh release create v{version} " in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
