"""What the lines promise, and the model that begins with saved weights."""

import copy

import pytorch_lightning as pl
import torch
from conftest import last
from transformers import AutoModel

from lit_project.__main__ import main
from lit_project.data import PARTS, library_files, lines_of, split
from lit_project.model import Model

SOURCE = '''
def double(number):  # a comment beside code is part of its line
    """Twice as much as the number that is given.

    >>> double(2)  # an example is neither
    """
    # A comment of its own is neither.
    return number + number
'''


def test_lines_are_of_docstrings_or_of_code(tmp_path):
    (tmp_path / "double.py").write_text(SOURCE)
    assert lines_of(tmp_path / "double.py") == {
        "code": ["def double(number):  # a comment beside code is part of its line", "return number + number"],
        "prose": ["Twice as much as the number that is given."],
    }


def test_no_file_is_in_two_parts_and_each_part_has_as_many_lines_of_both_kinds(parts):
    files = split(library_files(), (80, 40, 120), seed=0)
    assert list(map(len, files.values())) == [80, 40, 120]
    assert len({file for part in PARTS for file in files[part]}) == 240
    for lines in parts[1].parts.values():
        assert 2 * sum(kind for _, kind in lines) == len(lines) > 100


def test_batches_are_padded_to_their_longest_line_and_padding_changes_nothing(parts):
    model, data = parts
    tokens, kinds = next(iter(data.train_dataloader()))
    lengths = tokens["attention_mask"].sum(dim=1)
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape == (16, lengths.max())
    assert (kinds.shape, kinds.dtype) == ((16,), torch.int64)
    shortest = lengths.argmin()
    alone = {name: part[shortest : shortest + 1, : lengths[shortest]] for name, part in tokens.items()}
    model.eval()
    torch.testing.assert_close(model(alone)[0], model(tokens)[shortest])


class Encoders(pl.Callback):
    """The encoder's weights at the end of each epoch."""

    def __init__(self):
        self.states = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.states.append(copy.deepcopy(pl_module.network.encoder.state_dict()))


def test_encoder_is_the_saved_one_in_the_first_epoch_and_trains_in_the_second(parts, short):
    assert all(layer.training for layer in parts[0].network.modules())
    saved, encoders = AutoModel.from_pretrained("data/encoder").state_dict(), Encoders()
    main(["fit", "--run=one", *short], [encoders])
    assert all(torch.equal(encoders.states[0][name], saved[name]) for name in saved)
    assert not any(torch.equal(encoders.states[1][name], saved[name]) for name in saved)


def test_weights_of_the_checkpoint_count_and_not_those_in_the_folder(short):
    main(["fit", "--run=one", *short])
    AutoModel.from_config(AutoModel.from_pretrained("data/encoder").config).save_pretrained("data/encoder")
    trained = last("one")["state_dict"]
    loaded = Model.load_from_checkpoint("runs/one/checkpoints/last.ckpt").state_dict()
    assert all(torch.equal(loaded[name], trained[name]) for name in trained)


def test_missing_encoder_is_told_in_two_lines(refused):
    assert "no transformers model in nowhere" in refused("fit", "--model.network.encoder=nowhere")
