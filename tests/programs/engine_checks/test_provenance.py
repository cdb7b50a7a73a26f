"""What a run keeps of its origin: the commit and a diff without secrets, data, later commands; and how it repeats."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import last, same
from lit_project.__main__ import load_parts, main
from lit_project.engine.command import commit, manifest
from lit_project.engine.saving.secrets import is_secret_file, masked_lines

DataModule = load_parts().data


def git(*words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(monkeypatch):
    """The folder of the test as the repository that the code lies in."""
    git("init", "--quiet")
    Path(".gitignore").write_text("runs/\ndata/\n")
    Path("code.py").write_text("rate = 1\n")
    Path(".env").write_text("KEY=1\n")
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message=first")
    monkeypatch.setattr(manifest, "CODE", Path.cwd())


def kept():
    return json.loads(Path("runs/one/manifest.json").read_text())


def test_of_a_clean_commit_there_is_no_diff(repository, short):
    main(["fit", "--run=one", *short])
    assert kept()["git"] == {"commit": git("rev-parse", "HEAD").strip(), "dirty": False}
    assert not Path("runs/one/git.diff").exists()


def test_diff_of_a_dirty_commit_is_kept_without_secrets(repository, short):
    Path("code.py").write_text('rate = 2\napi_key = "hunter2"\nurl = "https://me:hunter2@host"\n')
    Path(".env").write_text("KEY=hunter2\n")
    Path("new.py").write_text("hunter2\n")
    main(["fit", "--run=one", *short])
    assert kept()["git"]["dirty"]
    assert kept()["git"]["untracked"] == ["new.py"]
    diff = Path("runs/one/git.diff").read_text()
    assert "-rate = 1\n+rate = 2\n" in diff
    assert "api_key = ***" in diff
    assert "# .env differs too" in diff
    assert not [path for path in Path("runs").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_a_diff_can_be_applied_again(repository):
    before = Path("code.py").read_text()
    Path("code.py").write_text(before + "more = 3\nname = 'ä'\n")
    Path("moved.py").write_text("x = 1\n")
    git("add", "moved.py")
    after = {name: Path(name).read_text() for name in ("code.py", "moved.py")}
    text = commit.diff(Path.cwd())
    git("reset", "--hard", "--quiet")
    Path("changes").write_text(text)
    git("apply", "changes")
    assert {name: Path(name).read_text() for name in after} == after


def test_a_large_diff_is_cut(repository, monkeypatch):
    monkeypatch.setattr(commit, "MOST_BYTES", 5_000)
    Path("code.py").write_text("number = 1\n" * 100_000)
    text = commit.diff(Path.cwd())
    assert len(text) < 5_100
    assert text.endswith("# cut after 5,000 bytes\n")


@pytest.mark.parametrize(
    "setting", ["color.ui always", "diff.external false", "diff.noprefix true", "core.quotePath true"]
)
def test_settings_of_the_user_s_git_do_not_change_a_diff(repository, setting):
    git("config", *setting.split())
    Path("code.py").write_text("rate = 2\n")
    assert "--- a/code.py\n+++ b/code.py\n" in commit.diff(Path.cwd())


def test_there_may_be_no_git_and_no_commit(monkeypatch):
    assert commit.git_state(Path.cwd()) is None
    assert commit.diff(Path.cwd()) == ""
    git("init", "--quiet")
    assert commit.git_state(Path.cwd()) is None
    assert commit.diff(Path.cwd()) == ""
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit.git_state(Path.cwd()) is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("+api_key: abc", "+api_key: ***"),
        ('+  "password": "abc",', '+  "password": ***'),
        ("-export WANDB_API_KEY=abc", "-export WANDB_API_KEY=***"),
        ("+ run --api_token abc --lr 1", "+ run --api_token ***"),
        ("+lr = 1; SECRET_KEY='abc'", "+lr = 1; SECRET_KEY=***"),
        ("+url = postgresql://me:abc@host/db", "+url = postgresql://me:***@host/db"),
        ("+pad_token: 3", "+pad_token: 3"),
        ("+if password == other:", "+if password == other:"),
        ("+lr: 0.1", "+lr: 0.1"),
    ],
)
def test_what_is_secret_by_its_name_is_hidden_in_lines(line, shown):
    assert masked_lines([line]) == [shown]


def test_private_keys_are_hidden_in_lines():
    begin, end = (f"+-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    assert masked_lines(["+a", begin, "+MIIE", "+xyz", end, "+b"]) == ["+a", begin, "+***", "+***", end, "+b"]


def test_files_that_hold_secrets_are_known_by_their_names():
    secret = [".env", "a/.env.local", "prod.env", "key.pem", "id_rsa", ".aws/credentials", "b/secrets.yaml", ".netrc"]
    assert [is_secret_file(name) for name in secret] == [True] * len(secret)
    plain = ["code.py", "src/secrets.py", "environment.yml", "tokenizer.json", "tokens.txt", "README.md"]
    assert [is_secret_file(name) for name in plain] == [False] * len(plain)


def test_later_commands_are_added_with_their_times_and_versions(short, capsys):
    main(["fit", "--run=one", *short])
    assert "later" not in kept()
    main(["test", "--run=one", *short, "--ckpt_path=last"])
    main(["predict", *short])
    main(["export", "--format=pt2"])
    main(["fit", "--run=one", "--trainer.max_epochs=3"])
    later = kept()["later"]
    assert [entry["command"].split()[1] for entry in later] == ["test", "predict", "export", "fit"]
    assert later[0]["command"].endswith("--ckpt_path=last")
    assert all(entry["versions"]["torch"] == torch.__version__ for entry in later)
    assert [entry.get("seconds", 0) > 0 for entry in later] == [True, True, True, False]  # it has no end yet
    assert kept()["command"].split()[:2] == ["lit-project", "fit"]


def test_a_trial_adds_no_command_and_a_damaged_manifest_stays(short):
    main(["fit", "--run=one", *short])
    main(["test", *short, "--trainer.fast_dev_run=true"])
    assert "later" not in kept()
    Path("runs/one/manifest.json").write_text("{")
    main(["test", *short])
    assert Path("runs/one/manifest.json").read_text() == "{"
    Path("runs/one/manifest.json").unlink()
    main(["test", *short])
    assert not Path("runs/one/manifest.json").exists()


def test_only_the_newest_of_many_commands_are_kept(monkeypatch, short):
    monkeypatch.setattr(manifest, "MOST_COMMANDS", 2)
    main(["fit", "--run=one", *short])
    for number in range(4):
        manifest.add_command(Path("runs/one"), "lit-project", f"lit-project test {number}")
    assert [entry["command"][-1] for entry in kept()["later"]] == ["2", "3"]


def test_data_files_are_told_by_their_hashes(short, monkeypatch):
    Path("small").write_bytes(b"abc")
    Path("large").write_bytes(bytes(1000))
    files = [Path("small"), Path("large"), Path("gone")]
    monkeypatch.setattr(manifest, "MOST_HASHED", 500)
    monkeypatch.setattr(DataModule, "source_files", lambda self: files)
    main(["fit", "--run=one", *short])
    assert kept()["data"] == {
        "small": {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
        "large": {"bytes": 1000, "sha256": None},
        "gone": {"error": "No such file or directory"},
    }


def test_the_task_names_its_data(short):
    main(["fit", "--run=one", *short])
    for path, of_file in kept()["data"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == of_file["sha256"]


def test_a_run_is_repeated_by_its_configuration_to_the_same_weights(short):
    main(["fit", "--run=one", *short, "--seed_everything=7", "--trainer.gradient_clip_val=0.5"])
    shutil.copy("runs/one/config.yaml", "kept.yaml")
    main(["fit", "--run=two", "--config=runs/one/config.yaml"])
    assert same(last("one")["state_dict"], last("two")["state_dict"])
    assert same(last("one")["optimizer_states"], last("two")["optimizer_states"])
    assert Path("runs/one/metrics.csv").read_bytes() == Path("runs/two/metrics.csv").read_bytes()
    assert Path("runs/two/config.yaml").read_bytes() == Path("kept.yaml").read_bytes()
