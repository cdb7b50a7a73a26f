"""What is baked passes its own checks and tests and can be installed, for every pair of answers."""

from itertools import combinations, product

import pytest
from conftest import CHOICES, OWN_TESTS, assert_checks_pass, bake_into, find_uv, run

from tools import examples


def pairs(row):
    """Every two answers of a row: {((option, answer), (option, answer)), ...}."""
    return set(combinations(row.items(), 2))


EVERYTHING = [dict(zip(CHOICES, answers, strict=True)) for answers in product(*CHOICES.values())]
EVERY_PAIR = set().union(*map(pairs, EVERYTHING))


# The answers of the example repositories: those to all questions but the task are the first ones.
EXAMPLES = [
    {option: task if option == "task" else CHOICES[option][0] for option in CHOICES} for task in CHOICES["task"]
]


def pairwise():
    """Rows of answers in which every two answers meet at least once.

    They begin with the examples; the next row is always one that has most new pairs.
    """
    rows = list(EXAMPLES)
    missing = EVERY_PAIR - set().union(*map(pairs, rows))
    while missing:
        rows.append(max(EVERYTHING, key=lambda row: len(pairs(row) & missing)))
        missing -= pairs(rows[-1])
    return rows


def name(row):
    return "-".join(row.values())


ROWS = pairwise()
ALL = [pytest.param(row, id=name(row), marks=() if row in ROWS else pytest.mark.product) for row in EVERYTHING]


def test_rows_are_a_cover_of_all_pairs():
    assert set().union(*map(pairs, ROWS)) == EVERY_PAIR
    largest = sorted(map(len, CHOICES.values()))[-2:]
    print(f"{len(ROWS)} rows of {len(EVERYTHING)}; fewer than {largest[0] * largest[1]} are impossible")
    assert largest[0] * largest[1] <= len(ROWS) <= 1.25 * largest[0] * largest[1]


# As on another machine: the project's own source is not on the path.
FROM_WHEEL = """
import importlib, sys
sys.path = [sys.argv[1], *(folder for folder in sys.path if not folder.endswith("src"))]
main = importlib.import_module(f"{sys.argv[2]}.__main__").main
assert main.__code__.co_filename.startswith(sys.argv[1])
main(["fit", "--preset", "cpu", "--print_config"])
"""


@pytest.mark.parametrize("answers", ALL)
def test_baked_project_is_green(tmp_path, python, tools, answers):
    project = examples.bake(answers["task"], tmp_path) if answers in EXAMPLES else bake_into(tmp_path, **answers)
    assert_checks_pass(project)
    run([find_uv(), "build", "--quiet"], project)
    (wheel,) = (project / "dist").glob("*.whl")
    installed = project / "installed"
    run([find_uv(), "pip", "install", "--quiet", "--no-deps", "--target", installed, wheel], project)
    assert "precision: 32-true" in run([python, "-c", FROM_WHEEL, installed, project.name.replace("-", "_")], project)
    assert " passed" in run([python, *OWN_TESTS], project)


def test_lock_file_passes_the_checks_as_well(tmp_path, tools):
    project = bake_into(tmp_path)
    run(["uv", "lock", "--quiet"], project)
    assert (project / "uv.lock").stat().st_size > 500_000  # more than other files may have
    assert_checks_pass(project)
