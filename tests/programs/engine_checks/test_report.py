"""The command `report`: one page in one file, in which nothing runs, and nothing is fetched."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import SHORT, SMALL_BATCHES
from lit_project.__main__ import main
from lit_project.engine.saving.rows import read
from lit_project.engine.search import charts, page
from lit_project.engine.search.page import Markup, element, table

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title></style></pre><iframe src=//host>",
    "]]><!-- --><style>@import url(//host)</style>",
    "javascript:alert(1)",
    "&lt;b&gt; {{ 1 }} \u202e\x1b[31m",
]
VOID = {"meta", "img", "br"}
# With the attributes that each may have. SVG's are those of the drawing library.
ALLOWED = {
    "html": {"lang"},
    "meta": {"charset", "http-equiv", "content", "name"},
    "img": {"alt", "src"},
    "svg": {"viewbox", "role", "aria-label"},
    **{tag: {"class", "style"} for tag in ("div", "p", "span", "td", "th", "table", "pre", "figure")},
}
BARE = {"head", "body", "title", "style", "h1", "h2", "h3", "b", "small", "code", "tr", "section", "details"}
BARE |= {"summary", "figcaption"}
DRAWN = {"path", "use", "text", "clippath", "rect", "g", "defs", "tspan"}


class Page(HTMLParser):
    """The elements of a page, and what is wrong with them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.tags, self.offences = [], [], [], []
        self.feed(text)
        self.close()
        self.offences += [f"left open: {tag}" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.judge(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.judge(tag, attributes)

    def judge(self, tag, attributes):
        if tag not in {*ALLOWED, *BARE, *DRAWN}:
            self.offences.append(f"element {tag}")
        for name, value in attributes:
            if tag not in DRAWN and name not in ALLOWED.get(tag, ()):
                self.offences.append(f"attribute {tag}.{name}")
            if name.startswith("on"):
                self.offences.append(f"handler {name}")
            is_address = name.endswith(("href", "src")) and not value.startswith(("#", "data:image/png;base64,"))
            if is_address or (name in ("style", "clip-path") and re.search(r"url\((?!#)", value)):
                self.offences.append(f"address {name}={value}")

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in VOID:
            self.offences.append(f"closed without being open: {tag}")

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.offences.append(f"comment {data}")


def report(*args):
    main(["report", *args])
    output = Path(args[args.index("--output") + 1]) if "--output" in args else Path("runs", args[0], "report.html")
    found = Page(output.read_text(encoding="utf-8"))
    assert found.offences == []
    return found, " ".join(" ".join(found.texts).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a run that has been tested, to be copied."""
    folder = tmp_path_factory.mktemp("trained") / "runs"
    short = [*SHORT, *SMALL_BATCHES, f"--runs={folder}", "--run=one"]
    main(["fit", *short, "--trainer.gradient_clip_val=0.5"])
    main(["test", *short])
    return folder


@pytest.fixture
def trained(runs, short):
    shutil.copytree(runs, "runs")
    return short


def test_report_of_a_run_has_what_was_run_and_what_came_of_it(trained):
    found, text = report("one")
    assert "lit-project fit --trainer.max_epochs=2" in text
    for part in ("Curves", "Test", "What was run", "Time and throughput", "All settings"):
        assert part in text
    assert "trainer.gradient_clip_val 0.5" in text
    assert "lit-project test --trainer.max_epochs=2" in text
    assert "SHA-256" in text
    assert "torch 2." in text
    (row,) = [row for row in read(Path("runs/one/test/figures.csv"))[1] if row["metric"] == "test/loss"]
    assert f"{float(row['value']):#.4g}" in text
    assert f"{float(row['low']):#.4g} to {float(row['high']):#.4g}" in text
    assert found.tags.count("svg") >= 3
    assert "confusion" in text
    assert Path("runs/one/report.html").stat().st_size < 200_000


def test_report_without_a_name_is_of_the_newest_run(trained, capsys):
    main(["report"])
    assert "runs/one/report.html" in capsys.readouterr().out


def test_report_of_several_runs_compares_them(trained):
    main(["fit", "--run=two", *trained, "--trainer.gradient_clip_val=0.25"])
    _, text = report("one", "two", "--output", "both.html")
    assert "2 runs compared" in text
    assert "trainer.gradient_clip_val 0.5 0.25" in text
    assert "Settings that differ" in text


def hostile(payload):
    """A run in which each text is the payload, as far as a file can hold it."""
    run = Path("runs/hostile")
    (run / "test").mkdir(parents=True)
    (run / "config.yaml").write_text(json.dumps({"model": {payload: payload, "list": [payload]}}))
    name = f"val/{payload}"
    best = {"metric": name, "mode": payload, "value": 1.0}
    summary = {"state": payload, "reason": payload, "started": payload, "best": best, "metrics": {name: 1.0}}
    settings = {payload: payload}
    (run / "summary.json").write_text(
        json.dumps({**summary, "settings": settings, "defaults": settings, "git": {"commit": payload}})
    )
    data = {payload: {"bytes": 1, "sha256": payload}, "x": payload}
    git = {"commit": payload, "dirty": payload, "untracked": [payload]}
    later = [{"command": payload, "started": payload, "host": payload}, payload]
    manifest = {"command": payload, "git": git, "versions": {payload: payload}, "hardware": {payload: payload}}
    (run / "manifest.json").write_text(json.dumps({**manifest, "seed": payload, "data": data, "later": later}))
    (run / "git.diff").write_text(f"+{payload}\n")
    write(run / "metrics.csv", ["epoch", "step", name, f"train/{payload}"], [[0, 1, 0.5, 0.1], [0, 2, 0.4, 0.1]])
    write(run / "throughput.csv", ["step", "seconds", "samples_per_second"], [[1, 2, 3], [4, 5, 6]])
    (run / "test.json").write_text(json.dumps({payload: 1.0}))
    test = run / "test"
    write(test / "figures.csv", ["metric", "value", "low", "high", "train", "val"], [[payload, 1, payload, 2, 3, 4]])
    write(test / "confusion.csv", ["true class", f"predicted {payload}", "predicted 1"], [[payload, 1, 2], [1, 3, 4]])
    write(test / "per_class.csv", ["class", "samples", "precision", "recall", "f1"], [[payload, payload, 1, 1, 0.5]])
    write(test / "by_file.csv", [payload, "samples", f"loss {payload}"], [[payload, payload, 0.5]])
    (run / "test/sample.txt").write_text(payload)
    (run / "test/own.png").write_bytes(b"<svg onload=alert(1)>")
    folder = run / "test" / re.sub(r"[/\x00]", "_", payload)
    folder.mkdir()
    write(folder / "residuals.csv", ["target", "prediction", "residual"], [[1, 2, -1], [3, 3, 0]])
    return run


def write(path, names, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_of_others_stay_texts(payload):
    run = hostile(payload)
    other = run.with_name(re.sub(r"[/\x00]", "_", payload) or "other")
    run.rename(other)
    found, _ = report(other.name, "--output", "page.html")
    assert found.texts.count(payload) > 8
    (run.parent / "again").symlink_to(other.name)
    report(other.name, "again", "--output", "both.html")


def searched(text, **changes):
    """The trials of a sweep, in which each text is that one."""
    beside = {"log": False, "step": None, "when": {}}
    powers = {"kind": "float", "values": [0.001, 1.0], "log": True, "step": None}
    search = [
        {**beside, "name": "x", "kind": "choice", "values": [text, "b"]},
        {**powers, "name": f"model.{text}", "when": {"x": [text]}},
        {**beside, "name": "data.size", "kind": "int", "values": [1, 9], "step": 2},
    ]
    states = ["complete", "pruned", "failed", "complete", "running", "complete"]
    trials = [
        {
            "number": number,
            "state": state,
            "value": None if state in ("failed", "running") else 10.0 ** (number % 4),
            "seconds": 10.0 * number,
            "values": {"x": text, f"model.{text}": 0.01 * (number + 1), "data.size": number},
            "error": text if state == "failed" else "",
        }
        for number, state in enumerate(states)
    ]
    named = {"name": text, text: text}
    kept = {"metric": text, "direction": "minimize", "sampler": named, "pruner": named, "seed": 0, "flags": [text]}
    importances = {"x": 0.75, f"model.{text}": 0.25}
    folder = Path("runs/mine")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text("trials: 6\n")
    (folder / "trials.json").write_text(
        json.dumps({**kept, "search": search, "trials": trials, "importances": importances, **changes})
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_of_a_sweep_stay_texts(payload):
    searched(payload)
    found, _ = report("mine")
    assert found.texts.count(payload) > 8


def test_report_of_a_sweep_has_what_was_found(trained):
    searched("a")
    for number in (0, 5):
        shutil.copytree("runs/one", f"runs/mine/{number:03}")
    found, text = report("mine")
    assert "1.000 a, best of trial 000" in text
    assert "3 trials complete 1 trial pruned 1 trial failed 1 trial running" in text
    assert "trial a time x a size 000 1.000" in text
    assert "lit-project fit --config runs/mine/000/config.yaml lit-project test --run mine/000" in text
    assert "lit-project fit a --x=a --model.a=0.01 --data.size=0" in text
    assert "What mattered setting share x 75% a 25%" in text
    assert "0.001 to 1, by its logarithm; only if x is a" in text
    assert "Learning curves of the best 3 mine/000 mine/005 mine/003" in text
    assert found.tags.count("svg") == 1 + 3 + len(charts.panels_of([Path("runs/one")]))


def test_trials_that_make_no_sense_cost_a_sweep_its_page_and_nothing_else(trained, refused):
    for changes in ({"search": [{"name": "x"}]}, {"trials": [[]]}, {"sampler": 1}, {"importances": {"x": "much"}}):
        searched("a", **changes)
        if "importances" not in changes:
            assert "there is no run 'mine'" in refused("report", "mine")
    report("mine")
    for number in (0, 1):
        shutil.copytree("runs/one", f"runs/mine/{number:03}")
    Path("runs/mine/trials.json").write_text("{")
    _, text = report("mine")
    assert "2 runs compared" in text


def test_a_policy_forbids_scripts_and_the_network(trained):
    report("one")
    text = Path("runs/one/report.html").read_text()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert not re.search(r"https?:|<script|@import|<link", text)
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_markup_is_escaped_once_and_text_is_not_markup():
    assert element("p", "<b>", Markup("<i>x</i>"), class_='"') == '<p class="&quot;">&lt;b&gt;<i>x</i></p>'
    assert "&lt;b&gt;" in table(["<b>"], [["<b>"]])


def test_colours_of_charts_are_those_of_the_page(trained):
    text = charts.svg_of(lambda axes: axes.plot([1, 2], [3, 4], color=charts.colour_of(1)), "x")
    assert "var(--series-1)" in text
    assert "var(--text)" in text
    assert not re.search(r"#[0-9a-f]{6}", re.sub(r'"#\w+"|\(#\w+\)', "", text))


def test_charts_of_one_page_share_no_names(trained):
    report("one")
    text = Path("runs/one/report.html").read_text()
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    names = [name for chart in drawn for name in set(re.findall(r' id="([^"]+)', chart))]
    assert len(names) == len(set(names)) > 3


def test_long_curves_keep_their_peaks():
    points = [(step, 1.0) for step in range(100_000)]
    points[70_001] = (70_001, 9.0)
    points[30_003] = (30_003, -9.0)
    thinned = charts.thinned(points)
    assert len(thinned) <= charts.MOST_POINTS + 2
    assert {(70_001, 9.0), (30_003, -9.0)} <= {*thinned}
    assert [*thinned] == sorted(thinned)


def test_a_picture_of_a_team_s_own_metric_is_in_the_page_and_a_large_one_is_not(trained):
    picture = Path("runs/one/test/per_class.png").read_bytes()
    Path("runs/one/test/mine.png").write_bytes(picture)
    Path("runs/one/test/huge.png").write_bytes(picture + bytes(page.LARGEST_PICTURE))
    found, text = report("one")
    assert "mine" in text
    assert "huge" not in text
    assert "img" in found.tags


def test_many_classes_are_shown_by_their_mistakes(trained):
    names = [f"predicted {number}" for number in range(60)]
    counts = [[int(truth == answer) for answer in range(60)] for truth in range(60)]
    counts[3][4] = 7
    rows = [[truth, *row] for truth, row in enumerate(counts)]
    write(Path("runs/one/test/confusion.csv"), ["true class", *names], rows)
    _, text = report("one")
    assert "3 as 4" in text
    assert "Rows: the true class" not in text


def test_of_many_runs_the_best_are_compared_and_all_are_listed(trained):
    settings = json.loads(Path("runs/one/summary.json").read_text())
    for number in range(20):
        run = shutil.copytree("runs/one", Path(f"runs/many/{number:03}"))
        best = {**settings["best"], "value": 20.0 - number}
        metrics = {best["metric"]: best["value"]}
        (run / "summary.json").write_text(json.dumps({**settings, "best": best, "metrics": metrics}))
    main(["report", "many"])
    found = Page(Path("runs/many/report.html").read_text())
    assert found.offences == []
    headings = [text for text in found.texts if re.fullmatch(r"many/\d{3}", text)]
    assert {*headings} == {f"many/{number:03}" for number in range(20)}
    assert "The best 8" in found.texts
    assert headings.count("many/019") > headings.count("many/011") == 1


def test_the_weights_with_which_a_run_began_are_told(trained):
    main(["fit", "--run=tuned", *trained, "--init_from=one"])
    _, text = report("tuned")
    assert re.search(r"first weights \S*runs/one/checkpoints/best.ckpt", text)
