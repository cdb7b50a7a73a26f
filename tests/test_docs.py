"""The documentation site: built strictly, spelled rightly, and followed by somebody who does what it says."""

import subprocess
import sys

import pytest
from conftest import ROOT, run
from reader import Reader, blocks, front_matter

DOCS = ROOT / "docs"
TEXTS = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
FOLLOWED = [name for name, text in TEXTS.items() if any(block.is_run for block in blocks(text))]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="Material for MkDocs needs Python 3.11")
    folder = tmp_path_factory.mktemp("site")
    run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder], ROOT, NO_MKDOCS_2_WARNING="1")
    return folder


def test_site_is_built_strictly(site):
    assert (site / "index.html").is_file()


def test_text_is_spelled_rightly():
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    run([sys.executable, "-m", "codespell_lib", *listed.stdout.strip("\0").split("\0")], ROOT)


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
