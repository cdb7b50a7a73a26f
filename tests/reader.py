"""Somebody who follows a page of docs/ in a folder of their own: types its commands, writes its files."""

import os
import re
import shlex
import sys
from typing import NamedTuple

import yaml
from conftest import ROOT, bake_into, run
from team import Commands, patch

BLOCK = re.compile(
    r'^(?P<indent> *)(?:<!-- (?P<note>[^\n]*) -->\n+ *)?```(?P<language>\w*)(?: title="(?P<title>.+?)")?[^\n]*\n'
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("sh", "console", "python")
# Words of a command that this machine could not carry out as a reader's would: packages are at hand already.
REFUSED = ("uv add", "uv sync", "uv tool", "uv pip", "pip install", "pipx", "sbatch", "torchrun", "docker")


class Block(NamedTuple):
    """A block of code: its language, the file that it is to be written to, and what a comment before it says."""

    language: str
    title: str | None
    text: str
    note: str

    @property
    def is_run(self):
        return (self.language in RUN or self.title is not None) and not self.note.startswith("not run: ")

    def lines(self):
        """The commands of sh, or those behind a dollar of console; continued lines are joined."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            return re.findall(r"^\$ (.*)$", text, re.MULTILINE)
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def front_matter(text):
    """The settings before the first heading, such as {"project": "vision"}, and the rest of the page."""
    head = re.match(r"---\n(.*?)^---\n", text, re.MULTILINE | re.DOTALL)
    return (yaml.safe_load(head[1]), text[head.end() :]) if head else ({}, text)


def blocks(text):
    """The blocks of code of a page."""
    for found in BLOCK.finditer(text):
        inner = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(found["language"], found["title"], inner, found["note"] or "")


class Reader:
    """A person at a shell, until the end of a `with`; with the fixture `tools`.

    Args:
        folder: an empty one, where they begin.
        python: of an environment with what bakes need.
        task: of the project in which they begin; without it, they make one.
    """

    def __init__(self, folder, python, task=None):
        self.at, self.python, self.commands = folder, python, None
        self.programs = folder / ".programs"
        self.programs.mkdir()
        if task:
            self.enter(bake_into(folder, task=task, logger="csv"))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.enter(None)

    def enter(self, folder):
        """Go to a folder. In that of a project, its program is found as if it were installed."""
        if self.commands:
            self.commands.__exit__()
        self.at, self.commands = folder, None
        for package in folder.glob("src/*/__main__.py") if folder else ():
            program = self.programs / folder.name
            program.write_text(f'#!/bin/sh\nexec {self.python} -m {package.parent.name} "$@"\n')
            program.chmod(0o755)
            if folder.name == "lit-project":
                self.commands = Commands(folder, self.python)

    def follow(self, block):
        """Do what a block shows."""
        if block.language == "diff":
            patch(self.at / block.title, block.text)
        elif block.title:
            path = self.at / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self.commands.do(block.text)
        else:
            *lines, last = block.lines()
            ends = re.fullmatch(r"exits with (\d+)", block.note)
            for line in lines:
                self.type(line)
            self.type(last, int(ends[1]) if ends else 0)

    def type(self, line, code=0):
        """Type a line. The template is this checkout, and what needs no shell is run without importing torch anew."""
        assert not line.startswith(REFUSED), f"{line}: mark the block as not run"
        if line.startswith("uvx cookiecutter"):  # questions that the words do not answer have their defaults
            line = f"{sys.executable} -m cookiecutter --default-config --no-input{line[len('uvx cookiecutter') :]}"
        line = line.replace("gh:org/lit-template", str(ROOT))
        line = line.replace("git clone https://github.com/org/lit-template", f"ln -s {ROOT} lit-template")
        own = re.fullmatch(r"(?:uv run (?:--extra \w+ )*)?lit-project ([^|&;<>$*]*)", line)
        if line.startswith("cd "):
            self.enter((self.at / shlex.split(line, comments=True)[1]).resolve())
        elif own and self.commands:
            self.commands(*shlex.split(own[1], comments=True), code=code)
        else:
            path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
            run(["sh", "-c", line], self.at, code, PATH=path)
