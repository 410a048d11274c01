"""Starting a training run: the request becomes an experiment, a folder and a session."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import current_process
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.envs.base import World
from uphill.envs.make import EnvironmentChoice, choose, name_of
from uphill.envs.self_limited import with_bound
from uphill.envs.wrappers import imported_name
from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.parts.algorithms import ALGORITHMS, no_algorithm
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import images_described
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import (
    Experiment,
    as_path,
    command_line,
    describe_platform,
    make_experiment,
    write_experiment,
)
from uphill.runs.files import EXPERIMENT_FILE, NotWrittenError, make_unused, unused
from uphill.runs.folder import mend_of
from uphill.runs.given import alterations_of, environment_settings
from uphill.runs.imports import remember
from uphill.runs.lock import RunLock
from uphill.runs.metrics import MetricsFile
from uphill.runs.own_code import versions_with
from uphill.runs.own_parts import own_parts_in, type_name
from uphill.runs.place import Place
from uphill.runs.settings import BackendName, Options, Settings, kept
from uphill.runs.unbegun import check_same, is_unbegun
from uphill.sessions.callback import OnPoint, check_callable
from uphill.sessions.display import Progress
from uphill.sessions.evaluations import Evaluations
from uphill.sessions.history import Remembered, first_memory
from uphill.sessions.init_from import encoding_in, initialized
from uphill.sessions.intervals import measuring_interval, rounding
from uphill.sessions.keeping import Keeper
from uphill.sessions.presets import Preset, preset, settings_given, settings_of
from uphill.sessions.session import Session
from uphill.sessions.settings_file import SettingsFile
from uphill.sessions.sinks import check_installed, open_sinks
from uphill.training.cores import use_threads
from uphill.training.process import use_compile_cache
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer
from uphill.words import call, count, option

_LONGEST = 100
"""Characters of an environment's name that are used in the name of a run directory."""


@dataclass(frozen=True)
class Request(Settings, Options):
    """A request for a training run: the arguments of `uphill.train`."""

    env: str | Callable[..., Any] | World
    """An ID, `module:ID`, a callable that makes an environment, or a compiled world."""
    algorithm: Algorithm | str | None = None
    """What `uphill.ppo()` and the like make, or the name of one, for its preset; without it, the
    preset of the environment is used."""
    env_kwargs: dict[str, Any] | None = field(default=None, kw_only=True)
    """Keyword arguments of the environment."""
    network: NetworkFactory | None = field(default=None, kw_only=True)
    """`network(num_features, key)` makes an Equinox module that maps one vector of features to one
    vector, and replaces the hidden layers that the settings describe."""
    on_point: OnPoint | None = field(default=None, kw_only=True)
    """`on_point(rows, policies)` is called at every logging point, with the rows of metrics.csv and
    the policies, one of each for every seed. It returns None to go on, True to stop, a dict of your
    own metrics, or both as a pair."""

    @property
    def given(self) -> dict[str, Any]:
        """The keyword arguments with which `load` and `resume` open what it trained."""
        return {
            "env": None if isinstance(self.env, str) else self.env,
            "network": self.network,
            "parts": tuple(own_parts_in(self.algorithm)),
            "allow_import": True,  # it was allowed when the request was made
            "wrappers": self.wrappers,
        }


@contextmanager
def begun(request: Request, start: Preset | None = None) -> Iterator[Session]:
    """The session of a new run; its directory is locked while the session is open. `start` is the
    preset that the request's algorithm was made from, where that is known.

    Raises:
        UphillError: for anything about the request or the environment that the user can fix.
    """
    _leave_what_is_imported()
    folder, experiment, trainer, state, progress = _planned(request, start)
    folder = make_run_folder(folder, may_exist=True, is_named=request.out is not None)
    with RunLock(folder, is_new=True):
        # Check again: another process may have begun here while this one compiled.
        _check_free(folder)
        check_same(folder, experiment)
        yield fresh_session(folder, experiment, trainer, state, progress, request.on_point)


def _leave_what_is_imported() -> None:
    """End a process of an environment that imports the main script to find it, and was about to
    train there: the process that started it says what is wrong."""
    if getattr(current_process(), "_inheriting", False):
        raise SystemExit(1)


def fresh_session(
    folder: Place,
    experiment: Experiment,
    trainer: Trainer,
    state: TrainState,
    progress: Progress,
    on_point: OnPoint | None = None,
) -> Session:
    """The session that begins in a folder in which nothing was learned yet."""
    write_experiment(folder, experiment)
    memory, metrics = first_memory(state, experiment), MetricsFile(folder)
    _remember_modules(experiment, folder.current)
    session = session_of(folder, experiment, trainer, state, memory, metrics, progress)
    return replace(session, on_point=on_point)


def outlined(
    request: Request, start: Preset | None, may_be_unbegun: bool = False
) -> tuple[Place, Experiment, EnvironmentChoice, Progress]:
    """The folder to write to, the experiment, the environment, and who reports progress. Nothing is
    created, and JAX does not start.

    Raises:
        UphillError: for anything about the request that the user can fix.
    """
    network = request.network
    name = name_of(request.env)
    check_callable(request.on_point)
    if isinstance(request.settings, SettingsFile):
        request.settings.check_network(network)
        start = start or request.settings.start
    chosen, settings = chosen_for(request, name, start)
    use_threads(decode(int | None, encode(request.threads), "threads"))
    # Before anything is made: an error about a wrong number or an existing folder should come at
    # once.
    folder = free_folder(request.out, name, chosen.algo, request.seed, may_be_unbegun)
    choice, bound = environment_for(request, chosen.algorithm)
    experiment = experiment_for(request, chosen, settings, choice)
    check_installed(experiment.log)
    progress = Progress(experiment.steps, request.quiet, experiment.all_seeds)
    progress.say(
        f"{choice.name}: {experiment.algo}, {experiment.steps:,} steps, "
        f"{count(experiment.seeds, 'seed')}; backend {choice.backend}, since {choice.reason}."
    )
    if bound:
        progress.say(bound)
    return folder, experiment, choice, progress


def _planned(
    request: Request, start: Preset | None
) -> tuple[Place, Experiment, Trainer, TrainState, Progress]:
    """The folder, the experiment, the means, the origin; and who reports progress."""
    source = None if request.init_from is None else as_path(request.init_from, "init_from")
    folder, experiment, choice, progress = outlined(request, start, may_be_unbegun=True)
    network = request.network
    use_compile_cache()
    encoding = None if source is None else encoding_in(source)
    trainer = trainer_of(choice, experiment, network, encoding=encoding)
    settings = experiment.settings + _of_images(experiment, trainer.encoding)
    experiment = replace(experiment, settings=settings)
    progress.say(f"Settings: {experiment.settings}.")
    if experiment.stop_when_solved and trainer.env.reward_threshold is None:
        raise UphillError(
            f"{option('stop_when_solved', True)} says to stop at the reward threshold, and "
            f"{choice.name} has none: leave it out, or register the environment with a "
            "reward_threshold."
        )
    state = trainer.start()
    if source is not None:
        space = trainer.env.action_space
        state, origin, taken = initialized(state, experiment, source, network, space)
        progress.say(taken)
        experiment = replace(experiment, init_from=origin)
    limit = trainer.env.max_episode_steps
    sampling = experiment.composition.sampling
    for notice in (trainer.notice, rounding(sampling, experiment.steps, limit)):
        if notice:
            progress.say(notice)
    return folder, replace(experiment, platform=describe_platform()), trainer, state, progress


def experiment_for(
    request: Request, chosen: Preset, settings: str, choice: EnvironmentChoice
) -> Experiment:
    """What is asked for, checked; `settings` says where those of the algorithm come from.

    Raises:
        UphillError: if a field has not its type, or a value that it can't have.
    """
    network = request.network
    decided = {
        **environment_settings(choice),
        "algo": chosen.algo,
        "algorithm": chosen.algorithm,
        "steps": chosen.steps if request.steps is None else request.steps,
        "log": _sinks(request.log),
        "network": "" if network is None else name_of(network),
        "settings": settings,
        "command": command_line(),
        "versions": versions_with(choice, chosen.algorithm, network),
    }
    return make_experiment(**kept(request) | decided)


def environment_for(request: Request, algorithm: Algorithm) -> tuple[EnvironmentChoice, str | None]:
    """The environment that was asked for, and a notice where its episodes got a bound."""
    decode(BackendName, request.backend, "backend")
    env_kwargs = decode(dict, request.env_kwargs or {}, "env_kwargs")
    for name in env_kwargs:
        decode(str, name, "A name in env_kwargs")
    alterations = alterations_of(request, request.wrappers)
    limit = decode(float | None, encode(request.step_timeout), "step_timeout")
    choice = choose(request.env, request.backend, env_kwargs, request.is_async, alterations, limit)
    return with_bound(choice) if algorithm.sampling.has_whole_episodes else (choice, None)


def _of_images(experiment: Experiment, encoding: Encoding) -> str:
    """What the policy's network does with images, as the end of a sentence."""
    policy = experiment.composition.policy
    said = "" if experiment.network else images_described(policy, encoding)
    return f"; {said}" if said else ""


def session_of(
    folder: Path,
    experiment: Experiment,
    trainer: Trainer,
    state: TrainState,
    memory: Remembered,
    metrics: MetricsFile,
    progress: Progress,
) -> Session:
    """A session from `state` on, with all that it writes to.

    Raises:
        UphillError: if a sink can't begin.
    """
    keeper = Keeper(folder, trainer, metrics)
    evaluations = Evaluations(
        trainer.choice, experiment.all_seeds, experiment.episodes, progress.say
    )
    sinks = open_sinks(folder, experiment, state.num_transitions, progress.say)
    return Session(experiment, trainer, state, memory, keeper, progress, evaluations, sinks)


def trainer_of(
    choice: EnvironmentChoice,
    experiment: Experiment,
    network: NetworkFactory | None,
    resumed_at: int = 0,
    encoding: Encoding | None = None,
) -> Trainer:
    """The trainer of an experiment; `encoding` is that of the policies that it goes on with."""
    algorithm, steps = experiment.composition, experiment.steps
    every = measuring_interval(algorithm, steps)
    seeds = experiment.all_seeds
    devices = experiment.devices
    return Trainer(
        choice, algorithm, seeds, steps, resumed_at, every, network, encoding, devices=devices
    )


def chosen_for(request: Request, env: str, start: Preset | None) -> tuple[Preset, str]:
    """The given algorithm, else that of the preset, and how long to train; and where its settings
    come from, in words.

    Raises:
        UphillError: if it is none, there is no algorithm of that name, or both differ.
    """
    algorithm, algo = request.algorithm, request.algo
    if algorithm is None:
        if algo is not None and algo not in ALGORITHMS:
            raise UphillError(no_algorithm(algo))
        start = start or preset(env, algo)
        chosen = start
    else:
        if not isinstance(algorithm, Algorithm):
            shown = getattr(algorithm, "__name__", repr(algorithm))
            raise UphillError(
                f"algorithm is {shown}: give an Algorithm, such as uphill.ppo(), or the name of "
                "one as algo."
            )
        if algo in ALGORITHMS and algorithm.name in ALGORITHMS and algo != algorithm.name:
            raise UphillError(
                f"algo is {algo!r}, and algorithm is {algorithm.name}: give one of the two."
            )
        algo, steps = algo or algorithm.name, (start or preset(env)).steps
        chosen = Preset(algo, algorithm, steps)
    chosen = replace(chosen, algorithm=_with_envs(chosen.algorithm, request.envs))
    if start is None:
        return chosen, settings_given(env, chosen.algorithm)
    return chosen, settings_of(env, start, chosen.algorithm)


def _remember_modules(experiment: Experiment, current: str) -> None:
    """Remember which modules this user trained with, from the folder `current`, so that permission
    to import them is not needed again."""
    parts = [type_name(x) for x in own_parts_in(experiment.algorithm) if isinstance(x, type)]
    wrappers = [name for text in experiment.wrappers if (name := imported_name(text))]
    for name in [experiment.env, *parts, *wrappers]:
        if ":" in name and not (name == experiment.env and experiment.is_callable):
            remember(name, current)


def _sinks(log: Any) -> Any:
    """The sinks, each once; what is no list at all is left for the experiment to refuse."""
    if isinstance(log, str):
        return (log,)
    return tuple(dict.fromkeys(log or ())) if isinstance(log, Iterable | None) else log


def _with_envs(algorithm: Algorithm, envs: int | None) -> Algorithm:
    envs = decode(int | None, encode(envs), "envs")
    if envs is None:
        return algorithm
    if envs < 1:
        raise UphillError(f"envs is {envs}: use at least 1.")
    return replace(algorithm, sampling=replace(algorithm.sampling, num_envs=envs))


def free_folder(
    out: str | PathLike[str] | None,
    env: str,
    algo: str,
    seed: int,
    may_be_unbegun: bool = False,
) -> Place:
    """The run directory to be made, or (`may_be_unbegun`) one in which nothing was learned yet.

    Raises:
        UphillError: if it exists: a run is never overwritten.
    """
    if out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        plain = [re.sub("[^A-Za-z0-9_.-]+", "-", x).strip("-")[:_LONGEST] for x in (env, algo)]
        return Place.of(unused(Path("runs", f"{'-'.join(plain)}-seed{seed}-{stamp}")))
    folder = as_path(out, "out")
    _check_free(folder, may_be_unbegun)
    return folder


def _check_free(folder: Path, may_be_unbegun: bool = True) -> None:
    if os.path.lexists(folder) and not (may_be_unbegun and is_unbegun(folder)):
        is_run = (folder / EXPERIMENT_FILE).is_file()
        otherwise = f", or `{call('resume', folder)}`" if is_run else ""
        raise UphillError(
            f"{folder} exists already, and a run is never overwritten: choose another "
            f"{option('out')}{otherwise}."
        )


def make_run_folder(folder: Place, may_exist: bool = False, is_named: bool = True) -> Place:
    """The run directory, made; one that the user has not named has another name if this one was
    taken meanwhile.

    Raises:
        UphillError: if it can't be made.
    """
    try:
        if not is_named:
            return make_unused(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=may_exist)
        return folder
    except OSError as error:
        raise NotWrittenError(
            f"The run directory {folder} can't be made ({error.strerror}): {mend_of(error)}, or "
            f"choose another {option('out')}."
        ) from error
