"""The documentation site: built strictly, spelled rightly, and followed by somebody who does what it says.

In a browser, `pytest -m browser --numprocesses 0`: on a telephone and on a screen, light and dark.
"""

import shutil
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from conftest import ROOT, bake_into, run
from reader import Reader, blocks, front_matter

from tools import reference

DOCS = ROOT / "docs"
TEXTS = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
# Not `--quiet`, with which MkDocs counts no warnings.
BUILD = [sys.executable, "-m", "mkdocs", "build"]
FOLLOWED = [name for name, text in TEXTS.items() if any(block.is_run for block in blocks(text))]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="Material for MkDocs needs Python 3.11")
    folder = tmp_path_factory.mktemp("site")
    run([*BUILD, "--site-dir", folder], ROOT)
    return folder


def test_site_is_built_strictly(site):
    assert (site / "index.html").is_file()


def test_dead_links_and_lost_pages_are_errors(site, tmp_path):
    template = tmp_path / "template"
    shutil.copytree(ROOT, template, ignore=shutil.ignore_patterns("build", ".*", "tests", "site"))
    (template / "docs/lost.md").write_text("# Lost\n")
    with (template / "docs/errors.md").open("a", encoding="utf-8") as page:
        page.write("\n[page](nowhere.md) [anchor](speed.md#nowhere) [host](/speed/)\n")
    printed = run(BUILD, template, code=1)
    for told in ("lost.md", "'nowhere.md'", "'#nowhere'", "'/speed/'", "Aborted with 4 warnings in strict mode!"):
        assert told in printed


def test_text_is_spelled_rightly():
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    run([sys.executable, "-m", "codespell_lib", *listed.stdout.strip("\0").split("\0")], ROOT)


SAMPLE = """---
project: vision
---
```
shown
```

- in a list

    ```sh
    echo one \\
        two
    # a comment
    ```

<!-- not run: needs SLURM -->
```sh
sbatch
```

<!-- exits with 3 -->
```console
$ false
printed
```

```yaml title="configs/slow.yaml"
a: 1
```

```yaml
a: 2
```

```diff title="configs/slow.yaml"
-a: 1
+a: 2
+b: 3
```
"""


def test_blocks_of_a_page_are_told_apart():
    settings, text = front_matter(SAMPLE)
    found = list(blocks(text))
    assert settings == {"project": "vision"}
    assert [block.is_run for block in found] == [False, True, False, True, True, False, True]
    assert [block.lines() for block in found if block.language in ("sh", "console")] == [
        ["echo one      two"],
        ["sbatch"],
        ["false"],
    ]


def test_reader_writes_and_changes_files_and_types_lines(tmp_path):
    with Reader(tmp_path, sys.executable) as reader:
        for block in blocks(front_matter(SAMPLE)[1]):
            if block.title:
                reader.follow(block)
        assert (tmp_path / "configs/slow.yaml").read_text() == "a: 2\nb: 3\n"
        (block,) = blocks("<!-- exits with 3 -->\n```sh\ncd configs\ngrep --quiet 'b: 3' slow.yaml\nexit 3\n```")
        reader.follow(block)
        with pytest.raises(pytest.fail.Exception, match="ended with 1"):
            reader.type("grep --quiet 'a: 1' slow.yaml")
        with pytest.raises(AssertionError, match="mark the block as not run"):
            reader.type("sbatch scripts/train.sbatch")


@pytest.mark.parametrize("name", TEXTS)
def test_block_that_is_not_run_says_why(name):
    for block in blocks(TEXTS[name]):
        assert not block.note or block.note.startswith(("not run: ", "exits with ")), block
        assert block.lines() or block.language not in ("sh", "console"), block


@pytest.mark.parametrize("name", FOLLOWED)
def test_page_does_what_it_says(tmp_path, python, tools, name):
    settings, text = front_matter(TEXTS[name])
    with Reader(tmp_path, python, settings.get("project")) as reader:
        for block in blocks(text):
            if block.is_run:
                reader.follow(block)


def test_lines_beside_a_plain_loop_are_those_of_the_files(tmp_path):
    text = TEXTS["background/from-a-plain-loop.md"]
    package = bake_into(tmp_path, task="blank", logger="csv") / "src/lit_project"
    (package / "plain.py").write_text(next(block.text for block in blocks(text) if block.title == "plain.py"))
    excerpts = [block.text for block in blocks(text) if not block.is_run and block.text.startswith("# ")]
    assert len(excerpts) == 5
    for excerpt in excerpts:
        first, *lines = excerpt.splitlines()
        file = [line.strip() for line in (package / first.removeprefix("# ")).read_text(encoding="utf-8").splitlines()]
        assert [line for line in lines if line.strip() not in (*file, "...")] == []


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse prints options otherwise since Python 3.13")
def test_reference_is_that_of_a_project(python):
    for name, text in reference.pages(str(python)).items():
        assert text == TEXTS[f"reference/{name}"], "python3 tools/uv.py run python tools/reference.py writes it anew"


class Silent(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def served(site):
    """The address of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# One of each kind.
KINDS = ["", "reference/questions/", "reference/commands/", "reference/settings/", "project/make-it-yours/", "speed/"]
KINDS += ["reference/presets/", "how-to/recipes/", "how-to/recipes/images/", "project/scale/", "errors/"]


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark")])
def test_page_is_seen_on_every_screen(browser, served, tmp_path, kind, width, scheme):
    seen = browser.look(f"{served}/{kind}", width, scheme, tmp_path / f"{width}-{scheme}.png")
    assert not [url for url in seen["requests"] if not url.startswith(served)]
    assert seen["told"] == []
    assert seen["wide"] <= 0
    dark = sum(map(int, seen["colours"][1].partition("(")[2].rstrip(")").split(",")[:3])) < 3 * 128
    assert dark == (scheme == "dark")


@pytest.mark.browser
def test_search_finds_a_setting_without_a_network(browser, served, tmp_path):
    seen = browser.look(f"{served}/?q=label_smoothing", 1280, "light", tmp_path / "search.png")
    found = "[...document.querySelectorAll('.md-search-result__link')].map(one => one.pathname)"
    until = time.monotonic() + 30
    while not (paths := browser.evaluate(found)) and time.monotonic() < until:
        time.sleep(0.1)
    assert "/reference/settings/" in paths
    assert not [url for url in seen["requests"] if not url.startswith(served)]
