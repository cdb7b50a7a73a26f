"""`predict --input`: the user's own files in, a table of answers out, whatever stops it meanwhile."""

import csv
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lit_project.__main__ import load_parts, main
from lit_project.engine.errors import RunError
from lit_project.engine.saving import parts
from lit_project.engine.saving.tables import FORMATS, format_of
from lit_project.engine.training import predicting
from lit_project.engine.training.inputs import Inputs, files_of, numbers, rows_of
from lit_project.engine.training.predicting import columns_of
from PIL import Image

MODEL, DATA = (getattr(load_parts(), part) for part in ("model", "data"))
PICTURES = 21
BAD = {"broken.png": b"\x89PNG\r\n\x1a\n nothing", "empty.png": b""}


@pytest.fixture
def pictures(workplace):
    """A folder with pictures in it and in a folder below, two of which cannot be read."""
    folder = workplace / "pictures"
    (folder / "more").mkdir(parents=True)
    levels = np.random.default_rng(0).integers(0, 256, (PICTURES, 8, 8), dtype=np.uint8)
    for number, picture in enumerate(levels):
        Image.fromarray(picture).save(folder / ("more" if number % 3 == 0 else "") / f"{number:02}.png")
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def trained(short):
    main(["fit", "--run=one", *short])
    return ["predict", "--run=one", *short, "--input=pictures"]


def predict(*args):
    """Run a command; its exit code."""
    try:
        main(list(args))
    except SystemExit as ended:
        return ended.code
    return 0


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def ids(folder):
    return [item.id for item in files_of(folder, (".png",)) if item.id not in BAD]


def test_good_pictures_are_answered_in_order_and_bad_ones_listed(pictures, trained, capfd):
    assert predict(*trained) == 3
    answers, rejects = table("runs/one/predictions.csv"), table("runs/one/predictions.rejects.csv")
    assert [row["id"] for row in answers] == ids(pictures)
    assert len(answers) == PICTURES
    assert {row["id"]: row["place"] for row in rejects} == {name: f"pictures/{name}" for name in BAD}
    assert all("no picture that can be read" in row["reason"] for row in rejects)
    told = capfd.readouterr()
    assert "for 21 of 23 inputs" in told.out
    assert "2 inputs left out as bad: see runs/one/predictions.rejects.csv" in told.err
    assert not list(Path("runs/one").glob(".*.parts"))


def test_answers_are_those_of_the_network_for_the_preprocessed_pictures(pictures, trained):
    predict(*trained)
    model = MODEL.load_from_checkpoint("runs/one/checkpoints/best.ckpt").eval()
    for row in table("runs/one/predictions.csv"):
        with Image.open(pictures / row["id"]) as picture:
            levels = torch.tensor(np.array(picture))[None, None] / 255
        probabilities = model(levels)[0].softmax(dim=0)
        assert [float(row[f"p{digit}"]) for digit in range(10)] == pytest.approx(probabilities.tolist(), abs=1e-5)
        assert int(row["digit"]) == probabilities.argmax()


@pytest.mark.parametrize("ending", FORMATS)
def test_each_format_has_the_same_answers(pictures, trained, ending, monkeypatch):
    if ending == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(predicting, "ITEMS", 8)  # several parts are joined
    predict(*trained)
    assert predict(*trained, f"--output=out/answers{ending}") == 3
    if ending == ".parquet":
        found = parquet.read_table("out/answers.parquet").to_pylist()
    elif ending == ".jsonl":
        found = [json.loads(line) for line in Path("out/answers.jsonl").read_text().splitlines()]
    else:
        found = table("out/answers.csv")
    expected = table("runs/one/predictions.csv")
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    for name in ("digit", "p0", "p9"):
        assert [float(row[name]) for row in found] == pytest.approx([float(row[name]) for row in expected])


def test_output_is_the_same_for_parts_of_any_size(pictures, trained, monkeypatch):
    predict(*trained)
    whole = Path("runs/one/predictions.csv").read_bytes()
    monkeypatch.setattr(predicting, "ITEMS", 1)
    assert predict(*trained, "--output=small.csv") == 3
    assert Path("small.csv").read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no processes that are forked")
def test_predict_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(pictures, trained, monkeypatch):
    monkeypatch.setattr(predicting, "ITEMS", 16)  # two parts
    assert predict(*trained) == 3
    whole = [Path(f"runs/one/predictions{ending}").read_bytes() for ending in (".csv", ".rejects.csv")]
    output, killed = Path("out.csv"), 0
    for number in range(200):
        if forked(killed_before, number, *trained, "--output=out.csv") != -signal.SIGKILL:
            break
        killed += 1
        assert not output.exists() or output.read_bytes() == whole[0]  # never half a file
        # A kill after all was done leaves nothing to go on with.
        is_done = output.exists() and not Path(parts.folder_of(output), parts.ABOUT).exists()
        assert forked(predict, *trained, "--output=out.csv") == (2 if is_done else 3)
        assert [output.read_bytes(), Path("out.rejects.csv").read_bytes()] == whole
        assert not parts.folder_of(output).exists()
        output.unlink()
        Path("out.rejects.csv").unlink()
    assert killed > 12  # each part has two files, which are moved to their place and removed


def killed_before(number, *args):
    """A command that is killed before its file operation of this number: a file that is moved, or one that is gone."""
    left = number

    def counted(function):
        def count(*arguments, **options):
            nonlocal left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*arguments, **options)

        return count

    os.replace, os.rmdir, os.unlink = counted(os.replace), counted(os.rmdir), counted(os.unlink)
    Path.unlink, Path.rmdir, Path.mkdir = counted(Path.unlink), counted(Path.rmdir), counted(Path.mkdir)
    return predict(*args)


def forked(function, *arguments):
    """The exit code that a function gives in a process of its own, negative for a signal."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = function(*arguments)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stopped_after_first_part(monkeypatch, *args):
    write = parts.Parts.write

    def write_once(self, number, *part):
        write(self, number, *part)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "write", write_once)
        assert predict(*args) == 130
    assert list(parts.folder_of(Path("runs/one/predictions.csv")).glob("*.answers"))


def test_parts_are_used_again(pictures, trained, monkeypatch, capfd):
    monkeypatch.setattr(predicting, "ITEMS", 8)
    stopped_after_first_part(monkeypatch, *trained)
    assert predict(*trained) == 3
    assert "Goes on: parts of 8 inputs that are there: 1" in capfd.readouterr().out


@pytest.mark.parametrize("changed", ["input", "checkpoint", "settings"])
def test_parts_of_something_else_are_not_mixed(pictures, trained, monkeypatch, capfd, changed):
    monkeypatch.setattr(predicting, "ITEMS", 8)
    stopped_after_first_part(monkeypatch, *trained)
    if changed == "settings":
        trained.append("--data.seed=7")
    else:
        path = pictures / "01.png" if changed == "input" else Path("runs/one/checkpoints/best.ckpt")
        os.utime(path, (time.time(), time.time() + 5))
    assert predict(*trained) == 3
    assert f"Starts over, because other parts of runs/one/predictions.csv are there, of another {changed}" in (
        capfd.readouterr().out
    )
    assert [row["id"] for row in table("runs/one/predictions.csv")] == ids(pictures)


def test_input_that_changes_while_it_is_read_is_told(pictures, trained, refused, monkeypatch):
    write = parts.Parts.write

    def write_and_change(self, *part):
        write(self, *part)
        (pictures / "new.png").write_bytes(b"new")

    monkeypatch.setattr(parts.Parts, "write", write_and_change)
    assert "changed while it was read" in refused(*trained)
    assert not Path("runs/one/predictions.csv").exists()


def test_existing_output_is_replaced_only_when_that_is_asked_for(pictures, trained, refused):
    Path("runs/one/predictions.csv").write_text("precious")
    told = refused(*trained)
    assert "runs/one/predictions.csv is there already" in told
    assert "--overwrite" in told
    assert Path("runs/one/predictions.csv").read_text() == "precious"
    assert predict(*trained, "--overwrite") == 3
    assert len(table("runs/one/predictions.csv")) == PICTURES


def test_output_that_is_begun_anew_is_not_overwritten_without_the_flag(pictures, trained, refused, monkeypatch):
    Path("runs/one/predictions.csv").write_text("precious")
    monkeypatch.setattr(predicting, "ITEMS", 8)
    stopped_after_first_part(monkeypatch, *trained, "--overwrite")
    assert "is there already" in refused(*trained)
    assert Path("runs/one/predictions.csv").read_text() == "precious"


def test_good_input_leaves_no_rejects_and_those_of_the_output_before_go(pictures, trained):
    assert predict(*trained) == 3
    for name in BAD:
        (pictures / name).unlink()
    assert predict(*trained, "--overwrite") == 0
    assert not Path("runs/one/predictions.rejects.csv").exists()


def test_input_of_bad_files_alone_has_an_output_without_rows(pictures, trained):
    assert predict(*trained[:-1], f"--input={pictures / 'broken.png'}") == 3
    assert Path("runs/one/predictions.csv").read_text() == "id\n"


def test_model_without_answers_gives_what_its_step_returns(pictures, trained, monkeypatch):
    monkeypatch.delattr(sys.modules["lit_project.objective"].Objective, "answers")
    assert predict(*trained) == 3
    assert list(table("runs/one/predictions.csv")[0]) == ["id", "prediction"]


@pytest.mark.parametrize("flag", ["--input=pictures", "--prompt=Once"])
def test_data_that_cannot_read_inputs_is_told_with_what_to_add(pictures, trained, refused, monkeypatch, flag):
    monkeypatch.delattr(DATA, "read_inputs")
    told = refused(*trained[:-1], flag)
    assert "data.py has no read_inputs" in told or "data.py has no continuation" in told


def test_columns_of_nested_answers_have_names_of_their_own():
    answers = {"box": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "more": (torch.tensor([5, 6]), ["a", "b"])}
    columns = {name: list(column) for name, column in columns_of(answers).items()}
    assert columns == {"box_0": [1.0, 3.0], "box_1": [2.0, 4.0], "more.0": [5, 6], "more.1": ["a", "b"]}
    assert list(columns_of(torch.ones(2, 1, dtype=torch.bfloat16))) == ["prediction"]


ROWS = "id,a,b\nx,1,2\n,3,\ny,nan,4\n\nz,5\nw,1e300,1\nv,é,1\n"


def test_rows_have_an_id_a_place_and_numbers_or_a_reason():
    Path("rows.csv").write_text(ROWS, encoding="utf-8")
    found = []
    for item in rows_of(Path("rows.csv"), ["a", "b"]):
        try:
            found.append((item.id, item.place, numbers(item.checked(), ["a", "b"]).tolist()))
        except ValueError as error:
            found.append((item.id, item.place, str(error)))
    assert found == [
        ("x", "rows.csv:2", [1.0, 2.0]),
        ("2", "rows.csv:3", "b is empty"),
        ("y", "rows.csv:4", "a is nan"),
        ("4", "rows.csv:6", "2 cells, and the file has 3 columns"),
        ("w", "rows.csv:7", "a is 1e+300"),
        ("v", "rows.csv:8", "a is 'é', which is no number"),
    ]


def test_quotation_mark_that_is_left_open_is_told_with_its_line():
    Path("rows.csv").write_text('a,b\n1,2\n"3,4\n5,6\n')
    first, second = rows_of(Path("rows.csv"), ["a", "b"])
    assert (first.content, second.place) == ({"a": "1", "b": "2"}, "rows.csv:3")
    assert "goes on to line 4: is a quotation mark left open?" in str(second.content)


def test_rows_of_parquet_are_those_of_csv():
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0, None], "b": [2, 3], "id": ["x", None]}), "rows.parquet")
    first, second = rows_of(Path("rows.parquet"), ["a", "b"])
    assert (first.id, numbers(first.content, ["a", "b"]).tolist()) == ("x", [1.0, 2.0])
    assert (second.id, second.place) == ("2", "rows.parquet:2")
    with pytest.raises(ValueError, match="a is empty"):
        numbers(second.content, ["a", "b"])
    Path("rows.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(RunError, match="no Parquet file that can be read"):
        rows_of(Path("rows.parquet"), ["a"])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", "age,bmj\n1,2\n", "has no column bmi.*rename bmj"),
        ("rows.csv", "x,y\n1,2\n", "has no column age, bmi.*its columns are x, y"),
        ("rows.csv", "", "is empty.*a first line with the columns age, bmi"),
        ("rows.csv", "age,bmi,age\n1,2,3\n", "has the column age twice"),
        ("rows.csv", "age,bmi\n", "has no rows"),
        ("rows.txt", "age,bmi\n1,2\n", "ends with .csv or .parquet"),
    ],
)
def test_table_that_cannot_be_answered_is_refused(name, content, told):
    Path(name).write_text(content)
    with pytest.raises(RunError) as refusal:
        rows_of(Path(name), ["age", "bmi"])
    assert re.search(told, f"{refusal.value} {refusal.value.hint}")


def test_parquet_without_pyarrow_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    Path("rows.parquet").touch()
    for use in (lambda: rows_of(Path("rows.parquet"), ["a"]), lambda: format_of(Path("answers.parquet"))):
        with pytest.raises(RunError, match="pyarrow") as refusal:
            use()
        assert "--extra parquet" in refusal.value.hint


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        (lambda path: 1.5, "an input is of type float, where a tensor is expected"),
        (lambda path: torch.ones(1, 8, int(path.stem[-1]) + 8), "samples differ in their tensors"),
        (lambda path: {}["column"], "read_inputs in data.py failed for pictures/01.png: KeyError: 'column'"),
        (lambda path: {"picture": torch.ones(1, 8, 8)}, "preprocessing in data.py cannot take a batch of these inputs"),
        (lambda path: torch.ones(3, 8, 8), "the model cannot answer a batch of these inputs: RuntimeError"),
    ],
)
def test_inputs_that_the_model_cannot_take_are_told_in_one_line(pictures, trained, refused, monkeypatch, sample, told):
    monkeypatch.setattr(DATA, "read_inputs", lambda self, path: Inputs(files_of(path, (".png",)), sample))
    assert told in refused(*trained)


def test_step_that_takes_no_inputs_alone_is_told_with_what_to_add(pictures, trained, refused, monkeypatch):
    monkeypatch.delattr(sys.modules["lit_project.objective"].Objective, "answers")
    monkeypatch.setattr(MODEL, "predict_step", lambda self, batch, batch_idx: self(batch.pictures))
    assert "a method answers(outputs) in objective.py or model.py" in refused(*trained)


def test_answers_are_counted_against_the_inputs(pictures, trained, refused, monkeypatch):
    objective = sys.modules["lit_project.objective"].Objective
    monkeypatch.setattr(objective, "answers", lambda self, outputs: {"digit": outputs[:1].argmax(dim=1)})
    told = refused(*trained)
    assert "1 entries for a batch of 8 samples" in told or "1 answers were given to 8 inputs" in told
