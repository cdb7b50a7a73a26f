"""The picture that moves in README.md, and what it is made with; whether a browser plays it."""

import re
import sys
import time
from xml.etree import ElementTree

import pytest
from conftest import ROOT
from test_demo import recipe

PICTURE = ROOT / "docs/demo.svg"


def lines(picture):
    """What the rows of a picture say, without blanks."""
    rows = [row for row in picture.findall(".//{*}g") if "id" in row.attrib]
    return ["".join(text.text for text in row).replace(" ", "") for row in rows]


def test_picture_shows_what_make_demo_does_and_nothing_of_the_machine_on_which_it_ran():
    text = PICTURE.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert not re.search(
        r"/(tmp|work|root|home|Users)/|<script|<foreignObject|@import|url\(|https?://(?!www.w3.org)", text
    )
    shown = "".join(lines(ElementTree.fromstring(text)))
    for command in recipe("demo"):
        assert command.replace(" ", "") in shown
    assert "test/mse2548" in shown  # README's figure
    assert "WARNING" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_terminal_is_drawn_as_it_is_seen(tmp_path):
    from tools.record import LONGEST_PAUSE, frames, merged, picture, run_in_terminal

    script = r"printf 'one\n\033[32;1mgr<en\033[0m and '; printf $HOME; sleep 2; printf '\rtwo\033[K\n'; tput cols"
    parts = run_in_terminal(["sh", "-c", script], tmp_path, HOME=str(tmp_path))
    shown = merged(frames("./it", parts, [tmp_path]))
    seconds = {"".join(piece.text for piece in frame.screen[2]): frame.seconds for frame in shown}
    assert seconds["gr<enand ~"] == pytest.approx(LONGEST_PAUSE, abs=0.2)
    drawn = ElementTree.fromstring(picture(shown, "a title"))
    assert {"$", "$./it", "one", "two", "80"} <= set(lines(drawn))
    (green,) = [piece for piece in drawn.findall(".//{*}text") if piece.text == "gr<en"]
    assert (green.get("font-weight"), green.get("fill"), green.get("textLength")) == ("bold", "#3fb950", "42")


@pytest.mark.browser
def test_browser_plays_it_as_a_picture_of_a_page(tmp_path, browser):
    page = tmp_path / "page.html"
    page.write_text(f'<img src="{PICTURE.as_uri()}">')
    assert browser.look(page.as_uri(), 800, "light", tmp_path / "first.png")["told"] == []
    screens = set()
    for _ in range(8):
        screens.add(browser("Page.captureScreenshot")["data"])
        time.sleep(0.5)
    assert len(screens) > 2
