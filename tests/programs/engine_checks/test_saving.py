"""What is saved: no secret, nothing that could not be loaded again, and always one whole checkpoint."""

from pathlib import Path

import pytest
import torch
from lit_project.__main__ import main
from lit_project.engine.errors import RunError
from lit_project.engine.saving import atomic, checkpoints, shards
from lit_project.engine.saving.checkpoints import SafeCheckpointIO
from lit_project.engine.saving.secrets import masked, without_secrets
from torch.distributed import checkpoint as distributed_checkpoint


def test_setting_that_would_make_a_checkpoint_unloadable_is_refused_when_it_is_saved():
    with pytest.raises(RunError, match=r"hyper_parameters where is a (Posix|Windows)Path"):
        SafeCheckpointIO().save_checkpoint({"state_dict": {}, "hyper_parameters": {"where": Path("here")}}, "own.ckpt")
    assert not Path("own.ckpt").exists()


def test_secrets_are_told_by_their_names():
    settings = {"api_token": "t", "pad_token": "<pad>", "data": {"password": "p"}, "url": "https://me:p@host/x"}
    assert without_secrets(settings) == {"pad_token": "<pad>", "data": {}, "url": "https://me:***@host/x"}
    words = ["fit", "--data.api_key", "k", "--data.hf_token=t", "--data", '{"secret": "s"}', "--data.rows", "3"]
    assert masked(words) == ["fit", "--data.api_key", "***", "--data.hf_token=***", "--data", "***", "--data.rows", "3"]


def test_secrets_do_not_reach_a_checkpoint():
    files = SafeCheckpointIO()
    files.save_checkpoint({"hyper_parameters": {"api_key": "k", "width": 4}}, "own.ckpt")
    files.teardown()  # waits until it is written
    assert torch.load("own.ckpt", weights_only=True) == {"hyper_parameters": {"width": 4}}


def test_merge_refuses_what_is_no_checkpoint_in_shards(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["merge", "missing.ckpt"])
    assert stopped.value.code == 2
    assert "missing.ckpt is no checkpoint in shards" in capfd.readouterr().err


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the engine catches it."""


def write_shards(folder, step):
    """A checkpoint in shards, as one process leaves it: weights, their index, and plain values."""
    weights = {"weight": torch.full((3,), float(step))}
    distributed_checkpoint.save({"state_dict": weights}, checkpoint_id=folder, no_dist=True)
    torch.save({"global_step": step, "resume": {"finished": False}}, folder / shards.VALUES)


# Before each operation of `replace` on a checkpoint that is there, the step that the run goes on from.
MOMENTS = {"the old one moves": 1, "the new one moves": 1, "the old one is removed": 2}


@pytest.mark.parametrize("moment", MOMENTS)
def test_checkpoint_in_shards_that_a_kill_has_set_aside_is_brought_back(workplace, monkeypatch, moment):
    run = workplace / "runs/one"
    path = checkpoints.path_in_run(run, "last")
    part = atomic.part_of(path)
    write_shards(part, step=1)
    atomic.replace(path, part)
    write_shards(part, step=2)
    left = list(MOMENTS).index(moment)
    move, remove = atomic.os.replace, atomic.remove

    def count_down():
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    def dying_move(*paths):
        count_down()
        move(*paths)

    def dying_remove(folder):
        if folder.exists():
            count_down()
        remove(folder)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", dying_move)
        patch.setattr(atomic, "remove", dying_remove)
        with pytest.raises(Killed):
            atomic.replace(path, part)
    assert path.exists() == (moment != "the new one moves")
    assert checkpoints.find_last(run) == (path, MOMENTS[moment], False)
    weights = {"weight": torch.empty(3)}
    shards.load({"state_dict": weights}, path)
    assert weights["weight"].tolist() == [MOMENTS[moment]] * 3


def test_file_that_stands_beside_one_set_aside_is_kept(workplace):
    path = workplace / "last.ckpt"
    path.write_text("new")
    atomic.previous(path).write_text("old")
    atomic.restore_previous(path)
    assert path.read_text() == "new"
