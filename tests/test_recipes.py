"""Each recipe is laid over a bake as its README says; then it is checked, trained, killed three times, and used.

`pytest tests/test_recipes.py -k gan --numprocesses 0` runs one, and prints what it took.
"""

import csv
import json
import re
import shlex
import signal

import pytest
from conftest import OWN_TESTS, ROOT, assert_checks_pass, run
from team import ON_CPU, QUIET, Team

MOST_LINES = 150  # of Python in front
# Its objects are answered as lists of any length, and as tensors of one shape, which alone can be exported.
MORE_LINES = {"detector": 160}
PICTURES = """
import numpy as np
from PIL import Image

Path("inputs").mkdir()
for number, levels in enumerate(np.random.default_rng(0).integers(0, 256, (5, 12, 9), dtype=np.uint8)):
    Image.fromarray(levels).save(f"inputs/{number}.png")
Path("inputs/bad.png").write_text("no picture")
"""
TOKENS = "id,tokens\nshort,3 17 4\nbad,3 20\nlong,1 2 3 4 5 6 7 8 9 10 11 12 13 1\n"
LINES = "id,text\ncode,return number + number\nbad,\nprose,Twice as much as the number that is given.\n"
SIGNALS = "\n".join(",".join(words) for words in ([f"s{n}" for n in range(128)], ["7"] * 128, ["7"] * 127 + ["x"]))
# By recipe: what writes inputs of which some are bad, where they are, and the ids of the bad ones.
INPUTS = {
    "detector": (PICTURES, "inputs", ["bad.png"]),
    "finetune": (f"Path('lines.csv').write_text({LINES!r})", "lines.csv", ["bad"]),
    "images": (PICTURES, "inputs", ["bad.png"]),
    "module": (PICTURES, "inputs", ["bad.png"]),
    "padding": (f"Path('tokens.csv').write_text({TOKENS!r})", "tokens.csv", ["bad"]),
    "stream": (f"Path('signals.csv').write_text({SIGNALS!r})", "signals.csv", ["2"]),
    "table": ("", "data/patients.csv", ["P-0b41d7", "P-77c0e2", "241", "P-e81f55"]),
    "teacher": (PICTURES, "inputs", ["bad.png"]),
}
# What the model of a checkpoint answers to each input alone, through no code of predict, load and export.
ALONE = """
import contextlib

from lit_project.__main__ import project
from lit_project.engine.command.load import load
from lit_project.model import Model

loaded, exported = load("runs/killed", project()), load("runs/killed/export", project()).ready
model = Model.load_from_checkpoint(loaded.path).eval()
naming = model.answers if hasattr(model, "answers") else model.objective.answers
inputs = loaded.ready.data.read_inputs(Path(PLACE))
rows = []
for item in inputs.items:
    with contextlib.suppress(ValueError), torch.no_grad():
        batch = inputs.collate([inputs.sample(item.checked())])
        prepared = loaded.ready.data.preprocessing()(batch)
        outputs = model(**prepared) if RECIPE == "padding" else model(prepared)
        answers = naming(outputs)
        for other in (loaded.ready, exported):
            assert all(torch.equal(value, answers[name]) for name, value in other(batch).items())
        rows.append([item.id, *(number for value in answers.values() for number in value.flatten().tolist())])
"""
RECIPES = sorted(path.parent for path in ROOT.glob("recipes/*/src"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipe_is_trained_killed_three_times_and_used(tmp_path, python, tools, recipe, capsys):
    readme = (recipe / "README.md").read_text(encoding="utf-8")
    task = re.search(r"task=(\w+)", readme)[1]
    lines = re.findall(r"^rm (?:-r )?(.*)$", readme, re.MULTILINE)
    deleted = [name for line in lines for name in shlex.split(line, comments=True)]
    with Team(tmp_path, python, recipe, task, deleted) as team:
        assert_checks_pass(team.project)
        assert " passed" in run([python, *OWN_TESTS], team.project)
        printed = team("fit", "--run=untouched", *ON_CPU)
        assert "goes on with other" not in printed
        assert "without the batch" not in printed
        batches = killed_three_times(team)
        assert team.evaluate("different('untouched', 'killed')") == []
        measured = used(team, readme)
        exported_and_asked(team, recipe.name)
        lines = team.lines_in_front()
    python_lines = sum(count for file, count in lines.items() if file.endswith(".py"))
    assert python_lines <= MORE_LINES.get(recipe.name, MOST_LINES), lines
    with capsys.disabled():
        print(f"\n{recipe.name}: {python_lines} lines of Python in {len(lines)} files: {lines}; {batches} batches,")
        print(f"killed three times, the same bits; {measured}")


def killed_three_times(team):
    """Run the training once more, with a kill in each quarter; return how many batches it has.

    Half of it is in Lightning's own steps, which give the same bits as the short ones.
    """
    progress = "checkpoint('untouched')['loops']['fit_loop']['epoch_loop.batch_progress']"
    batches = team.evaluate(f"{progress}['total']['completed']")
    fit = ["fit", "--run=killed", *ON_CPU, f"--last_checkpoint.every_n_steps={max(1, batches // 15)}"]
    for short in ("true", "false", "true"):
        team(*fit, f"--short_steps={short}", code=-signal.SIGKILL, stop=[batches // 4, signal.SIGKILL])
    team(*fit, "--short_steps=false")
    return batches


def used(team, readme):
    """Test and predict; the figures that the README promises, as "`test/accuracy` is at least 0.9", must be reached."""
    promised = re.findall(r"`(test[\w/]+)` is at (least|most) (\d+(?:\.\d+)?)", readme)
    assert promised
    team("test", "--run=killed", *QUIET)
    measured = json.loads((team.project / "runs/killed/test.json").read_text())
    for metric, direction, figure in promised:
        reached = measured[metric]
        assert reached >= float(figure) if direction == "least" else reached <= float(figure), (metric, reached)
    team("predict", "--run=killed", *QUIET)
    assert (team.project / "runs/killed/predictions.pt").exists()
    return measured


def exported_and_asked(team, recipe):
    """Export the model, and have it answer inputs of a user's own, which a model of its checkpoint answers alike."""
    printed = team("export", "--run=killed")
    assert all(f"\n{name} " in printed for name in ("onnx", "pt2", "safetensors"))
    asked = ["predict", "--run=killed", *QUIET, "--output=answers.csv"]
    if recipe == "gan":  # makes points of noise, which nobody has in a file
        assert "data.py has no read_inputs" in team.refused(*asked, "--input=data")
        points = team.do("from lit_project import load; print(load('runs/killed')(torch.zeros(1, 8))['point'].shape)")
        assert points == "torch.Size([1, 2])\n"
        return
    writer, place, bad = INPUTS[recipe]
    team.do(writer)
    team(*asked, f"--input={place}", code=3)
    answers, rejects = (table(team.project / name) for name in ("answers.csv", "answers.rejects.csv"))
    assert [row["id"] for row in rejects] == bad
    code = f"RECIPE, PLACE = {recipe!r}, {place!r}\n{ALONE}\nprint(json.dumps(rows))"
    alone = json.loads(team.do(code).splitlines()[-1])
    assert alone
    assert [row.pop("id") for row in answers] == [row[0] for row in alone]
    for row, (_, *expected) in zip(answers, alone, strict=True):
        assert [float(cell) for cell in row.values()] == pytest.approx(expected, abs=1e-5, rel=1e-5)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
