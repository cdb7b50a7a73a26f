"""A headless Chromium, spoken to through two pipes in its DevTools protocol, and what it sees of a page."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

NAMES = ("chromium", "chromium-browser", "google-chrome")
# In this order: no sandbox, since tests may run as root; nothing that the browser itself would fetch.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
# Of each figure: what it has in it, and how large that is drawn; by how much the page is too wide; and how
# many tables with bars are wider than their places.
LOOK = """(() => ({
  figures: [...document.querySelectorAll("figure")].map(one => {
    const drawn = one.querySelector("svg, img, table, pre").getBoundingClientRect();
    return {width: drawn.width, height: drawn.height, right: drawn.right};
  }),
  wide: document.documentElement.scrollWidth - window.innerWidth,
  cut: [...document.querySelectorAll(".bars")].filter(one => one.scrollWidth > one.clientWidth).length,
  letters: [...document.querySelectorAll("svg text")].map(one => one.getBoundingClientRect().height),
  colours: ["color", "backgroundColor"].map(name => getComputedStyle(document.body)[name]),
  ink: [...document.querySelectorAll("svg text")].map(one => getComputedStyle(one).fill),
}))()"""


class Browser:
    """A browser, until the end of a `with`."""

    def __enter__(self):
        program = next(filter(None, map(shutil.which, NAMES)))
        # Chromium reads commands from its file descriptor 3, and writes answers to 4.
        (its_input, self.output), (self.input, its_output) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 50) for end in (its_input, its_output)]
        self.profile = mkdtemp(prefix="browser-")
        command = [program, *FLAGS, f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"]
        silent = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        move = partial(move_ends, *ends)
        self.process = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=move, **silent)
        for end in (its_input, its_output, *ends):
            os.close(end)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(timeout=30)
        os.close(self.input)
        os.close(self.output)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __call__(self, method, **parameters):
        """Give a command, and return its answer; what happens meanwhile is added to `events`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression):
        """The value of an expression of JavaScript, as JSON has it."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _next(self):
        while b"\0" not in self.buffer:
            read = os.read(self.input, 2**16)
            assert read, "the browser has ended"
            self.buffer += read
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def look(self, url: str, width: int, scheme: str, picture: Path):
        """Open a page on a screen of some width in the scheme light or dark, and say what is seen; keep a picture."""
        self.events = []
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        seen = self.evaluate(LOOK)
        shot = self("Page.captureScreenshot", captureBeyondViewport=True)
        picture.write_bytes(base64.b64decode(shot["data"]))
        methods = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        sent = [one["params"]["request"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        told = [one["params"] for one in self.events if one["method"] in methods]
        return {**seen, "requests": [one["url"] for one in sent if not one["url"].startswith("data:")], "told": told}


def move_ends(its_input, its_output):
    """In the process that becomes the browser: have the pipes where it looks for them."""
    os.dup2(its_input, 3)
    os.dup2(its_output, 4)
