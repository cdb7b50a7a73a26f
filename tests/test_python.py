"""A project from Python, as docs/python.md says: a trained model, a training, whole commands, and the notebook."""

import base64
import json
import re

import pytest
from conftest import CHOICES, PROGRAMS, bake_into, run

COMMAND = ["-m", "lit_project"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
# By task: the Trainer's settings on that page, shorter ones, and those as flags.
SHORTER = {
    "regression": ("max_epochs=100", "max_epochs=20"),
    "vision": ("max_epochs=30", "max_epochs=3"),
    "language": ("max_steps=1500, val_check_interval=250", "max_steps=30, val_check_interval=15"),
    "blank": ("max_epochs=20", "max_epochs=4"),
}
SMALL_SETS = {"language": ["--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2"]}
COMPARE = """
saved = torch.load("runs/first/checkpoints/last.ckpt", weights_only=True)["state_dict"]
assert saved.keys() == model.state_dict().keys()
assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in saved.items())
"""


def blocks(project):
    """The Python of its page."""
    page = (project / "docs/python.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", params=CHOICES["task"])
def trained(request, tmp_path_factory, python):
    """A project with a short run `first`, and the code of that page, as short."""
    task = request.param
    project = bake_into(tmp_path_factory.mktemp(task), task=task, logger="csv")
    whole, short = SHORTER[task]
    flags = [f"--trainer.{setting}" for setting in short.split(", ")]
    small = [flag for flag in SMALL_SETS.get(task, []) if "test" not in flag]
    run([python, *COMMAND, "fit", "--run=first", "--early_stopping=null", *flags, *small, *QUIET], project)
    code = blocks(project)
    assert len(code) == 4
    assert sum(whole in block for block in code) == 1
    limit = ", limit_val_batches=2" if small else ""
    return task, project, [block.replace(whole, short + limit) for block in code]


def test_model_is_loaded_in_few_lines_from_any_folder(trained, python, tmp_path):
    _, project, (load, from_checkpoint, *_) = trained
    assert len([line for line in load.splitlines() if line]) <= 5
    assert "{'" in run([python, "-W", "error", "-c", load], project)
    elsewhere = (load + from_checkpoint).replace('"runs/', f'"{project}/runs/')
    compare = "\nassert all(tensor.equal(same.state_dict()[name]) for name, tensor in model.state_dict().items())"
    code = elsewhere + compare + "\nassert same.network is network"
    assert "{'" in run([python, "-c", code], tmp_path, PYTHONPATH=str(project / "src"))


def test_training_in_ten_lines_ends_with_the_bits_of_the_command(trained, python):
    _, project, (*_, training, _) = trained
    statements = [line for line in training.splitlines() if line and not line.startswith(("from", "import"))]
    assert len(statements) <= 10
    run([python, "-c", training + COMPARE], project)


def test_commands_run_from_python(trained, python):
    task, project, (*_, commands) = trained
    short = ["--trainer.limit_train_batches=3", *SMALL_SETS.get(task, [])]
    code = re.sub(r"(main\(\[.*?)\]", lambda words: words[1] + "".join(f', "{flag}"' for flag in short) + "]", commands)
    if task == "language":
        in_steps = '"--trainer.max_steps", "3", "--trainer.val_check_interval", "3"'
        code = code.replace('"--trainer.max_epochs", "1"', in_steps)
        code = re.sub(r'(main\(\["test".*?), "--trainer.limit_train_batches=3"', r"\1", code)
    printed = run([python, "-c", code], project)
    batches = 1 if task == "regression" else 3
    assert printed.rstrip().endswith(f"\n{batches}")
    assert (project / "runs/second/test.json").is_file()


def test_commands_run_in_turn_with_one_process_and_with_two(tmp_path, python):
    project = bake_into(tmp_path, task="blank", logger="csv")
    printed = run([python, PROGRAMS / "commands_in_turn.py"], project)
    said = re.findall(r"^SAID (.*)$", printed, re.MULTILINE)
    told = ["one", "two", "counted 32", "mine", "test of two", "again"]
    assert said == [f"{what} False [] True" for what in told]
    one, again, two, counted = (
        (project / f"runs/{name}/metrics.csv").read_bytes() for name in ("one", "again", "two", "counted")
    )
    assert one == again
    assert two == counted


# What a notebook's kernel runs: the cells of a file, in its folder. Prints the outputs as JSON.
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}, allow_errors=True).execute()
print("cells:", json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"]))
"""


def execute(python, project, notebook):
    """The outputs of each cell."""
    printed = run([python, "-c", EXECUTE, notebook, notebook.parent], project)
    return json.loads(re.search(r"^cells: (.*)$", printed, re.MULTILINE)[1])


def pictures(cells):
    outputs = [output.get("data", {}) for cell in cells for output in cell]
    return [base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data]


def errors(cells):
    return [output for cell in cells for output in cell if output["output_type"] == "error"]


def test_notebook_shows_the_curves_and_the_worst_mistakes_of_the_newest_run(trained, python):
    task, project, _ = trained
    notebook = project / "notebooks/look.ipynb"
    before = notebook.read_bytes()
    cells = execute(python, project, notebook)
    assert not errors(cells)
    shown = pictures(cells)
    assert len(shown) == (3 if task == "language" else 2)
    assert all(len(picture) > 10_000 for picture in shown)
    assert notebook.read_bytes() == before
    assert sorted(path.name for path in notebook.parent.iterdir()) == ["look.ipynb"]


def test_notebook_says_in_one_line_what_is_missing(tmp_path, python):
    project = bake_into(tmp_path, task="blank", logger="csv")
    cells = execute(python, project, project / "notebooks/look.ipynb")
    (told,) = {tuple(error["traceback"]) for error in errors(cells) if error["ename"] == "RunError"}
    assert told == (f"error: there is no run yet in {project}/runs", "try: lit-project fit")


def test_commands_run_in_a_notebook(tmp_path, python):
    project = bake_into(tmp_path, task="blank", logger="csv")
    short = ["--trainer.max_epochs=1", "--trainer.enable_model_summary=false"]
    sources = [
        "from lit_project.__main__ import main\nfrom lit_project import load",
        f"main(['fit', '--run=one', *{short}])",
        f"main(['fit', '--run=two', '--preset=ddp-cpu', *{short}])",
        "main(['test', '--preset=cpu', '--run=two'])\nload('runs/two')(load('runs/two').data.examples()[0][None])",
        "main(['test', '--run=none'])",
    ]
    cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in sources]
    cells = [cell | {"execution_count": None, "id": str(number)} for number, cell in enumerate(cells)]
    notebook = project / "commands.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    outputs = execute(python, project, notebook)
    assert [error["ename"] for error in errors(outputs)] == ["SystemExit"]  # of the last one
    printed = ["".join(output.get("text", "") for output in cell) for cell in outputs]
    assert "step 16 of 16" in printed[1]
    assert "2 x CPU" in printed[2]
    assert "prediction" in outputs[3][-1]["data"]["text/plain"]
    assert "lit-project: error: there is no run 'none'" in printed[4]
