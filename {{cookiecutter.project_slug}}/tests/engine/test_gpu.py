"""What only a machine with a GPU can show: `pytest -m gpu`, there."""

import pytest
import torch
from conftest import last, same

from {{ cookiecutter.__package }}.__main__ import main

HAS_GPU = torch.cuda.is_available() or torch.backends.mps.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="this machine has no GPU")]


@pytest.fixture
def short(short):
    """A short run on the GPU, with operations that compute the same each time."""
    kept = [flag for flag in short if "accelerator" not in flag]
    return [*kept, "--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.deterministic=warn"]


def test_model_trains_and_predicts_on_the_gpu(short, workplace):
    main(["fit", "--run", "one", "--preset", "gpu", *short])
    main(["predict", "--run", "one", *short])
    assert len(torch.load(workplace / "runs/one/predictions.pt", weights_only=True)) > 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stopped_run_ends_with_the_same_weights_on_the_gpu(short, stop_at, precision):
    short.append(f"--trainer.precision={precision}")
    main(["fit", "--run", "untouched", *short])
    stop_at(4)
    with pytest.raises(SystemExit):
        main(["fit", "--run", "stopped", *short])
    main(["fit", "--run", "stopped", *short])
    assert same(last("untouched")["state_dict"], last("stopped")["state_dict"]), (
        "an operation of the model is not deterministic on this device: --trainer.deterministic true names it"
    )


def test_run_of_the_gpu_is_used_on_the_cpu(short):
    main(["fit", "--run", "one", *short])
    main(["predict", "--run", "one", *short, "--preset", "cpu"])
