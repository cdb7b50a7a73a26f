"""docs/errors.md: each line with which a command refuses something or warns, as the sources have it."""

import functools
import re
from collections.abc import Iterator

import messages
import pytest
from conftest import ROOT

PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
# The terms of lists of definitions.
LINES = [found[2] for found in re.finditer(r"^(``? ?)(.*?)( ?``?)$", PAGE, re.MULTILINE)]
# What stands on the page for what varies.
CAPITALS = re.compile(r"\b[A-Z][A-Z_]*\b")
FILES = {file.relative_to(ROOT).as_posix(): file for file in messages.SOURCES if messages.lines_of(file)}


@functools.cache
def pattern(line: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(map(re.escape, line.split(messages.GAP))))


def gone(text: str) -> list[str]:
    """The parts of a text that are in no source."""
    parts = [part.strip(" .,:;'()[]{}-") for part in CAPITALS.split(text)]
    return [part for part in parts if len(part) > 2 and not any(part in source for source in messages.all_texts())]


def fillings(line: str) -> Iterator[str]:
    """What stands in the gaps, for each text of the sources of which the line may be made."""
    for source in messages.all_texts():
        if messages.GAP in source and (found := pattern(source).fullmatch(line)):
            yield " N ".join(found.groups())


@pytest.mark.parametrize("file", FILES)
def test_each_line_of_the_sources_is_on_the_page(file):
    missing = [line for line in messages.lines_of(FILES[file]) if not any(map(pattern(line).fullmatch, LINES))]
    assert not missing, (
        f"docs/errors.md does not say what to do about {[line.replace(messages.GAP, 'X') for line in missing]}"
    )


@pytest.mark.parametrize("line", LINES)
def test_each_line_of_the_page_is_in_the_sources(line):
    assert not gone(line) or any(not gone(filled) for filled in fillings(line)), f"no source says {gone(line)}"


def test_no_line_is_on_the_page_twice():
    assert sorted(LINES) == sorted(set(LINES))
