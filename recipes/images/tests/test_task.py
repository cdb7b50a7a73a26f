"""What the folder of pictures, the parts and the augmentation promise. Yours: change it with data.py."""

import pytest
import torch

from lit_project.data import CLASSES, SIDE, DataModule, Scale, open_picture


def prepared(num_workers=0, fold=None):
    shares = {"max_rejected": 0.02, "val_fraction": 0.1, "test_fraction": 0.25}
    data = DataModule("data", **shares, fold=fold, folds=3, max_shift=2, batch_size=32, num_workers=num_workers, seed=0)
    data.prepare_data()
    data.setup("fit")
    return data


def test_batches_are_the_same_for_any_number_of_workers():
    for one, other in zip(*(prepared(workers).train_dataloader() for workers in (0, 2)), strict=True):
        assert (one.pictures.shape[1:], one.pictures.dtype) == ((1, SIDE, SIDE), torch.float32)
        assert [CLASSES[number] for number in one.classes] == [file.split("/")[0] for file in one.files]
        assert one.files == other.files
        assert torch.equal(one.pictures, other.pictures)


def test_each_picture_but_the_test_s_is_in_one_fold():
    whole, *folds = (prepared(fold=fold) for fold in (None, 0, 1, 2))
    held_out = [file for data in folds for file in data.val.files]
    assert sorted(held_out) == sorted(whole.train.files + whole.val.files)
    assert all(data.test.files == whole.test.files for data in folds)


@pytest.mark.parametrize(("part", "share"), [("train", 24 / 25), ("val", 0), ("test", 0)])
def test_training_pictures_alone_are_moved_to_25_places(part, share):
    data = prepared()
    moved = [
        not torch.equal(picture, Scale()(open_picture(data.folder / file)))
        for batch in getattr(data, f"{part}_dataloader")()
        for picture, file in zip(batch.pictures, batch.files, strict=True)
    ]
    assert sum(moved) / len(moved) == pytest.approx(share, abs=0.03)


def test_broken_files_are_told_once_checked_again_and_refused_if_many(capfd, refused):
    data = prepared()
    broken, whole = data.folder / data.val.files[0], (data.folder / data.val.files[0]).read_bytes()
    broken.write_bytes(whole[:-30])
    (data.folder / "3/notes.txt").write_text("no picture")
    assert prepared().val.files == data.val.files[1:]
    told = capfd.readouterr().err
    assert "2 of 1798 files are left out" in told
    assert f"{data.val.files[0]}, no picture that can be read" in told
    assert "2 of 1798" in refused("fit", "--data.max_rejected=0.001")
    broken.write_bytes(whole)
    assert prepared().val.files == data.val.files


def test_a_picture_keeps_its_part_in_another_class_and_without_others():
    data = prepared()
    for name in data.test.files[:50]:
        (data.folder / name).rename(data.folder / "9" / name.split("/")[1])
    for name in data.val.files:
        (data.folder / name).unlink()
    other = prepared()
    assert other.train.files == data.train.files
    assert {name.split("/")[1] for name in other.test.files} == {name.split("/")[1] for name in data.test.files}
