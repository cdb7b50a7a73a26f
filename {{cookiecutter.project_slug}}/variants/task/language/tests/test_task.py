"""What this task's data and network must keep to. Yours: change it with data.py and network.py."""

import json
import os
from pathlib import Path

import pytest
import torch
import yaml
from conftest import CONFIGS, last

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.data import PARTS, SIZES, DataModule, Windows, library_files, split
from {{ cookiecutter.__package }}.engine.errors import RunError
from {{ cookiecutter.__package }}.network import Network
from {{ cookiecutter.__package }}.objective import Objective


def prepared(folder, **changes):
    fractions = {"val_fraction": 0.01, "test_fraction": 0.01} | changes
    whole = {"fold": None, "folds": 5, "context": 32, "batch_size": 8, "num_workers": 0, "seed": 0}
    data = DataModule(str(folder), **whole | fractions)
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network(width=16, depth=2, heads=2, dropout=0.0, vocabulary=256, tied=False).eval()


def test_batches_have_the_promised_shapes_and_types(data):
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        for part in next(iter(loader)):
            assert (part.shape, part.dtype) == ((8, 32), torch.int64)


def test_held_out_files_are_whole_and_disjoint(data):
    files = library_files()
    parts = split(files, 0.01, 0.01, None, 5, seed=0)
    assert sorted(file for part in parts for file in part) == files
    assert [(data.folder / name).stat().st_size for name in PARTS] == [
        sum(file.stat().st_size for file in part) for part in parts
    ]


def test_each_file_but_the_test_s_is_in_one_fold():
    files = library_files()
    folds = [split(files, 0.01, 0.1, fold, 3, seed=0) for fold in range(3)]
    assert sorted(file for _, val, _ in folds for file in val) == sorted(set(files) - set(folds[0][2]))
    assert all(sorted(train + val + folds[0][2]) == files for train, val, _ in folds)


def test_splits_and_batches_depend_on_the_seed_alone(data):
    files = library_files()
    one, again, other = (split(files, 0.1, 0.1, None, 5, seed) for seed in (1, 1, 2))
    assert one == again != other
    first, second = (next(iter(loader))[0] for loader in (data.train_dataloader(), data.train_dataloader()))
    assert torch.equal(first, second)


def test_each_test_window_belongs_to_the_file_in_which_it_begins(tmp_path):
    data = prepared(tmp_path)
    sizes = json.loads((data.folder / SIZES).read_text())
    owners = [name for name, size in sizes.items() for _ in range(size)]
    assert len(owners) == (data.folder / "test").stat().st_size
    assert data.test_groups() == {"file": owners[:: data.context][: len(data.test)]}
    (data.folder / SIZES).unlink()  # as in a folder of an earlier version
    assert data.test_groups() == {}


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_impossible_split_is_refused(fraction, tmp_path):
    with pytest.raises(RunError, match="_fraction"):
        prepared(tmp_path, val_fraction=fraction)


def test_token_files_are_made_once_and_whole(tmp_path, monkeypatch):
    first = prepared(tmp_path / "made")
    assert {path.name for path in first.folder.iterdir()} == {*PARTS, SIZES}
    monkeypatch.setattr("{{ cookiecutter.__package }}.data.library_files", lambda: pytest.fail("made again"))
    prepared(tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == [first.folder.name]


def test_interrupted_preparation_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("{{ cookiecutter.__package }}.data.library_files", lambda: [Path(__file__), Path("missing.py")])
    with pytest.raises(FileNotFoundError):
        prepared(tmp_path / "made")
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="NTFS makes no files with holes by itself")
def test_text_larger_than_memory_is_read_as_needed(tmp_path):
    with (tmp_path / "tokens").open("wb") as file:
        file.truncate(2**40)
    windows = Windows(tmp_path / "tokens", context=1024)
    inputs, targets = windows[len(windows) - 1]
    assert not inputs.any()
    assert len(targets) == 1024


def test_windows_cover_the_text_once_and_targets_are_the_next_bytes(tmp_path):
    (tmp_path / "tokens").write_bytes(bytes(range(10)))
    windows = Windows(tmp_path / "tokens", context=3)
    inputs, targets = (torch.stack(parts) for parts in zip(*(windows[i] for i in range(len(windows))), strict=True))
    assert inputs.flatten().tolist() == list(range(9))
    assert targets.flatten().tolist() == list(range(1, 10))


def test_network_scores_each_next_byte(network):
    assert network(torch.zeros(5, 7, dtype=torch.int64)).shape == (5, 7, 256)


def test_network_does_not_see_the_future(network):
    tokens = torch.randint(256, (1, 12))
    changed = tokens.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 256
    torch.testing.assert_close(network(tokens)[:, :8], network(changed)[:, :8])
    assert not torch.allclose(network(tokens)[:, 8:], network(changed)[:, 8:])


def test_network_knows_the_order_of_what_it_read(network):
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])
    assert not torch.allclose(network(one)[:, -1], network(other)[:, -1])


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(RunError, match="multiple of"):
        Network(width=16, depth=1, heads=3, dropout=0.0, vocabulary=256, tied=False)


def test_large_preset_trains(short):
    main(["fit", "--run", "large", "--preset", "large", *short, "--trainer.logger=false"])
    assert Path("runs/large/checkpoints/last.ckpt").is_file()


def test_gpt2_preset_has_the_weights_of_gpt2_small():
    settings = yaml.safe_load((CONFIGS / "presets/gpt2.yaml").read_text(encoding="utf-8"))["model"]["network"]
    with torch.device("meta"):
        network = Network(dropout=0.0, **settings)
    assert network.head.weight is network.embedding.weight
    blocks, embedding, norms = 12 * 12 * 768**2, 50304 * 768, 25 * 768
    assert sum(weight.numel() for weight in network.parameters()) == blocks + embedding + norms == 123_587_328


def test_gpt2_preset_takes_two_steps_at_a_reduced_size(short):
    reduced = ["--model.network.width=24", "--model.network.depth=2", "--model.network.heads=2", "--data.context=32"]
    flags = [*reduced, *short, "--trainer.accumulate_grad_batches=2", "--trainer.max_steps=2", "--trainer.logger=false"]
    main(["fit", "--run", "gpt2", "--preset", "gpt2", "--preset", "bf16", *flags])
    saved = last("gpt2")
    assert saved["global_step"] == 2
    weights = saved["state_dict"]
    assert torch.equal(weights["network.head.weight"], weights["network.embedding.weight"])


def test_windows_of_a_file_predict_each_byte_but_the_first_once(data):
    text = bytes(range(256)) + b"and 33 bytes more, to end a window" * 9
    Path("text").write_bytes(text)
    windows = [window for batch in data.windows_of(Path("text")) for window in batch]
    assert b"".join(bytes(window[1:].tolist()) for window in windows) == text[1:]
    assert [window[0] for window in windows[1:]] == [window[-1] for window in windows[:-1]]


@torch.no_grad()
def test_file_needs_as_many_bits_as_its_bytes_one_by_one(data, network):
    Path("text").write_bytes(text := os.urandom(75))
    scores = [Objective().scores(network(batch), batch) for batch in data.windows_of(Path("text"))]
    whole = Objective().summary({name: torch.cat([score[name] for score in scores]) for name in scores[0]})
    bits = 0.0
    for start in range(0, 74, 32):
        window = torch.tensor([list(text[start : start + 33])])
        probabilities = network(window).softmax(dim=-1)[0]
        bits -= sum(probabilities[place, byte].log2().item() for place, byte in enumerate(window[0, 1:]))
    assert whole == {"bytes": 75, "bits_per_byte": pytest.approx(bits / 74, rel=1e-4)}


def test_continuation_is_drawn_from_the_last_bytes_of_the_context(data, network):
    torch.manual_seed(0)
    drawn = [data.continuation(network, "x" * 50, 20, 1.0) for _ in range(2)]
    torch.manual_seed(0)
    assert data.continuation(network, "y" * 50 + "x" * 32, 20, 1.0) == drawn[0] != drawn[1]
    likeliest = network(torch.tensor([list(b"x" * 32)]))[0, -1].argmax()
    assert data.continuation(network, "x" * 50, 1, 0.0) == bytes([likeliest]).decode(errors="replace")


@pytest.mark.slow
def test_reference_run_learns():
    main(["fit", "--run", "reference"])
    main(["test", "--run", "reference"])
    metrics = json.loads(Path("runs/reference/test.json").read_text())
    assert metrics["test/bits_per_byte"] < 2.5
