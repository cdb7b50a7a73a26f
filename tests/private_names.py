"""The private names of libraries on which the package depends, and a search for them in its source.

Lightning keeps no promise about these. A new release that lacks one fails tests/test_private_names.py with all that it
lacks in one list.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

# By name: the module or class of a library that has it, as an attribute of its own or of its instances; or the
# function that takes it as a key.
TAKEN = {
    "_common": "jsonargparse",
    "_completions_jsonschema": "jsonargparse",
    "_MEM_FORMAT_ENCODING": "torch.distributed.checkpoint.metadata",
    "_IS_INTERACTIVE": "pytorch_lightning.trainer.connectors.accelerator_connector",
    "_StorageInfo": "torch.distributed.checkpoint.filesystem",
    "_actions": "jsonargparse.ArgumentParser",
    "_basic_subprocess_cmd": "pytorch_lightning.strategies.launchers.subprocess_script",
    "_batches_that_stepped": "pytorch_lightning.loops.training_epoch_loop._TrainingEpochLoop",
    "_AutomaticOptimization": "pytorch_lightning.loops.optimization.automatic",
    "_LoggerConnector": "pytorch_lightning.trainer.connectors.logger_connector.logger_connector",
    "_PrefetchDataFetcher": "pytorch_lightning.loops.fetchers",
    "_TrainingEpochLoop": "pytorch_lightning.loops.training_epoch_loop",
    "_after_closure": "pytorch_lightning.plugins.precision.Precision",
    "_optimizer_step": "pytorch_lightning.loops.optimization.automatic._AutomaticOptimization",
    "_call_impl": "torch.nn.Module",
    "_cdata": "torch.UntypedStorage",
    "_combined_loader": "pytorch_lightning.loops.fit_loop._FitLoop",
    "_combined_loader_states_to_load": "pytorch_lightning.loops.fit_loop._FitLoop",
    "_current_fx": "pytorch_lightning.trainer.connectors.logger_connector.logger_connector._LoggerConnector",
    "_compiled_call_impl": "torch.nn.Module",
    "_current_fx_name": "pytorch_lightning.LightningModule",
    "_exit": "os",
    "_instantiator": "pytorch_lightning.core.saving._load_state",
    "_data_fetcher": "pytorch_lightning.loops.fit_loop._FitLoop",
    "_evaluation_loop": "pytorch_lightning.Trainer",
    "_forward_hooks": "torch.nn.Module",
    "_forward_pre_hooks": "torch.nn.Module",
    "_get_layout": "torch.serialization",
    "_load_combined_loader_states": "pytorch_lightning.loops.fit_loop._FitLoop",
    "_local_rank": "pytorch_lightning.profilers.SimpleProfiler",
    "_mlflow_client": "pytorch_lightning.loggers.MLFlowLogger",
    "_mode": "pytorch_lightning.utilities.combined_loader.CombinedLoader",
    "_non_persistent_buffers_set": "torch.nn.Module",
    "_num_ready_batches_reached": "pytorch_lightning.loops.training_epoch_loop._TrainingEpochLoop",
    "_log_hyperparams": "pytorch_lightning.LightningModule",
    "_pytree": "torch.utils",
    "_prepare_subcommand_parser": "pytorch_lightning.cli.LightningCLI",
    "_prepare_subcommand_kwargs": "pytorch_lightning.cli.LightningCLI",
    "_restarting": "pytorch_lightning.loops.loop._Loop",
    "_run_id": "pytorch_lightning.loggers.MLFlowLogger",
    "_every_n_train_steps": "pytorch_lightning.callbacks.ModelCheckpoint",
    "_logger_connector": "pytorch_lightning.Trainer",
    "_call_batch_hook": "pytorch_lightning.LightningModule",
    "_train_time_interval": "pytorch_lightning.callbacks.ModelCheckpoint",
    "_results": "pytorch_lightning.Trainer",
    "_state_dicts": "pytorch_lightning.utilities.combined_loader.CombinedLoader",
    "_wandb_init": "pytorch_lightning.loggers.WandbLogger",
    "_storage": "optuna.study.Study",
    "_study_id": "optuna.study.Study",
    "_subclasses": "torch",
    "_trainer": "pytorch_lightning.LightningModule",
    "_trial_id": "optuna.trial.FrozenTrial",
    "_update_count": "torchmetrics.Metric",
    "_utils": "torch.utils.data",
    "_version": "torch.Tensor",
    "_worker_info": "torch.utils.data._utils.worker",
}
# Methods and attributes of a library's class in whose place the package puts its own.
REPLACED = {
    "_check_log_dir_exists": "pytorch_lightning.loggers.csv_logs.ExperimentWriter",
    "_data_parallel_size": "pytorch_lightning.strategies.ModelParallelStrategy",
    "_experiment": "pytorch_lightning.loggers.CSVLogger",
    "_prepare_subcommand_parser": "pytorch_lightning.cli.LightningCLI",
    "_prepare_subcommand_kwargs": "pytorch_lightning.cli.LightningCLI",
    "_rewrite_with_new_header": "pytorch_lightning.loggers.csv_logs.ExperimentWriter",
}


def is_private(name: str) -> bool:
    return bool(re.fullmatch(r"_[A-Za-z]\w*", name))


def taken_names(sources: list[Path]) -> dict[str, set[str]]:
    """Private names that these files use and do not define: {name: files}.

    Of what a class finds on itself, its own names are those that some class of these files defines. Private names of
    anything else are a library's; no file reaches into the private names of another.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources}
    own = {name for tree in trees.values() for name in defined_names(tree)}
    found: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for name in used_names(tree, own):
            found.setdefault(name, set()).add(path.name)
    return found


def defined_names(tree: ast.Module) -> Iterator[str]:
    """Names of functions, methods and classes, and of attributes that methods set on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            yield node.attr


def used_names(tree: ast.Module, own: set[str]) -> Iterator[str]:
    parts_of_texts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and not (is_self(node.value) and node.attr in own):
            names = [node.attr]
        elif isinstance(node, ast.Import):
            names = [word for alias in node.names for word in alias.name.split(".")]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts_of_texts:
            names = [node.value]  # such as what shards.py allows in an index
        elif isinstance(node, ast.keyword):
            names = [node.arg or ""]
        yield from filter(is_private, names)


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
