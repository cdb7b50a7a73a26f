"""A trained model from Python, and exported: the same answers, and files that are whole or not there at all."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import lit_project
import onnxruntime
import pytest
import torch
import yaml
from conftest import SHORT, same
from huggingface_hub import ModelCard
from lit_project.__main__ import main
from lit_project.data import DataModule
from lit_project.engine.command import export as command
from lit_project.engine.errors import RunError
from lit_project.engine.saving import exported, weights
from lit_project.engine.saving.nested import outputs_of, stacked
from lit_project.engine.saving.ready import Ready, fill
from lit_project.model import Model
from lit_project.objective import Objective

ONCE = [*SHORT, "--data.batch_size=8", "--trainer.logger=false", "--trainer.max_epochs=1"]
PICTURES = torch.arange(3 * 64, dtype=torch.uint8).view(3, 1, 8, 8)
FILES = ["README.md", "metrics.json", "model.onnx", "model.pt2", "model.safetensors", "settings.yaml", "signature.json"]
QUICK = ["--format", "safetensors"]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        main(["fit", "--run", "one", *ONCE])
        main(["test", "--run", "one", *ONCE])
        main(["export", "--run", "one"])
        return Path("runs").resolve()


@pytest.fixture
def run(trained_once, workplace):
    """A finished run, which has been exported."""
    shutil.copytree(trained_once, workplace / "runs")
    return Path("runs/one")


@pytest.fixture
def expected(run):
    """What its best checkpoint answers."""
    model = Model.load_from_checkpoint(run / "checkpoints/best.ckpt").eval()
    return model.objective.answers(model(PICTURES / 255))


@pytest.mark.parametrize("source", ["", "checkpoints/best.ckpt", "export"])
def test_model_is_loaded_from_any_folder(run, expected, source, tmp_path_factory, monkeypatch):
    here = lit_project.load(run / source)
    absolute = str((run / source).resolve())
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    for model in (here, lit_project.load(absolute)):
        assert same(model(PICTURES), expected)
        assert not any(module.training for module in model.modules())
        assert not any(weight.requires_grad for weight in model.parameters())


def test_last_checkpoint_is_loaded_where_there_is_no_best(run):
    (run / "checkpoints/best.ckpt").unlink()
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert same(dict(lit_project.load(run).model.state_dict()), dict(saved))


@pytest.mark.parametrize("flags", [["--preset=ema"], ["--preset=bf16"], ["--trainer.precision=bf16-true"]])
def test_run_is_loaded_whatever_it_was_trained_with(workplace, flags):
    main(["fit", "--run", "two", *ONCE, *flags])
    saved = torch.load("runs/two/checkpoints/best.ckpt", weights_only=True)
    loaded = lit_project.load("runs/two")
    expected = {name: weight.float() for name, weight in saved["state_dict"].items()}
    assert same(dict(loaded.model.state_dict()), expected)
    if "--preset=ema" in flags:
        assert not same(dict(saved["state_dict"]), dict(saved["current_model_state"]))  # as they were without averages
    main(["export", "--run", "two", *QUICK])
    assert same(lit_project.load("runs/two/export")(PICTURES), loaded(PICTURES))


def test_importing_the_package_imports_no_torch():
    code = "import sys, lit_project; lit_project.load; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_export_is_described(run):
    folder = run / "export"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    signature = json.loads((folder / "signature.json").read_text())
    assert signature["inputs"] == [{"name": "inputs", "dtype": "uint8", "shape": ["batch", 1, 8, 8]}]
    assert signature["outputs"][:2] == [
        {"name": "digit", "dtype": "int64", "shape": ["batch"]},
        {"name": "p0", "dtype": "float32", "shape": ["batch"]},
    ]
    tested = json.loads((run / "test.json").read_text())
    assert tested.pop("checkpoint")["path"] == "checkpoints/best.ckpt"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"] == tested
    assert metrics["checkpoint"].keys() == {"file", "epoch", "step", "val/loss"}
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    assert {result.metric_name: result.metric_value for result in card.data.eval_results} == tested
    assert "lit-project fit --run one" in card.text


def exported_metrics(run, *flags):
    main(["export", "--run", run.name, *QUICK, *flags])
    return json.loads((run / "export/metrics.json").read_text())


def test_figures_stay_those_of_the_checkpoint_wherever_and_whenever_its_run_is_copied(run):
    shutil.copytree(run, "runs/two", copy_function=shutil.copyfile)  # with other times
    os.utime("runs/two/test.json", (0, 0))
    assert exported_metrics(Path("runs/two"))["test"]


def test_figures_of_another_checkpoint_are_left_out(run):
    assert "test" not in exported_metrics(run, "--ckpt_path=last")
    main(["test", "--run", "one", "--ckpt_path=last", *ONCE])
    assert "test" in exported_metrics(run, "--ckpt_path=last")
    assert "test" not in exported_metrics(run)
    main(["test", "--run", "one", *ONCE])
    saved = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    saved["state_dict"]["network.head.1.bias"] += 1  # as by a training that began anew and got as far
    torch.save(saved, run / "checkpoints/best.ckpt")
    assert "test" not in exported_metrics(run)
    (run / "test.json").write_text("{}")  # of an earlier engine
    assert "test" not in exported_metrics(run)


def test_onnx_has_the_names_of_the_signature(run, expected):
    session = onnxruntime.InferenceSession(run / "export/model.onnx", providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("inputs", ["batch", 1, 8, 8])]
    assert [one.name for one in session.get_outputs()] == list(expected)


def test_agreement_is_printed(run, capsys):
    main(["export", "--run", "one"])
    printed = capsys.readouterr().out
    assert "format         batch of 1  batch of 2  batch of 7\nonnx " in printed
    assert max(map(len, printed.splitlines()[:5])) <= 80
    assert "torchvision" not in printed


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("share", [2e-5, float("nan")])
@pytest.mark.parametrize("reader", ["read_onnx", "read_pt2"])
def test_files_that_answer_otherwise_are_not_exported(run, refused, monkeypatch, reader, share):
    as_ever = getattr(exported, reader)

    def read(path):
        answering = as_ever(path)
        return lambda inputs: {n: a + share if a.is_floating_point() else a for n, a in answering(inputs).items()}

    before = content(run / "export")
    monkeypatch.setattr(exported, reader, read)
    assert "does not answer as the model does" in refused("export", "--run", "one")
    assert content(run / "export") == before
    shutil.rmtree(run / "export")
    refused("export", "--run", "one")
    assert not [path.name for path in run.iterdir() if "export" in path.name]


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        ({"p": torch.tensor([1.0, -4.0]), "n": torch.tensor([1, 2])}, 0.0),
        ({"p": torch.tensor([1.0, -4.2]), "n": torch.tensor([1, 2])}, 0.2),
        ({"p": torch.tensor([1.0, -4.0]), "n": torch.tensor([1, 3])}, float("inf")),
        ({"p": torch.tensor([1.0]), "n": torch.tensor([1, 2])}, float("inf")),
        ({"p": torch.tensor([1.0, -4.0])}, float("inf")),
    ],
)
def test_largest_difference_is_between_numbers_and_infinite_between_others(found, difference):
    expected = {"p": torch.tensor([1.0, -4.0]), "n": torch.tensor([1, 2])}
    assert exported.largest_difference(expected, found) == pytest.approx(difference)


@pytest.mark.parametrize(("answer", "is_refused"), [(1.0, False), (0.001, True), (0.0, True)])
def test_difference_is_measured_by_the_largest_answer_to_any_batch(answer, is_refused):
    examples = exported.examples_of([torch.ones(1), torch.ones(2)])
    answers = [{"p": torch.full((len(batch),), answer if batch.shape[1] == 2 else 0.0)} for batch in examples.batches]
    off = iter([{"p": one["p"] + 1e-7} for one in answers])
    if is_refused:
        with pytest.raises(RunError, match="does not answer as the model does"):
            exported.differences("onnx", lambda batch: next(off), examples, answers)
    else:
        shares = exported.differences("onnx", lambda batch: next(off), examples, answers)
        assert shares == pytest.approx(dict.fromkeys(exported.BATCH_SIZES, 1e-7), rel=0.5)


def test_export_that_was_killed_between_its_two_moves_is_loaded(run, expected):
    (run / "export").rename(run / ".export.old")
    assert same(lit_project.load(run / "export")(PICTURES), expected)


def test_folder_that_is_no_export_is_kept(run, refused):
    shutil.rmtree(run / "export")
    (run / "export").mkdir()
    (run / "export/notes.txt").write_text("mine")
    assert "is no export, so nothing is written there" in refused("export", "--run", "one")
    assert (run / "export/notes.txt").read_text() == "mine"


def test_link_out_of_the_run_is_not_followed(run, refused, workplace):
    shutil.move(run / "export", workplace / "elsewhere")
    (run / "export").symlink_to(workplace / "elsewhere")
    assert "is a link out of the run's folder" in refused("export", "--run", "one")


@pytest.mark.parametrize(("flags", "missing"), [([], "onnx and onnxscript"), (QUICK, "safetensors")])
def test_missing_packages_are_told_before_torch_is_needed(run, refused, monkeypatch, flags, missing):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    told = refused("export", "--run", "one", *flags)
    assert f"needs {missing}" in told
    assert "try: uv run --extra export lit-project export" in told


def test_pt2_needs_no_package_beside_torch(run, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    main(["export", "--run", "one", "--format", "pt2"])
    with pytest.raises(RunError, match=r"was exported without model\.safetensors"):
        lit_project.load(run / "export")


def change_settings(run, change):
    settings = yaml.safe_load((run / "config.yaml").read_text())
    change(settings)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda settings: settings["model"]["network"].update(depth=3), "there is no setting network.depth"),
        (lambda settings: settings["model"]["network"].update(width=3), "--model.network.width is 3, and must be"),
        (lambda settings: settings["model"]["network"].update(width=8), "is of another model: network.features"),
        (lambda settings: settings["data"].update(val_fraction="x"), "val_fraction"),
    ],
)
def test_run_that_does_not_fit_the_code_is_refused_in_one_line(run, refused, change, told):
    change_settings(run, change)
    with pytest.raises(RunError, match=told) as refusal:
        lit_project.load(run)
    assert "\n" not in str(refusal.value)
    assert "the code with which it was trained" in refused("export", "--run", "one")


def test_setting_that_the_code_has_gained_is_that_of_default_yaml(run, expected):
    change_settings(run, lambda settings: settings["model"]["objective"].clear())
    assert same(lit_project.load(run)(PICTURES), expected)


@pytest.mark.parametrize(
    ("owner", "method", "told"),
    [
        (DataModule, "examples", "data.py gives no examples of raw inputs"),
        (DataModule, "preprocessing", "data.py does not say how raw inputs become"),
        (Objective, "answers", "objective.py does not say what the outputs are called"),
    ],
)
def test_method_that_a_project_lacks_is_told(run, refused, monkeypatch, owner, method, told):
    monkeypatch.delattr(owner, method)
    lines = refused("export", "--run", "one")
    assert told in lines
    assert f"try: a method {method}(" in lines


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (lambda self, outputs: {"names": ["a"] * len(outputs)}, "is no tensor with 1 entries"),
        (lambda self, outputs: {"mean": outputs.mean()}, "is no tensor with 1 entries"),
        (lambda self, outputs: {"p": outputs * 2 if outputs.sum() > 0 else outputs}, "cannot take this model"),
    ],
)
def test_answers_that_cannot_be_exported_are_refused_in_one_line(run, refused, monkeypatch, answers, told):
    monkeypatch.setattr(Objective, "answers", answers)
    assert told in refused("export", "--run", "one")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("runs/none", "there is no run, checkpoint or exported folder"),
        ("runs", "is none of what load can take"),
        ("https://host/best.ckpt", "is an address"),
        ("copied.ckpt", "is none of what load can take"),
    ],
)
def test_what_is_no_model_is_told(run, source, told):
    shutil.copy(run / "checkpoints/best.ckpt", "copied.ckpt")
    with pytest.raises(RunError, match=told):
        lit_project.load(source)


def test_training_begins_with_exported_weights(run):
    main(["fit", "--run", "two", *ONCE, "--init_from", str(run / "export/model.safetensors")])
    assert json.loads(Path("runs/two/init_from.json").read_text())["init_from"].endswith("model.safetensors")


def test_preprocessing_is_exported_but_begins_no_training(tmp_path):
    linear = torch.nn.Linear(2, 1)
    file = {**{name: torch.ones_like(weight) for name, weight in linear.state_dict().items()}}
    torch.save({**file, weights.PREPROCESSING + "mean": torch.ones(2)}, tmp_path / "file.pt")
    assert "2 of 2 tensors" in weights.begin_with(linear, tmp_path / "file.pt", is_partial=False)[0]


def test_shared_weights_are_exported_once(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, bias=False)
            self.other.weight = self.one.weight

    ready, fresh = (Ready(torch.nn.Identity(), Tied(), DataModule) for _ in range(2))
    exported.write_safetensors(ready, exported.examples_of([torch.ones(2)]), tmp_path / "model.safetensors")
    saved = weights.read(tmp_path / "model.safetensors")
    assert saved.keys() == {"one.weight", "one.bias"}
    fill(fresh, saved, tmp_path)
    assert same(dict(fresh.state_dict()), dict(ready.state_dict()))
    with pytest.raises(RunError, match=r"one\.bias is missing in it"):
        fill(fresh, {"one.weight": saved["one.weight"]}, tmp_path)


def test_dimension_in_which_examples_differ_is_free():
    examples = exported.examples_of([torch.ones(5, 2), torch.ones(3, 2), torch.zeros(5, 2)])
    assert examples.free == {"inputs": {0: "batch", 1: "size_1"}}
    assert [tuple(batch.shape) for batch in examples.batches] == [(n, t, 2) for n in (1, 2, 7) for t in (5, 3)]
    assert examples.batches[2][:, 0, 0].tolist() == [1.0, 0.0]  # the samples in turn


class Two(torch.nn.Module):
    """Takes tokens and a mask."""

    def forward(self, tokens, mask):
        return {"sum": (tokens * mask).sum(dim=1)}


class One(torch.nn.Module):
    """Takes all in one."""

    def forward(self, inputs):
        return inputs


class Optional(torch.nn.Module):
    """Has an argument that is no input."""

    def forward(self, inputs, temperature=1.0):
        return inputs


def test_forward_is_given_a_dict_by_name_and_a_tuple_in_order_if_it_takes_several():
    tokens, mask = torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool)
    for inputs in ({"mask": mask, "tokens": tokens}, (tokens, mask)):
        assert outputs_of(Two(), inputs)["sum"].tolist() == [3, 3]
        assert outputs_of(One(), inputs) is inputs
    assert outputs_of(One(), {"inputs": mask}) == {"inputs": mask}
    assert outputs_of(Optional(), (tokens, mask)) == (tokens, mask)


def test_named_tuples_are_stacked_as_they_are():
    pair = namedtuple("pair", "tokens mask")
    batch = stacked([pair(torch.ones(3), torch.zeros(3))] * 2)
    assert isinstance(batch, pair)
    assert batch.mask.shape == (2, 3)


def ready_of(network, answers=lambda outputs: outputs):
    network.answers = answers
    return Ready(torch.nn.Identity(), network, DataModule)


@pytest.mark.parametrize("write", ["write_onnx", "write_pt2"])
@pytest.mark.parametrize("layout", [dict, lambda parts: tuple(dict(parts).values())])
def test_network_with_several_inputs_is_exported_with_each_of_them(tmp_path, write, layout):
    samples = [layout([("tokens", torch.arange(length)), ("mask", torch.arange(length) < 2)]) for length in (4, 4, 6)]
    ready, examples = ready_of(Two()), exported.examples_of(samples)
    answers = exported.answers_to(ready, examples)
    getattr(exported, write)(ready, examples, tmp_path / "model")
    answering = getattr(exported, write.replace("write", "read"))(tmp_path / "model")
    assert exported.differences(write, answering, examples, answers) == dict.fromkeys(exported.BATCH_SIZES, 0)
    inputs = exported.signature(examples, answers)["inputs"]
    assert [one["dtype"] for one in inputs] == ["int64", "bool"]
    assert inputs[0]["shape"] == inputs[1]["shape"] == ["batch", f"{inputs[0]['name']}_size_1"]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (lambda outputs: {"p": outputs["sum"].squeeze()}, "'p' for a batch of 1, which is no tensor with 1 entries"),
        (lambda outputs: outputs["sum"], "answers returned Tensor"),
        (lambda outputs: {}, "answers returned dict"),
    ],
)
def test_answers_without_an_entry_for_each_input_are_refused_by_the_loaded_model(answers, told):
    ready = ready_of(Two(), answers)
    with pytest.raises(RunError, match=told):
        ready({"tokens": torch.ones(1, 3), "mask": torch.ones(1, 3)})


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([torch.ones(2), torch.ones(3)], "samples differ"),
        ([torch.ones(2), torch.ones(2, dtype=torch.int64)], "samples differ"),
        ([{"a": torch.ones(2)}, {"b": torch.ones(2)}], "samples differ"),
        ([1.5], "of type float, where a tensor is expected"),
        ([{"a": "text"}], "a is of type str, where a tensor is expected"),
        ([{}], "no tensor"),
    ],
)
def test_samples_that_make_no_batch_are_refused(samples, told):
    with pytest.raises(RunError, match=told):
        stacked(samples)


@pytest.mark.parametrize(
    ("owner", "method", "replacement", "told"),
    [
        (DataModule, "preprocessing", lambda self: torch.relu, "returned builtin_function_or_method, no nn.Module"),
        (DataModule, "preprocessing", lambda self: self.train[0], "AttributeError: 'DataModule' object has no"),
        (DataModule, "examples", lambda self: self.test[:3], "nor setup is called: AttributeError"),
        (DataModule, "examples", lambda self: torch.ones(3, 1, 8, 8), "must be a list of raw inputs"),
        (DataModule, "examples", lambda self: [torch.ones(2)], "cannot answer what examples() in data.py gives"),
        (Objective, "answers", lambda self, outputs: outputs.logits, "AttributeError"),
    ],
)
def test_methods_in_front_that_fail_are_told_in_one_line(run, refused, monkeypatch, owner, method, replacement, told):
    monkeypatch.setattr(owner, method, replacement)
    assert told in refused("export", "--run", "one", *QUICK)


def test_model_may_name_its_answers_itself(run, monkeypatch):
    monkeypatch.delattr(Objective, "answers")
    monkeypatch.setattr(Model, "answers", lambda self, outputs: {"logits": outputs}, raising=False)
    assert lit_project.load(run)(PICTURES)["logits"].shape == (3, 10)
