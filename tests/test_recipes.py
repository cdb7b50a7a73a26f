"""Each recipe is laid over a bake as its README says; then it is checked, trained, killed three times, and used.

`pytest tests/test_recipes.py -k gan --numprocesses 0` runs one, and prints what it took.
"""

import json
import re
import shlex
import signal

import pytest
from conftest import OWN_TESTS, ROOT, assert_checks_pass, run
from team import ON_CPU, QUIET, Team

RECIPES = sorted(path.parent for path in ROOT.glob("recipes/*/src"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipe_is_trained_killed_three_times_and_used(tmp_path, python, tools, recipe, capsys):
    readme = (recipe / "README.md").read_text(encoding="utf-8")
    task = re.search(r"task=(\w+)", readme)[1]
    deleted = [file for line in re.findall(r"^rm (.*)$", readme, re.MULTILINE) for file in shlex.split(line)]
    with Team(tmp_path, python, recipe, task, deleted) as team:
        assert_checks_pass(team.project)
        assert " passed" in run([python, *OWN_TESTS], team.project)
        printed = team("fit", "--run=untouched", *ON_CPU)
        assert "goes on with other" not in printed
        assert "without the batch" not in printed
        batches = killed_three_times(team)
        assert team.evaluate("different('untouched', 'killed')") == []
        measured = used(team, readme)
        lines = team.lines_in_front()
    python_lines = sum(count for file, count in lines.items() if file.endswith(".py"))
    assert python_lines <= 150, lines
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
    assert ".py " in team.refused("export", "--run=killed", "--format=safetensors")  # with the method that it lacks
    return measured
