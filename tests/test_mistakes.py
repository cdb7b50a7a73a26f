"""Each mistake in tests/mistakes.py is refused in a line or two with exit code 2, and leaves nothing behind.

`pytest tests/test_mistakes.py --numprocesses 0` prints for each kind how many were made, and what came of them.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict

import pytest
from conftest import CHOICES, PROGRAMS, SHORT, bake_into, run
from mistakes import MISTAKES


@pytest.fixture(scope="module")
def make(tmp_path_factory, python):
    """Make a mistake in a folder of its own; return its exit code, what was printed, and which files were left."""
    bakes = tmp_path_factory.mktemp("bakes")
    for task in CHOICES["task"]:
        bake_into(bakes / "baked", task=task, logger="csv").rename(bakes / task)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": ""}
    command = [python, PROGRAMS / "mistaken_commands.py", bakes]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "encoding": "utf-8"}
    server = subprocess.Popen(command, env=environment, **pipes)

    def made(mistake):
        print(json.dumps(asdict(mistake)), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())

    yield made
    server.communicate()


def problems(mistake, code, printed, left):
    """What is wrong with the answer to a mistake, in words."""
    lines = [line for line in printed.splitlines() if line.startswith("lit-project: ")]
    unexpected = [path for path in left if not (mistake.left and path.startswith(mistake.left))]
    is_refused = mistake.code == 2
    return {
        f"exit code {code}": code != mistake.code,
        "traceback": "Traceback" in printed,
        "not one line": is_refused and [line.split()[1] for line in lines] not in (["error:"], ["error:", "try:"]),
        f"not told: {mistake.told}": mistake.told not in ("\n".join(lines) if is_refused else printed),
        f"left: {unexpected[:3]}": is_refused and bool(unexpected),
    }


@pytest.mark.skipif(os.name == "nt", reason="forks")
@pytest.mark.parametrize("kind", MISTAKES)
def test_mistake_is_told_in_one_line_and_leaves_nothing(make, kind, capsys):
    found, counts = [], Counter()
    for mistake in MISTAKES[kind]:
        answer = make(mistake)
        wrong = [problem for problem, is_there in problems(mistake, **answer).items() if is_there]
        counts.update(problem.partition(":")[0] for problem in wrong)
        if wrong:
            found.append(f"{' '.join(mistake.words)}  {mistake.given}\n{wrong}\n{answer['printed'][-1500:]}")
    with capsys.disabled():
        print(f"\n{kind}: {len(MISTAKES[kind])} mistakes, {dict(counts) or 'each told in one line'}")
    assert not found, "\n\n".join(found)


def test_there_are_many_mistakes():
    assert sum(map(len, MISTAKES.values())) > 400


def test_error_in_the_teams_own_code_keeps_its_traceback_which_ends_with_their_line(tmp_path, python):
    project = bake_into(tmp_path, task="vision", logger="csv")
    network = project / "src/lit_project/network.py"
    own = 'return self.head(self.features({}["pictures"]))'
    network.write_text(network.read_text().replace("return self.head(self.features(pictures))", own))
    printed = run([python, "-m", "lit_project", "fit", "--run", "first", *SHORT], project, code=1)
    assert "Traceback (most recent call last)" in printed
    assert "KeyError: 'pictures'" in printed
    line = network.read_text().splitlines().index(f"        {own}") + 1
    if sys.version_info >= (3, 11):
        assert printed.splitlines()[-1] == f"lit-project: in network.py, line {line}, in forward: {own}"
    assert not (project / "runs").exists()


@pytest.mark.parametrize(("words", "variable"), [(["--traceback"], ""), ([], "1")], ids=["flag", "variable"])
def test_traceback_of_a_mistake_is_shown_when_it_is_asked_for(tmp_path, python, words, variable):
    project = bake_into(tmp_path, task="vision", logger="csv")
    fit = [python, "-m", "lit_project", "fit", *words, "--model.network.width=-8"]
    printed = run(fit, project, code=2, LIT_PROJECT_TRACEBACK=variable)
    assert "Traceback (most recent call last)" in printed
    assert "network.py" in printed
    assert printed.splitlines()[-1].startswith("lit-project: error: --model.network.width is -8, and must be")


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize("closing", ["| head -1", ">&-", "2>&1 | true"])
def test_training_outlives_the_readers_of_its_output(tmp_path, python, closing):
    project = bake_into(tmp_path, task="vision", logger="csv")
    fit = " ".join(map(str, [python, "-m", "lit_project", "fit", "--run", "first", *SHORT]))
    printed = run(["bash", "-c", f"set -o pipefail; {fit} {closing}"], project)
    assert "Traceback" not in printed
    assert "BrokenPipe" not in printed
    assert (project / "runs/first/curves.png").exists()
