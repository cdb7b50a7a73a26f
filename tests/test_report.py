"""The page that `report` writes, in a browser: on a telephone and on a screen, light and dark.

Not part of the default run: `pytest -m browser --numprocesses 0`. It installs Chromium with apt-get, where that is
missing.
"""

import json
import shutil

import pytest
from conftest import SHORT, bake_into, run

pytestmark = pytest.mark.browser

PAYLOAD = """"'></title></pre><script>console.error('ran')</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"""


# All kinds of settings, with trials that are pruned, and some that fail.
SWEEP = """
metric: val/loss
direction: minimize
trials: 7
sampler: RandomSampler
pruner: {name: PercentilePruner, percentile: 30.0, n_startup_trials: 2}
search:
  model.optimizer.class_path: {choice: [torch.optim.AdamW, torch.optim.SGD, torch.optim.NAdam]}
  model.optimizer.init_args.lr: {float: [1e-5, 1e-1], log: true}
  model.optimizer.init_args.momentum: {float: [0.0, 0.9], when: {model.optimizer.class_path: torch.optim.SGD}}
  model.network.width: {choice: [8, 4000000]}
  data.batch_size: {int: [16, 64], step: 16}
"""


def brightness(colour):
    """Of `rgb(1, 2, 3)`: from 0 to 255."""
    return sum(map(float, colour.partition("(")[2].rstrip(")").split(",")[:3])) / 3


def look_everywhere(browser, page, figures):
    """Open a page on all screens: nothing may be fetched or said, and everything must be seen."""
    for width in (400, 1200):
        for scheme in ("light", "dark"):
            seen = browser.look(page.as_uri(), width, scheme, page.with_name(f"{page.stem}-{width}-{scheme}.png"))
            assert seen["requests"] == [page.as_uri()]
            assert seen["told"] == []
            assert len(seen["figures"]) >= figures
            for figure in seen["figures"]:
                assert figure["width"] > 60
                assert figure["height"] > 20
                assert figure["right"] <= width
            assert seen["wide"] <= 0
            assert seen["cut"] == 0
            assert min(seen["letters"]) > 8  # in pixels
            text, ground = map(brightness, seen["colours"])
            is_dark = scheme == "dark"
            assert (ground < 60, text > 180) == (is_dark, is_dark)
            assert {brightness(ink) > 120 for ink in seen["ink"]} == {is_dark}


@pytest.fixture(scope="module")
def bakes(tmp_path_factory, python):
    """By task, a project with a run that has been tested, and the report of it; of vision, a second run too."""
    projects = {}
    for task in ("regression", "vision", "language"):
        project = bake_into(tmp_path_factory.mktemp(task), task=task, logger="csv")
        fit = ["fit", *SHORT, "--trainer.log_every_n_steps=1"]
        commands = [[*fit, "--run=first"], ["test", "--run=first", *SHORT], ["report", "first"]]
        if task == "vision":
            (project / "mine.yaml").write_text(SWEEP)
            commands += [[*fit, "--run=second"], ["report", "first", "second"], ["sweep", "mine.yaml", *SHORT]]
        # In one process, which imports torch once.
        code = f"from lit_project.__main__ import main\nfor command in {commands}: main(command)"
        run([python, "-c", code], project)
        projects[task] = project
    return projects


@pytest.mark.parametrize("task", ["regression", "vision", "language"])
def test_report_is_seen_on_every_screen(browser, bakes, task):
    look_everywhere(browser, bakes[task] / "runs/first/report.html", figures=4)


def test_report_of_several_runs_is_seen_on_every_screen(browser, bakes):
    look_everywhere(browser, bakes["vision"] / "runs/report.html", figures=3)


def test_report_of_a_sweep_is_seen_on_every_screen(browser, bakes):
    page = bakes["vision"] / "runs/mine/report.html"
    look_everywhere(browser, page, figures=1 + 5 + 2)
    text = page.read_text()
    assert all(word in text for word in ("trials complete", "trial pruned", "allocate memory"))


def test_nothing_that_a_run_holds_is_executed(browser, bakes, python):
    project = bakes["vision"]
    folder = shutil.copytree(project / "runs/first", project / "runs/hostile")
    for name in ("summary.json", "manifest.json"):
        path = folder / name
        path.write_text(json.dumps(poisoned(json.loads(path.read_text()))))
    for path in [folder / "metrics.csv", *folder.glob("test/*.csv")]:
        heading, *rows = path.read_text().splitlines()
        quoted = PAYLOAD.replace('"', '""')
        path.write_text("\n".join([f'{heading},"val/{quoted}"', *(f"{row},0.5" for row in rows)]))
    run([python, "-m", "lit_project", "report", "hostile"], project)
    look_everywhere(browser, folder / "report.html", figures=3)
    assert "&lt;script&gt;" in (folder / "report.html").read_text()


def poisoned(value):
    """The same with the payload behind every text and every name, where it does not decide how the rest is read."""
    if isinstance(value, dict):
        return {name: poisoned(entry) for name, entry in value.items()} | {PAYLOAD: PAYLOAD}
    if isinstance(value, list):
        return [*map(poisoned, value), PAYLOAD]
    return f"{value}{PAYLOAD}" if isinstance(value, str) else value
