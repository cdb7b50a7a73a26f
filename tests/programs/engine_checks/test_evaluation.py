"""What `validate` and `test` keep beside their metrics: intervals, tables and pictures."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lit_project.__main__ import load_parts, main
from lit_project.engine.command.figures import four_digits, table_lines
from lit_project.engine.training import bootstrap, evaluation
from lit_project.engine.training.analysis import PerClass, Residuals, columns_of, plot
from lit_project.engine.training.batches import Batches
from lit_project.engine.training.bootstrap import Groups, intervals, states_of
from lit_project.engine.training.mean import Mean
from lit_project.engine.training.pictures import MOST_ROWS
from lit_project.engine.training.worst import MOST, Worst, visible
from lit_project.objective import Objective
from torch.utils.data import TensorDataset
from torchmetrics import CatMetric, MaxMetric, MeanSquaredError, Metric, MetricCollection, R2Score
from torchmetrics.classification import BinaryAUROC, MulticlassConfusionMatrix

TEST = Path("runs/one/test")


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def figures(path=TEST):
    return {row["metric"]: row for row in table(path / "figures.csv")}


def interval(metric, *samples):
    """The interval of a metric over samples, each seen by itself."""
    groups = Groups()
    for sample in zip(*samples, strict=True):
        metric.reset()
        metric.update(*(part.unsqueeze(0) for part in sample))
        groups.add(states_of({"m": metric}), 1)
    metric.reset()
    metric.update(*samples)
    figure = metric.compute().item()
    return intervals(groups.states, {"m": metric}, {"m": figure}).get("m")


@pytest.fixture
def trained(short):
    main(["fit", "--run=one", *short])
    return short


class Given(Metric):
    """The mean of what it is given, for simulations of many tests: its states are set in no time."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, total, count):
        self.total += total
        self.count += count

    def compute(self):
        return self.total / self.count


@pytest.mark.parametrize(("samples", "lowest"), [(20, 0.9), (600, 0.92)])
def test_intervals_have_the_true_value_in_95_of_100_tests(monkeypatch, samples, lowest):
    """200 simulated tests: a share of 0.95 is one of 0.92 to 0.98 then, but for chance. Of 20 samples, it is 0.94."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    draws = np.random.default_rng(1).normal(1, size=(200, samples))
    covered = 0
    for draw in torch.from_numpy(draws):
        groups = Groups()
        for value in draw:
            groups.add({"m": {"total": value, "count": torch.ones((), dtype=torch.float64)}}, 1)
        low, high = intervals(groups.states, {"m": Given()}, {"m": draw.mean().item()})["m"]
        covered += low <= 1 <= high
    assert lowest <= covered / 200 <= 0.98


def test_interval_is_that_of_the_bootstrap_and_the_same_each_time():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(60, generator=generator)
    predictions = targets + torch.randn(60, generator=generator)
    low, high = interval(MeanSquaredError(), predictions, targets)
    assert (low, high) == interval(MeanSquaredError(), predictions, targets)
    drawn = np.random.default_rng(1).integers(60, size=(4000, 60))
    errors = ((predictions - targets) ** 2).numpy()[drawn].mean(axis=1)
    assert (low, high) == pytest.approx(np.quantile(errors, [0.025, 0.975]), rel=0.05)


def test_metrics_that_keep_all_samples_and_that_need_two_have_intervals():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(60, generator=generator)
    predictions = targets + torch.randn(60, generator=generator)
    for metric, truth in ((R2Score(), targets), (BinaryAUROC(), (targets > 0).int())):
        given = predictions if isinstance(metric, R2Score) else predictions.sigmoid()
        low, high = interval(metric, given, truth)
        metric.reset()
        metric.update(given, truth)
        assert low < metric.compute() < high


@pytest.mark.parametrize(
    ("metric", "samples"),
    [
        (MaxMetric(), torch.arange(60.0)),  # no sum
        (CatMetric(), torch.arange(60.0)),  # no number
        (Given(), torch.ones(60)),  # always the same
        (Given(), torch.arange(9.0)),  # too few
        (Given(), torch.full((60,), torch.nan)),
    ],
)
def test_no_interval_where_there_is_none(metric, samples, recwarn):
    groups = Groups()
    for value in samples:
        metric.reset()
        metric.update(value, *([1] if isinstance(metric, Given) else []))
        groups.add(states_of({"m": metric}), 1)
    assert intervals(groups.states, {"m": metric}, {"m": samples.mean().item()}) == {}
    assert not recwarn.list


def test_groups_stay_few_and_whole():
    groups = Groups()
    for number in range(3000):
        groups.add({"m": {"total": torch.tensor(float(number))}}, 1)
    assert sum(groups.counts) == 3000
    assert bootstrap.GROUPS / 2 <= len(groups.counts) <= bootstrap.GROUPS
    assert set(groups.counts[:-1]) == {groups.size}
    assert sum(state["m"]["total"] for state in groups.states) == 3000 * 2999 / 2


def test_figures_are_those_of_a_test_without_any_of_this(trained, monkeypatch):
    main(["test", "--run=one", *trained])
    measured = Path("runs/one/test.json").read_bytes()
    assert figures()["test/accuracy"]["low"]
    monkeypatch.setattr(evaluation.Evaluation, "on_test_start", lambda self, trainer, module: None)
    monkeypatch.setattr(evaluation.Evaluation, "on_test_batch_start", lambda *_: None)
    main(["test", "--run=one", *trained])
    assert Path("runs/one/test.json").read_bytes() == measured
    assert not figures()["test/accuracy"]["low"]


def test_figures_stand_beside_those_of_the_training_before_the_checkpoint(trained, capsys):
    rows = table("runs/one/metrics.csv")
    main(["test", "--run=one", "--ckpt_path=last", *trained])
    printed = capsys.readouterr().out
    for stage in ("train", "val"):
        logged = [row[f"{stage}/loss"] for row in rows if row[f"{stage}/loss"]]
        assert figures()["test/loss"][stage] == logged[-1]
        assert four_digits(logged[-1]) in printed
    first_epoch = [row for row in rows if row["step"] == "2"]
    torch.save(torch.load("runs/one/checkpoints/last.ckpt", weights_only=True) | early(), "runs/one/checkpoints/e.ckpt")
    main(["validate", "--run=one", "--ckpt_path=runs/one/checkpoints/e.ckpt", *trained])
    beside = figures(Path("runs/one/validate"))["val/loss"]["val"]
    assert beside == next(row["val/loss"] for row in first_epoch if row["val/loss"])


def early():
    """What a checkpoint of the first epoch says of itself."""
    return {"global_step": 3, "resume": {"logged_steps": 3}}


def test_weights_from_elsewhere_have_no_figures_of_this_training(trained):
    Path("runs/one/checkpoints/best.ckpt").rename("other.ckpt")
    main(["test", "--run=one", "--ckpt_path=other.ckpt", *trained])
    assert (figures()["test/loss"]["train"], figures()["test/loss"]["val"]) == ("", "")


def test_table_is_left_out_if_it_is_not_wanted(trained, capsys):
    main(["test", "--run=one", "--verbose=false", *trained])
    assert "95% interval" not in capsys.readouterr().out
    assert figures()


def test_table_fits_80_columns(tmp_path):
    path = tmp_path / "figures.csv"
    name = "test/a-set-with-a-very-long-name-indeed/and_a_metric_with_another_one"
    path.write_text(f"metric,value,low,high,train,val\n{name},123456.0,1e-05,987654.3,0.0,25.125\nx,0.99,,,,\n")
    lines = table_lines(path, "test")
    assert max(map(len, lines)) == 80
    assert "another_one  1.235e+05  1.000e-05 to 9.877e+05" in lines[2]
    assert lines[3].split() == ["x", "0.9900"]
    assert table_lines(tmp_path / "none.csv", "test") == []


def test_counts_and_classes_are_kept_as_tables_and_pictures(trained):
    main(["test", "--run=one", *trained, "--trainer.limit_test_batches=1.0"])
    assert {path.name for path in TEST.iterdir()} == {
        "figures.csv",
        *(f"{name}.{kind}" for name in ("confusion", "per_class", "worst_mistakes") for kind in ("csv", "png")),
    }
    counts = [[int(row[f"predicted {number}"]) for number in range(10)] for row in table(TEST / "confusion.csv")]
    right = sum(counts[number][number] for number in range(10))
    assert right / sum(map(sum, counts)) == pytest.approx(float(figures()["test/accuracy"]["value"]))
    for number, row in enumerate(table(TEST / "per_class.csv")):
        assert int(row["samples"]) == sum(counts[number])
        assert float(row["recall"]) == pytest.approx(counts[number][number] / sum(counts[number]))
    for picture in TEST.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_pictures_that_are_classified_worst_are_kept():
    worst = Worst(Objective(label_smoothing=0.0))
    targets = torch.arange(40) % 10
    outputs = torch.nn.functional.one_hot(targets, 10) * 9.0
    outputs[5], outputs[6] = outputs[5].roll(1), outputs[6].roll(1) / 2
    pictures = torch.arange(40.0).view(40, 1, 1, 1).expand(40, 1, 4, 4)
    worst.see(pictures, outputs, targets)
    found = [(one.target, one.answer, one.picture.unique().item()) for one in worst.mistakes]
    assert found == [(5, 6, 5.0), (6, 7, 6.0)]
    assert worst.mistakes[0].loss > worst.mistakes[1].loss
    for _ in range(20):
        worst.see(pictures, outputs, targets)
    assert [one.target for one in worst.mistakes] == [5] * MOST


@pytest.mark.parametrize("shape", [(3,), (3, 7), (3, 2, 5, 5), (3, 1, 5)])
def test_only_pictures_are_kept_as_pictures(shape):
    worst = Worst(Objective(label_smoothing=0.0))
    worst.see(torch.zeros(shape), torch.eye(10)[:3], torch.tensor([1, 2, 3]))
    assert worst.mistakes == []


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_any_scale_are_visible(channels):
    shown = visible(torch.linspace(-3, 5, channels * 8).view(channels, 2, 4))
    assert (shown.min(), shown.max()) == (0, 1)
    assert shown.shape == ((2, 4) if channels == 1 else (2, 4, 3))


def test_a_text_that_the_model_writes_is_kept_and_a_failure_is_told(trained, monkeypatch):
    data = load_parts().data
    monkeypatch.setattr(data, "sample", lambda self, model: f"as {model.training}", raising=False)
    main(["test", "--run=one", *trained])
    assert (TEST / "sample.txt").read_text() == "as False"
    monkeypatch.setattr(data, "sample", lambda self, model: 1 / 0)
    with pytest.warns(UserWarning, match=r"sample.txt was not kept: division by zero"):
        main(["test", "--run=one", *trained])
    assert not (TEST / "sample.txt").exists()


def test_two_processes_count_as_one_does(trained):
    found = {}
    for preset in ("cpu", "ddp-cpu"):
        command = [sys.executable, "-m", "lit_project", "test", "--run=one", "--preset", preset]
        subprocess.run(command, check=True, capture_output=True)
        mistakes = [(row["target"], row["answer"]) for row in table(TEST / "worst_mistakes.csv")]
        found[preset] = (TEST / "confusion.csv").read_text(), mistakes, figures()["test/accuracy"]
    (*seen, one), (*seen_by_two, two) = found.values()
    assert seen == seen_by_two
    assert len(seen[1]) == MOST
    for bound in ("low", "high"):
        assert float(two[bound]) == pytest.approx(float(one[bound]), abs=0.01)


def test_training_sees_nothing_of_it(short, monkeypatch):
    monkeypatch.setattr(Objective, "analysis", lambda self: pytest.fail("asked for"))
    monkeypatch.setattr(evaluation.Evaluation, "on_validation_start", lambda *_: pytest.fail("called"))
    main(["fit", "--run=one", *short])
    assert not TEST.exists()


def test_model_without_objective_or_analysis_has_its_metrics(trained, monkeypatch):
    monkeypatch.delattr(Objective, "analysis")
    main(["test", "--run=one", *trained])
    assert {path.name for path in TEST.iterdir()} == {"figures.csv", "worst_mistakes.csv", "worst_mistakes.png"}
    assert figures()["test/loss"]["low"]

    def without_objective(self, batch, batch_idx, dataloader_idx=0):
        self.log("test_own", 1.0)

    monkeypatch.setattr(load_parts().model, "test_step", without_objective)
    main(["test", "--run=one", *trained])
    assert figures().keys() == {"test_own"}


def test_objective_that_needs_whole_batches_has_no_intervals(trained, monkeypatch, capfd):
    forward = Objective.forward

    def for_many(self, outputs, targets):
        assert len(outputs) > 1
        return forward(self, outputs, targets)

    monkeypatch.setattr(Objective, "forward", for_many)
    main(["test", "--run=one", *trained])
    assert {row["low"] for row in figures().values()} == {""}
    assert "Error" not in capfd.readouterr().err


def test_groups_that_the_data_names_are_measured_apart(trained, monkeypatch):
    data = load_parts().data
    monkeypatch.setattr(data, "test_groups", lambda self: {"half": ["first"] * 10 + ["second"] * 889}, raising=False)
    main(["test", "--run=one", *trained])  # two batches of eight
    rows = {row["half"]: row for row in table(TEST / "by_half.csv")}
    assert {name: int(row["samples"]) for name, row in rows.items()} == {"first": 10, "second": 6}
    whole = sum(int(row["samples"]) * float(row["loss"]) for row in rows.values()) / 16
    assert whole == pytest.approx(float(figures()["test/loss"]["value"]), rel=1e-5)
    assert (TEST / "by_half.png").stat().st_size


def test_each_of_several_sets_has_a_folder(trained, monkeypatch):
    alone = load_parts().data.test_dataloader

    def two(self):
        few = TensorDataset(*(part[:20] for part in alone(self).loader.dataset.dataset.tensors))
        return {"all": alone(self), "few/first": Batches(few, 8)}

    monkeypatch.setattr(load_parts().data, "test_dataloader", two)
    main(["test", "--run=one", *trained])
    assert {path.name for path in TEST.iterdir()} == {"figures.csv", "all", "few_first"}
    assert (TEST / "few_first/confusion.csv").exists()
    measured = json.loads(Path("runs/one/test.json").read_text())
    assert figures().keys() == measured.keys() - {"checkpoint"}
    assert figures()["test/all/loss"]["train"] == figures()["test/few/first/loss"]["train"] != ""


def test_new_test_takes_the_place_of_the_one_before(trained):
    TEST.mkdir()
    (TEST / "by_file.csv").write_text("of another day")
    main(["test", "--run=one", *trained])
    assert not (TEST / "by_file.csv").exists()
    assert not list(Path("runs/one").glob(".test*"))


@pytest.mark.parametrize("classes", [2, MOST_ROWS + 1])
def test_classes_without_samples_are_drawn_too(classes):
    metric = PerClass(classes)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    columns = columns_of(metric, metric.compute())
    assert columns["samples"][:2] == [2, 0]
    assert np.isnan(columns["recall"][1])
    assert columns["precision"][:2] == [1, 0]
    assert plot(metric, metric.compute())[1].get_title().startswith("the 30 classes of 31" if classes > 30 else "")


def test_residuals_begin_with_the_largest():
    metric = Residuals(of="price, EUR")
    metric.update(torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]]))
    columns = columns_of(metric, metric.compute())
    assert columns == {"target": [2, 2], "prediction": [5, 1], "residual": [-3, 1]}
    assert plot(metric, metric.compute())[1].get_xlabel() == "predicted price, EUR"


def test_metrics_of_torchmetrics_are_kept_as_they_are():
    metric = MulticlassConfusionMatrix(2)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert columns_of(metric, metric.compute()) == {"0": [1, 0], "1": [1, 0]}
    assert plot(metric, metric.compute())[1].get_xlabel() == "Predicted class"
    several = MetricCollection({"mean": Mean()})
    assert columns_of(several, {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}) == {"a": [1], "b": [2]}
