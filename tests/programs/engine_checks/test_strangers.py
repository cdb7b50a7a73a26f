"""A run that somebody else has made is measured, and writes nothing where its settings and links say."""

import shutil
from pathlib import Path

import pytest
import yaml
from lit_project.__main__ import main

RUN = Path("runs/one")
OUTSIDE = Path("outside")


@pytest.fixture
def trained(short):
    main(["fit", "--run=one", "--model.network.dropout=0.25", *short])
    OUTSIDE.mkdir()


@pytest.fixture
def stranger(trained):
    """The same run, elsewhere."""
    Path("downloads").mkdir()
    return Path(shutil.move(RUN, "downloads/one"))


def change(run, *path, value):
    settings = yaml.safe_load((run / "config.yaml").read_text())
    place = settings
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    (run / "config.yaml").write_text(yaml.safe_dump(settings))


WRITERS = {
    "profiler": (("trainer", "profiler"), {"class_path": "SimpleProfiler", "init_args": {"dirpath": "outside"}}),
    "callback": (
        ("trainer", "callbacks"),
        [{"class_path": "DeviceStatsMonitor"}, {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "outside"}}],
    ),
    "logger": (("trainer", "logger"), {"class_path": "CSVLogger", "init_args": {"save_dir": "outside"}}),
    "root": (("trainer", "default_root_dir"), "outside"),
}


@pytest.mark.parametrize(("path", "value"), WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_settings_of_a_stranger_write_nothing(stranger, capfd, command, path, value):
    change(stranger, *path, value=value)
    main([command, "--ckpt_path", str(stranger / "checkpoints/best.ckpt")])
    assert list(OUTSIDE.iterdir()) == []
    assert "takes the settings of network and objective alone" in capfd.readouterr().err


def test_runs_of_another_folder_are_taken_whole_when_it_is_named(stranger, capfd):
    change(stranger, "data", "batch_size", value=7)
    main(["test", "--runs=downloads", "--ckpt_path", str(stranger / "checkpoints/best.ckpt")])
    assert "lies outside" not in capfd.readouterr().err


def test_network_of_a_stranger_has_its_own_width(short, capfd):
    main(["fit", "--run=one", "--model.network.width=8", *short])
    Path("downloads").mkdir()
    stranger = Path(shutil.move(RUN, "downloads/one"))
    main(["test", "--ckpt_path", str(stranger / "checkpoints/best.ckpt")])
    assert (stranger / "test.json").exists()


def test_aliases_of_a_stranger_are_not_followed(stranger, capfd):
    """Ten of each in the next one: 10 ** 12 values."""
    bomb = "a0: &a0 [0]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 13))
    text = (stranger / "config.yaml").read_text()
    (stranger / "config.yaml").write_text(bomb + text.replace("  network:\n", "  network:\n    more: *a12\n"))
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path", str(stranger / "checkpoints/best.ckpt")])
    assert "config.yaml is damaged: has more than 100000 values" in capfd.readouterr().err


FILES = [
    "test.json",
    "test",
    "metrics.csv",
    "throughput.csv",
    "predictions.pt",
    "curves.png",
    "config.yaml",
    "checkpoints",
    "wandb",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_links_out_of_a_run_are_refused(trained, short, capfd, command, name):
    target = OUTSIDE.resolve() / "target"
    if (RUN / name).exists():
        shutil.move(RUN / name, target)
    else:
        target.write_text("mine")
    before = target.read_bytes() if target.is_file() else None
    (RUN / name).symlink_to(target)
    more = ["--trainer.max_epochs=3"] if command == "fit" else []
    with pytest.raises(SystemExit) as ended:
        main([command, "--run=one", *(short if command == "fit" else []), *more])
    assert ended.value.code == 2
    assert f"runs/one/{name} is a link out of the run's folder" in capfd.readouterr().err
    assert (target.read_bytes() if target.is_file() else None) == before
    assert [path.name for path in OUTSIDE.iterdir()] == ["target"]


def test_links_within_a_run_and_runs_that_are_links_are_fine(trained, capfd):
    shutil.move(RUN, "outside/one")
    RUN.symlink_to(Path("outside/one").resolve())
    (RUN / "newest.csv").symlink_to("metrics.csv")
    (RUN / "wandb/offline-run-1/logs").mkdir(parents=True)
    (RUN / "wandb/offline-run-1/logs/debug-core.log").symlink_to(OUTSIDE.resolve() / "log")  # W&B does so
    main(["test", "--run=one"])
    assert Path("outside/one/test.json").exists()
