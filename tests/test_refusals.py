"""Any answer is refused with one line, or reaches the project unchanged; nothing is executed, escapes or is lost."""

import ast
import os
import zipfile
from itertools import product
from pathlib import Path

import hatchling.build
import pytest
import yaml
from conftest import bake_into, pyproject
from cookiecutter.exceptions import FailedHookException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

CANARY = "executed-by-an-answer"
INJECTIONS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"; touch {CANARY} #",
    f"| touch {CANARY}",
    f"&& touch {CANARY}",
    f"' + __import__('os').system('touch {CANARY}') + '",
    f'" + __import__("os").system("touch {CANARY}") + "',
    f'"""); __import__("os").system("touch {CANARY}"); ("""',
    "{{ 7*7 }}",
    "{% raw %}",
    "{% include '/etc/passwd' %}",
    "{# comment #}",
    "{{ cookiecutter }}",
    "{{ cookiecutter.nothing }}",
    "{{ cookiecutter.author_name }}",
    "{{cookiecutter.project_slug}}",
    "{{ 1/0 }}",
    "{{",
    "}} {{",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}",
    f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}} {CANARY}",
]
PLAIN = [
    "Plain",
    'say "hi"',
    "it's",
    "'''",
    '"""',
    "back\\slash",
    "ends with a backslash \\",
    "\\u0041 \\n \\x00",
    "percent % %s %(name)s 100%",
    "a # b",
    "# heading",
    "key: value",
    "- item",
    "[section]",
    "[[array]]",
    "a = 1",
    "{a: b}",
    "&anchor *alias",
    "!!python/object:os.system",
    "| block",
    "> quote",
    "@mention",
    "**bold** _it_ `code`",
    "```",
    "<script>alert(1)</script>",
    "<!-- comment",
    "[link](javascript:alert(1))",
    "1. first",
    "---",
    "===",
    "$HOME ${HOME} %PATH%",
    "naïve café",
    "한국어",
    "العربية",
    "🎉",
    "👍🏽 thumbs",
    "\U0001f469\u200d\U0001f52c \U0001f469\U0001f3fd\u200d\U0001f52c \U0001f3f3\ufe0f\u200d\U0001f308",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937",
    "e\u0301 combining",
    "\U0010fffd private",
    "null",
    "true",
    "12",
    "1e3",
    "~",
    "a, b",
    "Ada <ada@example.org>",
    "=?utf-8?q?x?=",
    "a  b",
    "no\u00a0break",
    "-v",
    "--help",
    "../../etc/passwd",
    "C:\\Windows",
    "con",
    "torch",
    "class",
    "43 things",
    "a" * 90,
]
HIDDEN = [
    "new\nline",
    f'"""\nimport os; os.system("touch {CANARY}")\n"""',
    "return\rhere",
    "tab\there",
    "nul\x00",
    "escape \x1b[31m",
    "delete \x7f",
    "next line \x85",
    "separator \u2028",
    "paragraph \u2029",
    "zero\u200bwidth",
    "joiner a\u200db",
    "joiner \U0001f469\u200d",
    "joiner \U0001f469\u200db",
    "non-joiner a\u200cb",
    "non-joiner \u0645\u200cb",
    "right \u202eto left",
    "isolate \u2067 it",
    "mark \ufeff",
    "soft\u00adhyphen",
    "tag \U000e0041",
    "surrogate \ud800",
    "no character \uffff",
]
BLANK = ["", " ", "   ", "\u00a0", " begins", "ends ", "ends\u00a0", "ends\n"]
TOO_LONG = ["a" * 301, "ä" * 500]
USABLE_SLUGS = ["a", "x1", "my-model", "a-b-c-d", "net2net", "l" * 40, "lit-torch", "none", "model", "proj-2026"]
UNUSABLE_SLUGS = [
    *["A", "Torch", "my_model", "my model", "a--b", "-a", "a-", "--help", "43project", "_test", "é", "a.b", "a/b"],
    *[".", "..", "../out", "a/../../b", "/tmp/abc", "~", "~/x", "\\\\host\\share", "C:", "a:b", "a*", "a?", "nul.txt"],
    *["torch", "pytorch-lightning", "lightning", "scikit-learn", "numpy", "wandb", "mlflow", "pytest", "yaml", "pil"],
    *["logging", "json", "test", "tests", "src", "runs", "examples", "build", "os", "this", "antigravity", "tomllib"],
    *["python", "python3", "activate", "deactivate", "pip", "torchrun", "f2py", "stubgen", "wheel", "wb"],
    *["class", "import", "match", "type", "case", "con", "aux", "nul", "com1", "lpt9"],
    *["l" * 41, "l" * 200, "한국어", "🎉"],
]
TEXT_QUESTIONS = ["project_name", "description", "author_name"]
CARRIED = [  # PEP 621 forbids commas in the name of an author
    (question, text)
    for question, text in product(TEXT_QUESTIONS, INJECTIONS + PLAIN)
    if question != "author_name" or "," not in text
]


def refusal(folder: Path, **answers: str) -> str:
    """The line that refuses the answers; nothing if they are taken. In both cases only a sound project is left."""
    try:
        project = bake_into(folder, **answers)
    except FailedHookException as error:
        line = str(error)
        assert not list(folder.iterdir())
        assert line.isprintable()
        assert "; for example: " in line
        assert any(line.startswith(f"Error: {question} ") for question in answers)
        return line
    assert list(folder.iterdir()) == [project]
    assert not list(project.rglob(CANARY))
    check_files(project, answers)
    return ""


def check_files(project: Path, answers: dict[str, str]) -> None:
    """Every file parses, and the metadata of the built wheel hold the answers as they were given."""
    for path in project.rglob("*"):
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"))
        elif path.suffix in (".yaml", ".yml"):
            yaml.safe_load(path.read_text(encoding="utf-8"))
    metadata = wheel_metadata(project)
    assert metadata["Name"] == pyproject(project)["project"]["name"] == answers.get("project_slug", project.name)
    assert metadata["Summary"] == answers.get("description", metadata["Summary"])
    assert metadata["Author"] == answers.get("author_name", metadata["Author"])
    assert f"(c) {metadata['Author']}\n" in (project / "LICENSE").read_text(encoding="utf-8")
    title, description = shown_by_markdown((project / "README.md").read_text(encoding="utf-8"))
    assert title == answers.get("project_name", title)
    assert description == metadata["Summary"]


def shown_by_markdown(text: str) -> list[str]:
    """What a reader sees of the first heading and the first paragraph."""
    blocks = [token for token in MarkdownIt().parse(text) if token.type == "inline"]
    assert [block.map for block in blocks[:2]] == [[0, 1], [2, 3]]
    assert all(child.type == "text" for block in blocks[:2] for child in block.children)
    return ["".join(child.content for child in block.children) for block in blocks[:2]]


def wheel_metadata(project: Path) -> dict[str, str]:
    before = Path.cwd()
    os.chdir(project)  # PEP 517 builds the project of the working folder
    try:
        wheel = zipfile.ZipFile(hatchling.build.build_wheel("."))
    finally:
        os.chdir(before)
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    lines = wheel.read(name).decode().split("\n\n")[0].splitlines()
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize(("question", "text"), CARRIED)
def test_visible_text_is_carried_unchanged_and_never_run(tmp_path, question, text):
    assert not refusal(tmp_path, **{question: text})


@pytest.mark.parametrize(("question", "text"), list(product(TEXT_QUESTIONS, HIDDEN + BLANK + TOO_LONG)))
def test_text_that_cannot_be_carried_is_refused(tmp_path, question, text):
    assert refusal(tmp_path, **{question: text})


def test_comma_in_the_name_of_an_author_is_refused_with_what_to_write(tmp_path):
    assert "holds a comma" in refusal(tmp_path, author_name="Lovelace, Ada")


@pytest.mark.parametrize("slug", USABLE_SLUGS)
def test_usable_name_is_taken(tmp_path, slug):
    assert not refusal(tmp_path, project_slug=slug)


@pytest.mark.parametrize("slug", UNUSABLE_SLUGS + INJECTIONS + HIDDEN + BLANK)
def test_unusable_name_is_refused(tmp_path, slug):
    assert refusal(tmp_path, project_slug=slug)


ANY_TEXT = st.one_of(
    st.text(max_size=120), st.sampled_from(INJECTIONS + PLAIN + HIDDEN), st.text("{}%#|'\"\\\n 7*", max_size=30)
)


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(project_name=ANY_TEXT, description=ANY_TEXT, author_name=ANY_TEXT)
def test_no_combination_of_texts_does_harm(tmp_path_factory, **answers):
    refusal(tmp_path_factory.mktemp("any"), **answers)


@settings(max_examples=50, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=50), st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True)))
def test_no_name_does_harm(tmp_path_factory, slug):
    refusal(tmp_path_factory.mktemp("any"), project_slug=slug)
