"""Names of runs in pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from uphill.runs.experiment import Experiment
from uphill.runs.saved import SavedRun

_LONGEST = 44  # characters; of a path the end is kept, which tells it from others
_WHAT = {
    "rollout/episode_return": "return of training episodes",
    "rollout/episode_length": "length of training episodes",
    "evaluation/episode_return": "return of evaluation episodes",
}


def env_of(experiment: Experiment) -> str:
    """The environment, with its keyword arguments."""
    arguments = ", ".join(f"{key}={value}" for key, value in experiment.env_kwargs.items())
    return f"{experiment.env} ({arguments})" if arguments else experiment.env


def seeds_of(experiment: Experiment) -> str:
    """How many seeds, or which one."""
    return f"{experiment.seeds} seeds" if experiment.seeds > 1 else f"seed {experiment.seed}"


def title_of(runs: Sequence[SavedRun]) -> str:
    """What the runs of a picture have in common."""
    envs = list(dict.fromkeys(env_of(run.experiment) for run in runs))
    if len(runs) == 1:
        experiment = runs[0].experiment
        return f"{envs[0]} · {experiment.algo} · {seeds_of(experiment)}"
    return envs[0] if len(envs) == 1 else f"{len(envs)} environments"


def names_of(runs: Sequence[SavedRun]) -> list[str]:
    """A short name for each run: its algorithm; its environment if that differs; its folder if
    others would have the same name."""
    envs = [env_of(run.experiment) for run in runs]
    is_one = len(set(envs)) == 1
    names = [
        algo if is_one else f"{algo} · {_end(env, _LONGEST - len(algo) - 3)}"
        for algo, env in zip((run.experiment.algo for run in runs), envs, strict=True)
    ]
    for folder in (_folder_of, lambda run: str(run.path)):
        count = Counter(names)
        names = [
            _end(f"{name} · {folder(run)}" if count[name] > 1 else name, _LONGEST)
            for run, name in zip(runs, names, strict=True)
        ]
    return names


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _folder_of(run: SavedRun) -> str:
    """The folder's name, without the prefix that training adds to a default name."""
    start = f"{run.experiment.env}-{run.experiment.algo}-"
    return run.path.resolve().name.removeprefix(start)


def label_of(column: str) -> str:
    """What a column of `metrics.csv` holds, in words where it has some."""
    return _WHAT.get(column, column)


def setting_names(paths: Sequence[str]) -> dict[str, str]:
    """What fields are called, by their paths: their last words, unless two have the same."""
    last = [path.rpartition(".")[2] for path in paths]
    return {
        path: (word if last.count(word) == 1 else path).replace("_", "-")
        for path, word in zip(paths, last, strict=True)
    }


def setting_shown(value: Any) -> str:
    """The value of a field, as it is typed."""
    if isinstance(value, list | tuple):
        return " ".join(map(setting_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_of(values: Mapping[str, Any]) -> str:
    """Values of fields in a sentence: `learning-rate 0.001, gamma 0.98`."""
    names = setting_names(list(values))
    return ", ".join(f"{names[path]} {setting_shown(x)}" for path, x in values.items())
