"""How `predict` answers a question: what takes the place of the test data, and of predictions.pt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from torch import Tensor, nn

from ..errors import RunError
from ..saving.nested import outputs_of
from ..saving.parts import Parts, fingerprint
from ..saving.ready import answers_of, in_one_line
from ..training.inputs import Inputs
from ..training.predicting import InputBatches, Once, SaveAnswers
from . import reports
from .load import preprocessing_of
from .question import Question

BATCH_SIZE = 64  # where a DataModule has none
WITHOUT_ANSWERS = "a method answers(outputs) in objective.py or model.py, or a predict_step that takes inputs alone"


class Answers:
    """Answers to the inputs in a file or a folder.

    Args:
        question: the input and the output.
        model: its `predict_step` is replaced by the objective's `answers`, if there are any.
        data: how the input is read.
        depends_on: what else the answers depend on.
    """

    def __init__(
        self, question: Question, model: pl.LightningModule, data: pl.LightningDataModule, depends_on: dict[str, str]
    ) -> None:
        assert question.input
        assert question.output
        self.input, self.output = question.input, question.output
        inputs = method_of(data, "data.py", "read_inputs(path)", "--input")(self.input)
        self.before = fingerprint(self.input)
        about = {"input": self.before, **depends_on}
        summary = answer_by_objective(model, inputs)
        preprocessing = preprocessing_of(data) if hasattr(data, "preprocessing") else nn.Identity()
        self.loader = InputBatches(inputs, preprocessing, getattr(data, "batch_size", BATCH_SIZE))
        parts = Parts(self.output, about, question.overwrite)
        self.callback = SaveAnswers(self.loader, parts, summary, self.refuse_changed)

    def refuse_changed(self) -> None:
        if fingerprint(self.input) != self.before:
            raise RunError(f"--input {self.input} changed while it was read", "the same command, which starts over")

    def report(self, trainer: pl.Trainer, run: Path) -> None:
        """Say what there is; SystemExit with 3 if not all inputs could be answered."""
        reports.after_answering(trainer, run, self.output, self.callback.joined)
        if self.callback.joined.rejects:
            raise SystemExit(3)


class Continuation:
    """A text that the model continues.

    Args:
        question: the text, and how much is added to it.
        model: its `predict_step` is replaced.
        data: has the method `continuation`.
    """

    def __init__(self, question: Question, model: pl.LightningModule, data: pl.LightningDataModule) -> None:
        go_on = method_of(data, "data.py", "continuation(model, prompt, length, temperature)", "--prompt")
        self.prompt = question.prompt
        self.loader = Once()
        self.callback = KeepText()

        answer_with(model, lambda *_: [go_on(model, question.prompt, question.length, question.temperature)])

    def report(self, trainer: pl.Trainer, run: Path) -> None:
        print(printable(self.prompt + self.callback.text))


class KeepText(pl.Callback):
    """Keeps the one answer of a prediction, a text."""

    text = ""

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self.text = outputs[0]


def answering_of(
    question: Question, model: pl.LightningModule, data: pl.LightningDataModule, depends_on: dict[str, str]
) -> Answers | Continuation:
    if question.input is None:
        return Continuation(question, model, data)
    return Answers(question, model, data, depends_on)


def answer_by_objective(
    model: pl.LightningModule, inputs: Inputs
) -> Callable[[dict[str, Tensor]], dict[str, float]] | None:
    """Have the model answer by what its objective calls `answers`, or `scores` for pieces, which `summary` sums up.

    Without them, what `predict_step` returns for a batch of inputs is the answer.
    """
    objective = getattr(model, "objective", None)
    if inputs.in_pieces:
        scores = method_of(objective, "objective.py", "scores(outputs, inputs)", "an input in pieces")
        answer_with(model, lambda batch, _: scores(outputs_of(model, batch), batch))
        return method_of(objective, "objective.py", "summary(scores)", "an input in pieces")
    answers, predict_step = answers_of(model), model.predict_step
    if answers:
        answer_with(model, lambda batch, _: answers(outputs_of(model, batch)))
    else:
        answer_with(model, predict_step, WITHOUT_ANSWERS)
    return None


def answer_with(model: pl.LightningModule, answer: Callable[[Any, int], Any], hint: str = "--traceback") -> None:
    """Have `predict_step` call this instead: precision, devices and averaged weights are then those of any predict."""

    def predict_step(batch: Any, batch_idx: int) -> Any:
        with in_one_line("the model cannot answer a batch of these inputs", hint):
            return answer(batch, batch_idx)

    model.predict_step = predict_step  # type: ignore[method-assign]


def method_of(owner: object, file: str, method: str, question: str) -> Callable[..., Any]:
    """A method of a file in front; RunError, with what to add, if it is missing."""
    name = method.partition("(")[0]
    if found := getattr(owner, name, None):
        return found
    hint = f"{method} in {file}; docs/make-it-yours.md says what it does"
    raise RunError(f"{file} has no {name}, which {question} needs", hint)


def lift_limits(trainer: Namespace) -> None:
    """Have all inputs answered, whatever limits the run had; RunError for a trial, which leaves nothing."""
    if trainer.fast_dev_run:
        raise RunError("--trainer.fast_dev_run leaves nothing, and --input and --prompt are to be answered", "without")
    trainer.limit_predict_batches = None


def printable(text: str) -> str:
    """A text without characters that would control a terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
