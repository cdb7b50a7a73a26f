"""What Optuna proposes and prunes, the same to the last bit however often the sweep was killed.

Optuna writes the values of a trial one by one, and what its samplers and pruners remember in between: a kill leaves
half of it, and the second half would be drawn from another place. So they work on a copy of the study in memory, and
all that they decided is written at once, as one attribute of the trial.
"""

from collections.abc import Sequence
from typing import Any

from . import library
from .space import Parameter, suggest
from .sweep_file import Sweep

# Attributes of a trial: what was proposed for it, and what was decided about it last.
PROPOSED = "proposed"
DECIDED = "decided"


def replica(study: Any, sampler: Any, pruner: Any, trials: Sequence[Any]) -> Any:
    """A copy of a study in memory, of these trials, with what samplers and pruners remembered of them."""
    optuna = library.optuna()
    copy = optuna.create_study(
        study_name=study.study_name, direction=study.direction, sampler=sampler, pruner=pruner, storage=None
    )
    for trial in trials:
        copy.add_trial(as_remembered(trial))
    proposed = [trial.user_attrs[PROPOSED] for trial in trials if PROPOSED in trial.user_attrs]
    for name, value in (proposed[-1]["study"] if proposed else {}).items():
        copy._storage.set_study_system_attr(copy._study_id, name, value)
    return copy


def as_remembered(trial: Any, intermediate_values: dict[int, float] | None = None) -> Any:
    """A copy of a trial, with what samplers and pruners remembered of it."""
    optuna = library.optuna()
    attributes = trial.user_attrs
    remembered = {**attributes.get(PROPOSED, {}).get("trial", {}), **attributes.get(DECIDED, {}).get("trial", {})}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs={**trial.system_attrs, **remembered},
        intermediate_values=trial.intermediate_values if intermediate_values is None else intermediate_values,
    )


def propose(study: Any, sweep: Sweep, number: int) -> dict[str, Any]:
    """Values for the trial of a number, and what the sampler remembers of them: in plain types, for one attribute."""
    before = study.get_trials(deepcopy=False)[:number]
    copy = replica(study, sweep.sampler_of(number), sweep.pruner_of(), before)
    chosen = suggest(copy.ask(), sweep.search)
    return {
        "values": chosen,
        "trial": copy.get_trials(deepcopy=False)[number].system_attrs,
        "study": copy._storage.get_study_system_attrs(copy._study_id),
    }


def keep_proposed(trial: Any, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Write the values of a trial where Optuna looks for them, as if its sampler had drawn them just now."""
    samplers = library.optuna().samplers
    proposed = trial.user_attrs[PROPOSED]["values"]
    trial.study.sampler = samplers.PartialFixedSampler(proposed, samplers.RandomSampler())
    return suggest(trial, parameters)


def decide(study: Any, pruner: Any, number: int, step: int, value: float) -> dict[str, Any]:
    """Whether a trial is to be pruned, by its metric up to one of its validations.

    Args:
        study: the sweep's.
        pruner: one of Optuna's.
        number: the trial's.
        step: the number of the validation, counted from 0.
        value: the metric in it.
    """
    optuna = library.optuna()
    trials = study.get_trials(deepcopy=False)
    own = trials[number]
    decided = own.user_attrs.get(DECIDED)
    if decided and decided["step"] == step:
        return decided
    if step in own.intermediate_values:  # this validation was there before a kill, and nothing was decided
        return {"step": step, "pruned": False, "trial": {}}
    values = {**{at: one for at, one in own.intermediate_values.items() if at < step}, step: value}
    copy = replica(study, optuna.samplers.RandomSampler(), pruner, [])
    for trial in trials:
        copy.add_trial(as_remembered(trial, values) if trial.number == number else as_remembered(trial))
    pruned = bool(pruner.prune(copy, copy.get_trials(deepcopy=False)[number]))
    return {"step": step, "pruned": pruned, "trial": copy.get_trials(deepcopy=False)[number].system_attrs}
