"""Put runs through everything that uses one, in one process: `uses.py RUN...` in a baked regression project."""

import csv
import sys
from pathlib import Path

import torch
import yaml
from lit_project import load
from lit_project.__main__ import main
from lit_project.data import DataModule, read
from lit_project.model import Model
from safetensors.torch import load_file

ON_CPU = ["--preset=cpu", "--trainer.enable_progress_bar=false"]
SHORT = [*ON_CPU, "--preset=mlp", "--trainer.enable_model_summary=false", "--trainer.limit_train_batches=1"]


def weights_in(run):
    """Those of the best checkpoint, in one file, without the engine's own loading."""
    path = run / "checkpoints/best.ckpt"
    if path.is_dir():
        main(["merge", str(path)])
        path = path.with_suffix(".merged.ckpt")
    return path, torch.load(path, weights_only=True)


def use(name):
    run = Path("runs", name)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    if not (run / "checkpoints/last.ckpt").is_dir():  # in shards, a training goes on as it began
        epochs, precision = settings["trainer"]["max_epochs"] + 1, settings["trainer"]["precision"] or "32-true"
        main(["fit", "--run", name, *ON_CPU, f"--trainer.max_epochs={epochs}", f"--trainer.precision={precision}"])
    path, saved = weights_in(run)
    exact = settings["trainer"]["precision"] in (None, "32-true")
    tolerance = 1e-5 if exact else 2e-2
    data = DataModule(**settings["data"])
    rows, _ = read(data.features)
    model = Model.load_from_checkpoint(path, map_location="cpu").eval().float()
    expected = model(data.preprocessing()(rows)).detach()[:, 0]

    for stage in ("validate", "test", "predict"):
        main([stage, "--run", name, *ON_CPU])
    predicted = torch.load(run / "predictions.pt", weights_only=True).float()[:, 0]
    torch.testing.assert_close(predicted, expected[-len(predicted) :], rtol=tolerance, atol=0)

    with open("rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([data.features, *rows.tolist()])
    main(["predict", "--run", name, "--input=rows.csv", f"--output={name}.csv", *ON_CPU])
    with open(f"{name}.csv", newline="") as file:
        written = torch.tensor([float(row["prediction"]) for row in csv.DictReader(file)])
    torch.testing.assert_close(written, expected, rtol=tolerance, atol=0)

    assert torch.equal(load(run)(rows)["prediction"], expected)
    main(["export", "--run", name])
    assert torch.equal(load(run / "export")(rows)["prediction"], expected)
    exported = load_file(run / "export/model.safetensors")
    assert {tensor.dtype for tensor in exported.values()} == {torch.float32}
    assert exported.keys() - {"preprocessing.mean", "preprocessing.deviation"} == saved["state_dict"].keys()
    assert not [key for key in exported if "_orig_mod" in key or "module." in key]

    main(["fit", "--run", f"{name}-begun", "--init_from", name, *SHORT, "--trainer.max_epochs=1"])
    averaged = saved.get("current_model_state")
    if averaged:  # the weights as they are without the averages
        assert any(not torch.equal(averaged[key], saved["state_dict"][key]) for key in averaged)


for name in sys.argv[1:]:
    use(name)
    print(f"used {name}")
