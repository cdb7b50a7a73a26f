"""What helps to type: the schema of all settings for an editor, and the completion of commands in bash."""

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS, SETTINGS, SHORT
from jsonschema import Draft7Validator
from lit_project.__main__ import main, project
from lit_project.engine.command.completion import script
from lit_project.engine.command.dispatch import COMMANDS
from lit_project.engine.command.schema import of_settings

ADAM = "torch.optim.AdamW"
# By key: values that are right, and that are wrong.
RIGHT = {
    "trainer.callbacks+": [[{"class_path": "Compile"}], [{"class_path": "lit_project.mine.Callback"}]],
    "trainer.callbacks": [[{"class_path": "Freeze", "init_args": {"modules": ["network"]}}], None],
    "trainer.devices": ["auto", 2, [0, 1]],
    "trainer.precision": ["bf16-mixed", 16],
    "trainer.strategy": ["ddp", {"class_path": "Sharded"}],
    "model.optimizer": [
        ADAM,
        {"init_args": {"lr": 0.1}},  # of the class that default.yaml names
        {"class_path": ADAM, "init_args": {"betas": [0.9, 0.95]}},
        {"class_path": "another_package.optim.Lion", "init_args": {"lr": 0.1}},
        {"class_path": "lit_project.optimizers.Lion", "init_args": {"lr": 0.1}},
    ],
    "model.lr_scheduler": [
        {"class_path": "WarmupCosine", "init_args": {"floor": 0.1}},
        {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 3}},
        {"class_path": "pytorch_lightning.cli.ReduceLROnPlateau", "init_args": {"monitor": "val/loss"}},
    ],
    "early_stopping": [None, {"patience": 3}],
    "logger": ["wandb", ["csv", "wandb"]],
}
WRONG = {
    "modle": [{}],
    "trainer.max_epoch": [3],
    "trainer.max_epochs": ["many", 1.5],
    "trainer.precision": ["bf16-mixedd"],
    "trainer.callbacks+": [[{"class_path": "Compil"}], [{"class_path": "Compile", "init_args": {"depth": 1}}]],
    "model.network.width": ["wide", None],
    "model.network.widht": [16],
    "model.optimizer": [
        "AdamW",
        {"class_path": "torch.optim.AdmW"},
        {"class_path": ADAM, "init_args": {"learning_rate": 0.1}},
        {"class_path": ADAM, "init_args": {"lr": "fast"}},
        {"class_path": ADAM, "init_args": {"betas": [0.9, 0.95, 0.99]}},
        {"class_pth": ADAM},
    ],
    "model.lr_scheduler": [{"class_path": "WarmupCosin"}, {"class_path": "WarmupCosine", "init_args": {"flor": 0.1}}],
    "early_stopping": [{"patiance": 3}, {"patience": "long"}],
    "logger": [3],
}


@pytest.fixture(scope="module")
def schema():
    return of_settings(project())


def with_setting(key, value):
    settings = copy.deepcopy(SETTINGS)
    *sections, name = key.split(".")
    section = settings
    for one in sections:
        section = section.setdefault(one, {})
    section[name] = value
    return settings


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in RIGHT.items() for value in values], ids=str)
def test_right_setting_keeps_to_the_schema(key, value, schema):
    assert Draft7Validator(schema).is_valid(with_setting(key, value))


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values], ids=str)
def test_mistyped_setting_does_not(key, value, schema):
    assert not Draft7Validator(schema).is_valid(with_setting(key, value))


def test_run_s_own_settings_keep_to_the_schema(workplace, schema):
    main(["fit", "--run", "one", *SHORT, "--preset", "ema"])
    settings = yaml.safe_load((workplace / "runs/one/config.yaml").read_text())
    assert not [error.message for error in Draft7Validator(schema).iter_errors(settings)]


def test_command_writes_the_schema_where_every_file_names_it(capsys):
    written = CONFIGS / "schema.json"
    main(["schema"])
    assert str(written) in capsys.readouterr().out
    assert json.loads(written.read_text()) == of_settings(project())  # what was imported meanwhile has its part
    for path in [CONFIGS / "default.yaml", *CONFIGS.glob("presets/*.yaml")]:
        first, second, *_ = path.read_text(encoding="utf-8").splitlines()
        place = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / place).resolve() == written, path
        assert second.startswith("# "), path  # when to use it
    ignored = (CONFIGS.parents[2] / ".gitignore").read_text().splitlines()
    assert "/src/*/configs/schema.json" in ignored


# What bash does when somebody presses the key after these words; = is a word of its own for bash.
PRESSED = """
source completion.sh
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_lit_project
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_flags_and_values(workplace):
    Path("completion.sh").write_text(script(project()))
    Path("runs/$(touch executed)").mkdir(parents=True)
    Path("runs/first").mkdir()

    def completed(words):
        done = subprocess.run(["bash", "-c", PRESSED.format(words=words)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")[:-1]

    assert completed('lit-project ""') == list(COMMANDS)
    assert completed("lit-project exp") == ["export"]
    assert completed("lit-project fit --model.network.wi") == ["--model.network.width"]
    assert completed("lit-project fit --model.optimizer.init_args.l") == ["--model.optimizer.init_args.lr"]
    assert completed("lit-project predict --inp") == ["--input"]
    assert completed("lit-project repeat --see") == ["--seed_everything", "--seeds"]
    assert completed("lit-project fit --inp") == [""]
    assert completed("lit-project fit --preset bf") == ["bf16"]
    assert completed("lit-project fit --preset = bf") == ["bf16"]
    assert completed("lit-project fit --preset =")[0] == "bf16"
    assert completed("lit-project fit --trainer.detect_anomaly t") == ["true"]
    assert completed("lit-project test --run fi") == ["first"]
    assert "first" in completed("lit-project test --run =")
    assert completed("lit-project merge ru") == [""]  # bash goes on with names of files
    assert not Path("executed").exists()
    registered = subprocess.run(["bash", "-c", ". ./completion.sh; complete -p lit-project"], capture_output=True)
    assert b"-o default -F _lit_project lit-project" in registered.stdout
