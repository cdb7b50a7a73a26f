"""Teams make a project their own: their files are laid over a bake, trained, stopped, sharded and used.

tests/teams/NAME holds the files of a team, each at its place in the project.
"""

import re
import shlex
import signal

import pytest
from conftest import OWN_TESTS, ROOT, measured, run
from team import ON_CPU, PACKAGE, QUIET, Team, patch

TEAMS = ROOT / "tests/teams"
TWO = ["--trainer.devices=2"]
SHARDED = ["--preset=fsdp", *ON_CPU, *TWO]
DDP = ["--preset=ddp-cpu", *QUIET]
SHORT_TABLE = [*ON_CPU, "--trainer.max_epochs=3"]
# Without randomness of each process's own, and with batches that two processes cannot halve.
LEARNABLE = [*ON_CPU, "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"]
LEARNABLE += ["--data.batch_size=31", "--data.max_shift=0", "--model.network.dropout=0"]


@pytest.fixture(scope="module")
def table(tmp_path_factory, python):
    """A table of patients with text in its batches, two classes, and a figure of the team's own; with a run `one`."""
    deleted = [PACKAGE / "configs/presets/mlp.yaml"]  # it was written for the network and the data before
    with Team(tmp_path_factory.mktemp("table"), python, TEAMS / "table", "regression", deleted) as team:
        team("fit", "--run=one", *SHORT_TABLE)
        yield team


def test_table_is_trained_tested_and_told_how_much_memory_it_takes(table, capsys):
    run_folder = table.project / "runs/one"
    assert (run_folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    settings = (run_folder / "config.yaml").read_text()
    assert "positive_weight: 3.0" in settings
    assert settings.count("lit_project.confusion.ConfusionMatrix") == 1
    table("test", "--run=one", *QUIET)
    metrics = measured(run_folder)
    assert metrics.keys() == {"test/loss", "test/accuracy", "test/auroc"}
    assert metrics["test/auroc"] > 0.7
    assert "one device" in table("memory")
    counts = table.lines_in_front()
    assert set(counts) == {"configs/default.yaml", "confusion.py", "data.py", "model.py", "objective.py"}
    with capsys.disabled():
        print(f"\nlines in front: {counts}, {sum(counts.values())} in all")


@pytest.mark.parametrize(
    ("batch", "signum", "extra"),
    [(3, signal.SIGTERM, []), (14, signal.SIGINT, ["--preset=ema"]), (10, signal.SIGKILL, [])],
    ids=["terminated", "interrupted with averaged weights", "killed"],
)
def test_stopped_table_ends_with_the_same_bits(table, batch, signum, extra):
    flags = [*SHORT_TABLE, "--last_checkpoint.every_n_steps=4", *extra]
    untouched, stopped = f"untouched-{signum}", f"stopped-{signum}"
    table("fit", f"--run={untouched}", *flags)
    code = -signum if signum == signal.SIGKILL else 128 + signum
    table("fit", f"--run={stopped}", *flags, code=code, stop=[batch, signum])
    table("fit", f"--run={stopped}", *flags)
    assert table.evaluate(f"different({untouched!r}, {stopped!r})") == []
    settings = (table.project / f"runs/{stopped}/config.yaml").read_text()
    assert settings.count("lit_project.confusion.ConfusionMatrix") == 1


def test_predictions_of_a_table_are_a_probability_for_each_id_in_order(table):
    table("predict", "--run=one", *QUIET)
    answers = "torch.load('runs/one/predictions.pt', weights_only=True)"
    ids, probabilities = table.evaluate(f"(lambda a: (a['id'], a['probability'].tolist()))({answers})")
    rows = (table.project / "data/patients.csv").read_text().splitlines()[-24:]
    assert ids == [row.split(",")[0] for row in rows]
    assert len(probabilities) == 24
    assert all(0 < probability < 1 for probability in probabilities)


def test_table_trains_on_two_processes_whole_and_in_shards_and_is_merged(table):
    short = ["--trainer.max_epochs=1"]
    table("fit", "--run", "alone", *ON_CPU, *short)
    table("fit", "--run", "ddp", *DDP, *short, processes=2)
    # Here Lightning itself starts the second process; elsewhere the test does, which is faster.
    run([table.python, "-m", "lit_project", "fit", "--run", "shards", *SHARDED, *short], table.project)
    assert "last.merged.ckpt" in table("merge", "runs/shards/checkpoints/last.ckpt")
    for run_name, file in (("ddp", "last"), ("shards", "last.merged")):
        difference = f"largest_difference(checkpoint('alone'), checkpoint({run_name!r}, {file!r}))"
        assert table.evaluate(difference) < 1e-4
    table("predict", "--run", "ddp", *DDP, processes=2)
    merged = ["--preset=cpu", "--ckpt_path=runs/shards/checkpoints/last.merged.ckpt", *QUIET]
    table("predict", "--run", "shards", *merged)
    ids = "torch.load('runs/{}/predictions.pt', weights_only=True)['id']"
    assert table.evaluate(ids.format("ddp")) == table.evaluate(ids.format("shards"))


def test_batches_too_small_for_the_processes_are_refused(table):
    flags = ["--run", "small", *SHORT_TABLE, "--preset=ddp-cpu", "--data.batch_size=1"]
    told = table("fit", *flags, code=2, processes=2)
    assert "data.batch_size is 1: less than one sample a process, of 2" in told


def test_generated_tests_pass_for_a_table(table):
    printed = run([table.python, *OWN_TESTS], table.project)
    assert " passed" in printed
    assert "skipped" not in printed


@pytest.fixture(scope="module")
def own_module(tmp_path_factory, python):
    """A LightningModule that knows nothing of the engine, with batches that are dicts from torch's own loader."""
    deleted = [PACKAGE / "network.py", PACKAGE / "objective.py", PACKAGE / "configs/presets/mlp.yaml"]
    with Team(tmp_path_factory.mktemp("own"), python, TEAMS / "own_module", "regression", deleted) as team:
        # Already at the start of a training, before anybody relies on it.
        assert "a loader that keeps no state" in team("fit", "--run=one", *ON_CPU)
        yield team


def test_own_module_is_trained_tested_and_used(own_module):
    own_module("test", "--run=one", *QUIET)
    assert measured(own_module.project / "runs/one").keys() == {"test_mse"}
    own_module("predict", "--run=one", *QUIET)
    answers = "torch.load('runs/one/predictions.pt', weights_only=True)"
    assert own_module.evaluate(f"{{key: len(value) for key, value in {answers}.items()}}") == {"x": 16, "y": 16}
    assert "one device" in own_module("memory")


@pytest.mark.parametrize("batch", [6, 8], ids=["in an epoch", "between two"])
def test_own_module_goes_on_after_a_stop_and_says_that_it_is_not_exact(own_module, batch):
    stopped = f"stopped-{batch}"
    own_module("fit", f"--run={stopped}", *ON_CPU, code=143, stop=[batch, signal.SIGTERM])
    assert "a loader that keeps no state" in own_module("fit", f"--run={stopped}")
    steps = own_module.evaluate(f"[checkpoint(run)['global_step'] for run in ('one', {stopped!r})]")
    assert steps == [16, 16]


@pytest.mark.parametrize("preset", ["bf16", "ema", "debug-fast"])
def test_own_module_trains_with_a_preset(own_module, preset):
    own_module("fit", f"--run={preset}", "--preset=cpu", f"--preset={preset}", *QUIET, "--trainer.max_epochs=1")


def test_own_module_trains_on_two_processes_and_is_refused_in_shards(own_module):
    own_module("fit", "--run", "ddp", *DDP, "--trainer.max_epochs=1", processes=2)
    assert own_module.evaluate("checkpoint('ddp')['global_step']") == 2
    told = own_module.refused("fit", "--run=shards", *SHARDED)
    assert "does not derive from EngineModule" in told
    assert "try: derive the model from EngineModule" in told


def test_loader_that_lightning_cannot_make_again_is_refused_with_a_hint(own_module):
    with own_module.changed("data.py", "batch_size=self.batch_size", "self.batch_size"):
        told = own_module.refused("predict", "--run=one", *QUIET)
    assert "try: DataLoader(dataset, batch_size=...)" in told


def test_own_module_can_be_compiled(own_module):
    own_module("fit", "--run=compiled", "--preset=compile", *ON_CPU)
    assert own_module.evaluate("largest_difference(checkpoint('one'), checkpoint('compiled'))") < 1e-4


@pytest.fixture(scope="module")
def gan(tmp_path_factory, python):
    """Two networks, two optimizers, steps by hand that return nothing, and no validation."""
    deleted = [PACKAGE / "network.py", PACKAGE / "objective.py"]
    with Team(tmp_path_factory.mktemp("gan"), python, TEAMS / "gan", "vision", deleted) as team:
        team("fit", "--run=one", *ON_CPU)
        yield team


@pytest.mark.parametrize(("batch", "signum"), [(7, signal.SIGTERM), (5, signal.SIGINT), (12, signal.SIGKILL)])
def test_stopped_gan_ends_with_the_same_bits(gan, batch, signum):
    flags = [*ON_CPU, "--last_checkpoint.every_n_steps=4"]
    code = -signum if signum == signal.SIGKILL else 128 + signum
    gan("fit", f"--run=stopped-{signum}", *flags, code=code, stop=[batch, signum])
    assert "keeps no state" not in gan("fit", f"--run=stopped-{signum}", *flags)
    assert gan.evaluate(f"different('one', 'stopped-{signum}')") == []


def test_gan_is_used_and_told_what_it_has_not(gan):
    gan("predict", "--run=one", *QUIET)
    points = "torch.load('runs/one/predictions.pt', weights_only=True).shape"
    assert gan.evaluate(f"list({points})") == [12, 2]
    assert "test_step" in gan.refused("test", "--run=one", *QUIET)
    assert "memory cannot run a training step that asks for its Trainer or optimizers" in gan.refused("memory")
    assert sorted(path.name for path in (gan.project / "runs/one/checkpoints").iterdir()) == ["last.ckpt"]


@pytest.fixture(scope="module")
def learnable(tmp_path_factory, python):
    """An objective with a temperature that is learned."""
    with Team(tmp_path_factory.mktemp("learnable"), python, TEAMS / "learnable", "vision") as team:
        team("fit", "--run=alone", *LEARNABLE)
        yield team


def test_parameter_of_an_objective_is_saved_and_trained(learnable):
    temperature = learnable.evaluate("checkpoint('alone')['state_dict']['objective.temperature'].item()")
    assert abs(temperature - 1) > 1e-3
    untouched, stopped = "alone", "stopped"
    learnable("fit", f"--run={stopped}", *LEARNABLE, code=130, stop=[5, signal.SIGINT])
    learnable("fit", f"--run={stopped}", *LEARNABLE)
    assert learnable.evaluate(f"different({untouched!r}, {stopped!r})") == []


def test_parameter_of_an_objective_is_sharded_and_learns_as_in_one_process(learnable):
    learnable("fit", "--run", "shards", *LEARNABLE, *SHARDED, processes=2)
    learnable("merge", "runs/shards/checkpoints/last.ckpt")
    difference = "largest_difference(checkpoint('alone'), checkpoint('shards', 'last.merged'))"
    assert learnable.evaluate(difference) < 1e-4
    learnable("test", "--run", "shards", *SHARDED, processes=2)
    learnable("test", "--run", "alone", *QUIET)
    one, two = (measured(learnable.project / "runs" / name) for name in ("alone", "shards"))
    assert two == pytest.approx(one, abs=1e-4)


THAW = """
from typing import Any

import pytorch_lightning as pl


class Thaw(pl.Callback):
    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        pl_module.network.features.requires_grad_(False)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        pl_module.network.features.requires_grad_(trainer.current_epoch > 0)
"""


def test_what_a_callback_thaws_learns_on_several_processes_as_on_one(learnable):
    (learnable.project / PACKAGE / "thaw.py").write_text(THAW.lstrip())
    flags = [*LEARNABLE, "--trainer.max_epochs=2", "--trainer.callbacks=lit_project.thaw.Thaw"]
    learnable("fit", "--run", "thawed", *flags)
    learnable("fit", "--run", "thawed-ddp", *flags, *DDP, processes=2)
    learnable("fit", "--run", "thawed-shards", *flags, *SHARDED, processes=2)
    learnable("merge", "runs/thawed-shards/checkpoints/last.ckpt")
    for run_name, file in (("thawed-ddp", "last"), ("thawed-shards", "last.merged")):
        difference = f"largest_difference(checkpoint('thawed'), checkpoint({run_name!r}, {file!r}))"
        assert learnable.evaluate(difference) < 1e-4


def test_scalar_parameter_is_refused_in_shards(learnable):
    with learnable.changed("objective.py", "torch.ones(1)", "torch.tensor(1.0)"):
        told = learnable.refused("fit", "--run=scalar", *LEARNABLE, *SHARDED, "--trainer.devices=1")
    assert "cannot shard objective.temperature, a scalar" in told
    assert "try: nn.Parameter(torch.ones(1))" in told


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, python):
    """A second network that is not trained: an average of the first, beside an objective with a learned weight."""
    with Team(tmp_path_factory.mktemp("teacher"), python, ROOT / "recipes/teacher", "vision") as team:
        yield team


def test_averaged_teacher_in_shards_is_that_of_one_process(teacher):
    flags = [*ON_CPU, "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--data.batch_size=30"]
    flags += ["--model.max_shift=0", "--model.network.dropout=0"]
    teacher("fit", "--run=alone", *flags)
    teacher("fit", "--run", "shards", *flags, *SHARDED, processes=2)
    teacher("merge", "runs/shards/checkpoints/last.ckpt")
    assert teacher.evaluate("largest_difference(checkpoint('alone'), checkpoint('shards', 'last.merged'))") < 1e-4
    weights = "(lambda state: (state['teacher.head.1.bias'] - state['network.head.1.bias']).abs().max().item())"
    assert teacher.evaluate(f"{weights}(checkpoint('shards', 'last.merged')['state_dict'])") > 1e-3
    teacher("test", "--run", "shards", *SHARDED, processes=2)
    teacher("test", "--run", "alone", *QUIET)
    one, two = (measured(teacher.project / "runs" / name) for name in ("alone", "shards"))
    assert two == pytest.approx(one, abs=1e-4)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, python):
    """A bake as it is, of which a team changes settings alone."""
    with Team(tmp_path_factory.mktemp("plain"), python, None, "vision") as team:
        yield team


SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
SHORT += ["--trainer.accelerator=cpu", "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=1"]
SECTIONS = ("best_checkpoint", "last_checkpoint", "early_stopping", "lr_monitor", "progress_bar", "model_summary")


def test_sections_that_are_null_leave_nothing_and_the_run_can_be_repeated(plain):
    nothing = [word for section in SECTIONS for word in (f"--{section}", "null")]
    rows = []
    for _ in range(2):
        printed = plain("fit", "--run=none", *SHORT, *nothing)
        assert not any(word in printed for word in ("Best:", "Saving:", "Next:", "params", "epoch 1.00"))
        assert not list(plain.project.glob("runs/none/**/*.ckpt"))
        rows.append((plain.project / "runs/none/metrics.csv").read_text())
    assert rows[0] == rows[1]
    assert "there is no checkpoint" in plain.refused("test", "--run=none")


def test_without_a_best_checkpoint_the_last_one_is_tested(plain):
    plain("fit", "--run=nobest", *SHORT, *QUIET, "--best_checkpoint", "null", "--early_stopping", "null")
    assert [path.name for path in plain.project.glob("runs/nobest/checkpoints/*")] == ["last.ckpt"]
    assert "last.ckpt" in plain("test", "--run=nobest", *QUIET)


def test_metric_that_is_not_there_is_one_line_and_others_can_be_watched(plain):
    told = plain.refused("fit", "--run=mistyped", *SHORT, *QUIET, "--early_stopping.monitor=val/los")
    assert "val/los" in told
    assert "val/loss" in told
    flags = ["fit", "--run=unvalidated", *SHORT, *QUIET, "--trainer.limit_val_batches=0"]
    plain(*flags, "--early_stopping.monitor=train/loss", "--best_checkpoint.monitor=train/loss")
    names = sorted(path.name for path in plain.project.glob("runs/unvalidated/checkpoints/*"))
    assert names == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("switch", ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"])
def test_switch_of_the_trainer_turns_sections_off(plain, switch):
    printed = plain("fit", f"--run={switch}", *SHORT, f"--trainer.{switch}=false")
    assert "after 1 epoch, 2 steps" in printed
    files = {path.name for path in (plain.project / f"runs/{switch}").rglob("*")}
    assert ("metrics.csv" in files) == (switch != "logger")
    assert ("best.ckpt" in files) == ("last.ckpt" in files) == (switch != "enable_checkpointing")
    assert ("epoch 1.00" in printed) == (switch != "enable_progress_bar")
    assert ("params" in printed) == (switch != "enable_model_summary")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--early_stopping.patiance", "3"], "Did you mean --early_stopping.patience?"),
        (["--early_stoping.patience=3"], "Did you mean --early_stopping.patience?"),
        (["--early_stopping.patience", "few"], "--early_stopping.patience: expected int, got 'few'"),
        (["--early_stopping", "null", "--early_stopping.patience", "3"], "it needs --early_stopping.monitor"),
        (["--config", "never.yaml", "--early_stopping.patience", "3"], "it needs --early_stopping.monitor"),
        (["--config", "mistyped.yaml"], "Did you mean --early_stopping.patience?"),
        (["--progress_bar.theme.metrics_formatt", "x"], "Did you mean --progress_bar.theme.metrics_format?"),
        (["--model.optimizer.init_args.lrr", "3"], "Did you mean --model.optimizer.init_args.lr?"),
        (["--model.lr_scheduler.warmpu", "3"], "Did you mean --model.lr_scheduler.warmup?"),
        (["--model.network.width", "wide"], "--model.network.width: expected int, got 'wide'"),
        (["--trainr.max_epochs", "3"], "Did you mean --trainer.max_epochs?"),
    ],
)
def test_mistake_in_a_nested_setting_is_one_line_with_the_whole_flag(plain, flags, told):
    (plain.project / "never.yaml").write_text("early_stopping: null\n")
    (plain.project / "mistyped.yaml").write_text("early_stopping:\n  monitor: val/loss\n  patiance: 3\n")
    assert plain.refused("fit", *flags).endswith(told)


def test_section_is_switched_off_by_a_later_flag_or_file(plain):
    (plain.project / "never.yaml").write_text("early_stopping: null\n")
    for number, never in enumerate((["--early_stopping", "null"], ["--config", "never.yaml"])):
        plain("fit", f"--run=never-{number}", "--early_stopping.patience=2", *never, *SHORT, *QUIET)
        assert "early_stopping: null" in (plain.project / f"runs/never-{number}/config.yaml").read_text()


TWICE = """
from pytorch_lightning import Callback

class Seen(Callback):
    stages = []
    def setup(self, trainer, pl_module, stage):
        self.stages.append(stage)

seen = Seen()
for command in (["fit", "--run", "once"], ["fit", "--run", "again"], ["test", "--run", "once"]):
    main([*command, *FLAGS], callbacks=[seen])
assert seen.stages == ["fit", "fit", "test"], seen.stages
assert different("once", "again") == []
"""


def test_two_trainings_in_one_process_are_the_same_and_see_the_callbacks_of_the_caller(plain):
    plain.do(f"FLAGS = {[*SHORT, *QUIET]}\n{TWICE}")


def test_runs_lie_where_the_flag_or_the_environment_says(plain, tmp_path):
    flags = ["--run=elsewhere", *SHORT, *QUIET]
    assert f"test --run elsewhere --runs {tmp_path}/flag" in plain("fit", *flags, f"--runs={tmp_path}/flag")
    plain.do(f"os.environ['LIT_PROJECT_RUNS'] = '{tmp_path}/variable'\nmain({['fit', *flags]})")
    assert not (plain.project / "runs/elsewhere").exists()
    for folder in ("flag", "variable"):
        plain("test", f"--runs={tmp_path}/{folder}", *QUIET)
        assert (tmp_path / folder / "elsewhere/test.json").is_file()


WALKS = ["Your own data", "Your own network", "Your own LightningModule"]


def section_of(page, heading):
    _, _, rest = page.partition(f"\n## {heading}\n")
    return re.split(r"\n##+ ", rest)[0]


def file_of(project, block):
    """The file that the first line of a block names, and what stands below that line."""
    path, text = re.fullmatch(r"# (\S+)\n(.*)", block, re.DOTALL).groups()
    return project / path, text


def carry_out(team, line):
    """Run a line that a reader types."""
    words = shlex.split(line)
    if words[:3] == ["uv", "run", "lit-project"]:
        team(*words[3:])
    elif words[:3] == ["uv", "run", "python"]:
        run([team.python, *words[3:]], team.project)
    else:
        run(words, team.project)


def test_walks_work_as_they_are_written(tmp_path, python):
    with Team(tmp_path, python, None, "regression") as team:
        page = (team.project / "docs/make-it-yours.md").read_text(encoding="utf-8")
        for heading in WALKS:
            done = []
            for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", section_of(page, heading), re.DOTALL | re.M):
                done.append(language)
                if language in ("python", "yaml"):
                    path, text = file_of(team.project, block)
                    path.write_text(text, encoding="utf-8")
                elif language == "diff":
                    patch(*file_of(team.project, block))
                else:
                    assert language == "console"
                    lines = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
                    assert lines
                    for line in lines:
                        carry_out(team, line)
            assert "python" in done, f"no file in {heading}"
            assert "console" in done, f"no command in {heading}"
        assert len(list((team.project / "runs").glob("*/config.yaml"))) >= 2
