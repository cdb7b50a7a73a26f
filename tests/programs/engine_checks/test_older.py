"""Runs that are older than the code: one line with what does not fit and what to try, and never another answer."""

import json
from pathlib import Path

import lit_project
import pytest
import torch
import yaml
from lit_project.__main__ import load_parts, main
from lit_project.engine.command import older
from lit_project.engine.errors import RunError
from PIL import Image
from torch import nn

RUN = Path("runs/old")
USES = {
    "test": ["test", "--run=old"],
    "predict": ["predict", "--run=old"],
    "input": ["predict", "--run=old", "--input=pictures"],
    "export": ["export", "--run=old", "--format=safetensors"],
    "go on": ["fit", "--run=old", "--trainer.max_epochs=3"],
}
CODE = "the code with which it was trained"


@pytest.fixture
def old(short):
    main(["fit", "--run=old", *short])
    Path("pictures").mkdir()
    Image.new("L", (8, 8)).save("pictures/black.png")
    return RUN


def network_with(monkeypatch, change):
    """A Network that is changed once it is built."""
    network = load_parts().model.__init__.__annotations__["network"]
    build = network.__init__

    def build_and_change(self, width: int, dropout: float) -> None:
        build(self, width, dropout)
        change(self)

    monkeypatch.setattr(network, "__init__", build_and_change)


def renamed(network):
    network.classifier = network.head
    del network.head


def longer(network):
    network.more = nn.Linear(2, 2)


def wider(network):
    network.head[1] = nn.Linear(network.head[1].in_features, 11)


@pytest.mark.parametrize("change", [renamed, longer, wider])
def test_weights_of_another_network_are_refused_by_every_use(old, refused, monkeypatch, change):
    network_with(monkeypatch, change)
    for args in USES.values():
        told = refused(*args)
        assert "is of another model: network." in told
        assert f"try: {CODE}" in told
    with pytest.raises(RunError, match="is of another model") as error:
        lit_project.load(old)
    assert error.value.hint == CODE
    assert "--init_partial" in refused("fit", "--run=new", "--init_from=old")


@pytest.mark.parametrize(
    ("section", "name"), [("model", "network.depth"), ("model", "schedule"), ("data", "mirror"), ("trainer", "gpus")]
)
def test_setting_that_the_code_has_lost_is_told_as_one_of_the_run(old, refused, section, name):
    settings = yaml.safe_load((old / "config.yaml").read_text())
    *above, last = name.split(".")
    place = settings[section]
    for one in above:
        place = place[one]
    place[last] = 3
    (old / "config.yaml").write_text(yaml.safe_dump(settings))
    for args in USES.values() if section != "trainer" else (USES["test"], USES["go on"]):
        told = refused(*args)
        assert "runs/old/config.yaml does not fit the code: there is no setting" in told
        assert last in told
        assert f"try: {CODE}" in told
    if section != "trainer":  # which a model needs nothing of
        with pytest.raises(RunError, match="does not fit the code: there is no setting"):
            lit_project.load(old)


def test_class_that_is_gone_is_told_as_one_of_the_run(old, refused):
    settings = yaml.safe_load((old / "config.yaml").read_text())
    settings["trainer"]["callbacks"] = [{"class_path": "lit_project.mine.Notes"}]
    (old / "config.yaml").write_text(yaml.safe_dump(settings))
    told = refused(*USES["test"])
    assert "runs/old/config.yaml does not fit the code" in told
    assert "lit_project.mine" in told


def test_own_mistake_is_not_told_as_one_of_the_run(old, refused):
    assert "config.yaml" not in refused("test", "--run=old", "--model.network.depth=3")


def test_code_that_has_changed_is_told_and_comments_are_not(old, capfd, monkeypatch, tmp_path):
    main(USES["test"])
    assert "Changed since" not in capfd.readouterr().err
    main(["export", "--run=old", "--format=safetensors"])
    sums = older.code_in_front()
    assert {"data.py", "network.py", "objective.py", "model.py"} <= sums.keys()
    assert not [file for file in sums if "engine" in file]
    monkeypatch.setattr(older, "code_in_front", lambda: {**sums, "network.py": 1})
    for use in (USES["test"], USES["predict"], USES["go on"]):
        main(use)
        assert "Changed since old was trained, so that it may answer otherwise: network.py" in capfd.readouterr().err
    for folder in (old, old / "export"):
        lit_project.load(folder)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
        assert capfd.readouterr().err.count("network.py") == 1
    file = tmp_path / "file.py"
    file.write_text("one = 1  # as it was\n")
    before = older.sum_of(file)
    file.write_text("# longer\none = (\n    1\n)\n")
    assert older.sum_of(file) == before
    file.write_text("one = 2\n")
    assert older.sum_of(file) != before


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"code": 3}', '{"code": {"a.py": []}, "git": "x"}'])
def test_run_whose_manifest_is_gone_or_foreign_is_used(old, capfd, manifest):
    (old / "manifest.json").write_text(manifest)
    main(USES["test"])
    assert "rror" not in capfd.readouterr().err


def test_commit_of_the_training_is_named(old):
    kept = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**kept, "git": {"commit": "abc", "dirty": False}}))
    assert older.what_to_try(old) == f"{CODE}, of commit abc"


def test_run_of_a_later_engine_is_refused(old, refused):
    kept = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**kept, "format": 99}))
    for args in USES.values():
        assert "run old has format 99" in refused(*args)
    with pytest.raises(RunError, match="has format 99"):
        lit_project.load(old)
