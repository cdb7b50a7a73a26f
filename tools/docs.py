"""What the documentation site takes from other files of this repository: a hook of mkdocs.yml.

A page says `<!-- insert NAME -->` where a table stands that follows from other files (see INSERTS), or
`<!-- insert section: A run -->` for a chapter of the README, or of another page, of a project with the default answers.
"""

import functools
import json
import posixpath
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
CONFIGS = "src/{{cookiecutter.__package}}/configs"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".Dockerfile": "dockerfile"}
INSERT = re.compile(r"^<!-- insert ([a-z]+)(?:: (.+))? -->$", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Code, or a link to a place in the same folder or page, not on another host.
LINK = re.compile(
    rf"{CODE.pattern}|(?<!!)\[(?P<label>[^\]]*)\]\((?!\w+:)(?P<path>[^)#\s]*)(?P<anchor>#[^)]*)?\)", CODE.flags
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the navigation, below Reference, the pages of a project that mkdocs.yml does not name."""
    project_pages.cache_clear()
    places = [place_of(source) for source in project_pages()]
    named = json.dumps(config.nav)
    (reference,) = (part["Reference"] for part in config.nav if "Reference" in part)
    reference.extend(place for place in places if place and f'"{place}"' not in named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the recipes, and the README and the docs/ of a project."""
    pages = {f"how-to/recipes/{name}.md": recipe(name) for name in recipe_names()}
    for source, text in project_pages().items():
        place = place_of(source)
        if place and place not in files.src_uris:
            # Its chapters are found where they are inserted.
            unsearched = "---\nsearch: {exclude: true}\n---\n\n" if source == "README.md" else ""
            pages[place] = unsearched + relinked(text, source, place)
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace each comment that asks for something by what it asks for."""

    def inserted(found: re.Match[str]) -> str:
        name, title = found.groups()
        if name == "section":
            return section(title, page.file.src_uri)
        if name not in INSERTS:
            raise PluginError(f"{page.file.src_uri}: nothing is called {name!r}: section, {', '.join(INSERTS)}")
        return INSERTS[name]()

    return INSERT.sub(inserted, markdown)


def recipe_names() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("recipes/*/README.md"))


def recipe(name: str) -> str:
    """The page of a recipe: its README, with the files that it brings below."""
    folder = ROOT / "recipes" / name
    readme = (folder / "README.md").read_text(encoding="utf-8").replace("../../docs/", "../../")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in LANGUAGES]
    files = [folded(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    # Not searched: a word of a setting would find them before the page that says what it means.
    return "\n\n".join([readme.rstrip(), "## Its files { data-search-exclude }", *files]) + "\n"


def folded(name: str, text: str) -> str:
    """A file that a click unfolds."""
    lines = f"```{LANGUAGES[Path(name).suffix]}\n{text.rstrip()}\n```".splitlines()
    return f'??? abstract "{name}"\n\n' + "\n".join(f"    {line}".rstrip() for line in lines)


def recipes() -> str:
    """A table of the recipes."""
    rows = ["| recipe | |", "|---|---|"]
    for name in recipe_names():
        title = HEADING.search((ROOT / "recipes" / name / "README.md").read_text(encoding="utf-8"))[2]
        title = title.removeprefix(f"Recipe `{name}`: ")
        rows.append(f"| [`{name}`]({name}.md) | {title[0].upper()}{title[1:]} |")
    return "\n".join(rows)


@functools.cache
def project_pages() -> dict[str, str]:
    """By its place in a project with the default answers: each page in Markdown."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cookiecutter", str(ROOT), "--no-input", "--default-config"]
        subprocess.run([*command, "--output-dir", folder], check=True, stdout=subprocess.DEVNULL)
        (project,) = Path(folder).iterdir()
        paths = [path for path in project.rglob("*.md") if path.parts[-3:-1] != ("tests", "data")]
        return {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


def place_of(source: str) -> str | None:
    """Where a file of a project stands in the site, if it does."""
    if source == "README.md":
        return "project/index.md"
    if source == "docs/README.md":
        return "project/guides.md"
    if source.endswith("engine/README.md"):
        return "reference/engine.md"
    return f"project/{source[5:]}" if source.startswith("docs/") else None


def relinked(text: str, source: str, place: str) -> str:
    """A text from a file of a project, for a page of the site: links lead to pages, and others become plain text.

    Args:
        text: of Markdown.
        source: the file's place in the project.
        place: the page's place in the site.
    """

    def link(found: re.Match[str]) -> str:
        if found["label"] is None:  # code
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["path"])) if found["path"] else source
        there = place_of(path) if path in project_pages() else None
        if not there:
            return found["label"]
        shown = "" if there == place else posixpath.relpath(there, posixpath.dirname(place))
        return f"[{found['label']}]({shown}{found['anchor'] or ''})"

    return LINK.sub(link, text)


def section(title: str, place: str) -> str:
    """What stands below a heading in a project's pages, up to the next heading, for a page of the site.

    If the README says in short what a page in docs/ says in full, it is that of docs/.
    """
    chapters = {source: dict(sections(text)) for source, text in project_pages().items()}
    found = {source: of_page[title] for source, of_page in chapters.items() if title in of_page}
    found = {source: text for source, text in found.items() if source != "README.md"} or found
    if len(found) != 1:
        raise PluginError(f"{place}: {len(found)} headings in the pages of a project are {title!r}")
    ((source, text),) = found.items()
    return relinked(text, source, place)


def sections(text: str) -> list[tuple[str, str]]:
    """Each heading, and the text below it. A line of code is no heading, whatever it begins with."""
    hidden = CODE.sub(lambda code: code[0].replace("#", "\0"), text)
    headings = list(HEADING.finditer(hidden))
    ends = [heading.start() for heading in headings[1:]] + [len(hidden)]
    return [(heading[2], text[heading.end() : end].strip()) for heading, end in zip(headings, ends, strict=True)]


def engine() -> str:
    """The page about the engine, which it has itself."""
    (text,) = (text for name, text in project_pages().items() if name.endswith("engine/README.md"))
    return text.partition("\n")[2].strip()


def questions() -> str:
    """Each question with what is asked, its default and other answers, as a list of definitions."""
    asked = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    prompts = asked["__prompts__"]
    parts = []
    for name, default in asked.items():
        if name.startswith("_"):
            continue
        if isinstance(default, list):
            answers = [f"    - `{answer}`: {meaning(prompts[name][answer], answer)}" for answer in default]
            parts.append(f"`{name}` *default {default[0]}*\n:   {prompts[name]['__prompt__']}\n\n" + "\n".join(answers))
        else:
            shown = "made of project_name" if "{{" in default else f"default {default}"
            parts.append(f"`{name}` *{shown}*\n:   {prompts[name]}")
    return "\n\n".join(parts)


def meaning(prompt: str, answer: str) -> str:
    """What the prompt of an answer says beside its name."""
    return re.sub(rf"^{re.escape(answer)}: ", "", prompt)


def presets() -> str:
    """Each preset with what it is for and what it sets, those of a task after those of all."""
    shared = list(PROJECT.glob(f"{CONFIGS}/presets/*.yaml"))
    of_tasks = list(PROJECT.glob(f"variants/task/*/{CONFIGS}/presets/*.yaml"))
    parts = []
    for path in [*sorted(shared), *sorted(of_tasks)]:
        text = path.read_text(encoding="utf-8").partition("\n")[2]
        comments = re.match(r"(?:#.*\n)*", text)[0]
        says = re.sub(r"^# ?", "", comments, flags=re.MULTILINE).strip()
        task = f" (task {path.parts[path.parts.index('task') + 1]})" if path in of_tasks else ""
        parts += [f"### {path.stem}{task}", says, f"```yaml\n{text[len(comments) :].strip()}\n```"]
    return "\n\n".join(parts)


def defaults() -> str:
    """The default.yaml of each task, in tabs."""
    parts = []
    asked = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    for task in asked["task"]:
        path = PROJECT / "variants/task" / task / CONFIGS / "default.yaml"
        text = path.read_text(encoding="utf-8").replace("{{ cookiecutter.logger }}", asked["logger"][0])
        lines = f"```yaml\n{text.rstrip()}\n```".splitlines()
        parts += [f'=== "{task}"\n', *(f"    {line}".rstrip() for line in lines), ""]
    return "\n".join(parts)


INSERTS: dict[str, Callable[[], str]] = {
    "engine": engine,
    "questions": questions,
    "presets": presets,
    "defaults": defaults,
    "recipes": recipes,
}
