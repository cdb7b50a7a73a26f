"""What `predict` is asked: an input of the user's own, or a text to continue. Imports no torch."""

from argparse import SUPPRESS
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import RunError, require
from ..saving.parts import refuse_existing
from ..saving.tables import FORMATS
from .arguments import RUN_FLAGS, FlagParser

OUTPUT = "predictions.csv"  # in the run's folder
OF_INPUT, OF_PROMPT = ("output", "overwrite"), ("length", "temperature")
LENGTH, TEMPERATURE = 200, 1.0


@dataclass(frozen=True)
class Question:
    """What `predict` is to answer.

    Args:
        input: a file or a folder; None if there is a prompt.
        output: where the answers go.
        overwrite: whether the output may be there already.
        prompt: a text to continue.
        length: how much to add to it.
        temperature: how freely: 0 for the likeliest, 1 for what the model says.
    """

    input: Path | None
    output: Path | None
    overwrite: bool
    prompt: str
    length: int
    temperature: float


def split_question(args: list[str]) -> tuple[Question | None, list[str]]:
    """Split a command into what `predict` is asked, and the words that are left."""
    if args[0] != "predict":
        return None, args
    parser = FlagParser(add_help=False, allow_abbrev=False, argument_default=SUPPRESS)
    for flag in ("--input", "--output", "--prompt"):
        parser.add_argument(flag)
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--length", type=int)
    parser.add_argument("--temperature", type=float)
    found, rest = parser.parse_known_args(args)
    given = vars(found)
    refuse_contradictions(given)
    if not given:
        return None, args
    question = Question(
        Path(given["input"]) if "input" in given else None,
        Path(given["output"]) if "output" in given else None,
        "overwrite" in given,
        given.get("prompt", ""),
        given.get("length", LENGTH),
        given.get("temperature", TEMPERATURE),
    )
    require(length=question.length, at_least=1)
    require(temperature=question.temperature, at_least=0, below=float("inf"))
    return question, rest


def refuse_contradictions(given: dict[str, object]) -> None:
    for name in ("input", "output", "prompt"):
        if given.get(name) == "":
            raise RunError(f"--{name} is empty", RUN_FLAGS[name])
    if "input" in given and "prompt" in given:
        raise RunError("--input and --prompt are two questions", "one of both")
    for asked, flags in (("input", OF_INPUT), ("prompt", OF_PROMPT)):
        if asked not in given and (idle := [name for name in flags if name in given]):
            raise RunError(f"--{idle[0]} belongs to --{asked}, and there is none", RUN_FLAGS[asked])


def refuse_unanswerable(question: Question, run: Path | None, has_checkpoint: bool) -> Question:
    """The question with its output filled in; RunError if its input or its output cannot be."""
    if question.input is None or (run is None and not has_checkpoint):  # which is told later
        return question
    if question.output is None and run is None:
        raise RunError("a checkpoint outside of the runs has no folder for an output", "--output FILE")
    try:
        question.input.stat()
    except (OSError, ValueError) as error:
        raise RunError(f"--input {question.input}: {getattr(error, 'strerror', error)}") from error
    output = question.output or Path(str(run), OUTPUT)
    if output.suffix not in FORMATS:
        raise RunError(f"--output {output} must end with {' or '.join(FORMATS)}")
    if output.is_dir():
        raise RunError(f"--output {output} is a folder", "a file")
    if question.input.resolve() in (output.resolve(), *output.resolve().parents):
        raise RunError(f"--output {output} would change --input {question.input}", "an --output elsewhere")
    if not question.overwrite:
        refuse_existing(output)
    return replace(question, output=output)
