"""Training begins and goes on: the only wiring."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from uphill.envs.base import World
from uphill.envs.make import EnvironmentChoice, choose, name_of
from uphill.errors import UphillError
from uphill.learning.learner import Learner, take
from uphill.parts import Algorithm
from uphill.parts.algorithms import ALGORITHMS
from uphill.policies.own_network import NetworkFactory
from uphill.run import Run, check_network, environment_of, read_learners
from uphill.runs.checkpoint import Facts, read_manifest, read_tensors, restore, unused
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import (
    Experiment,
    Origin,
    as_path,
    command_line,
    describe_platform,
    installed_versions,
    make_experiment,
    read_experiment,
    whole,
    write_experiment,
)
from uphill.runs.kept_policies import write_milestones
from uphill.runs.metrics import MetricsFile, read_metrics
from uphill.runs.milestones import Tracked
from uphill.sessions.display import Progress
from uphill.sessions.presets import Preset, preset, settings_of
from uphill.sessions.session import Log, Session, device, measuring_interval, savable
from uphill.sessions.sinks import SinkName, check_installed, open_sinks
from uphill.training.process import use_compile_cache
from uphill.training.rows import Rows
from uphill.training.trainer import Trainer, TrainState

BackendName = Literal["auto", "compiled", "envpool", "gymnasium"]


def train(
    env: str | Callable[..., Any] | World,
    algorithm: Algorithm | None = None,
    *,
    algo: str | None = None,
    seed: int = 0,
    seeds: int = 1,
    steps: float | None = None,
    envs: int | None = None,
    backend: BackendName = "auto",
    env_kwargs: dict[str, Any] | None = None,
    is_async: bool = False,
    out: str | PathLike[str] | None = None,
    eval_every: float | None = None,
    stop_when_solved: bool = False,
    init_from: str | PathLike[str] | None = None,
    network: NetworkFactory | None = None,
    checkpoint_every: float = 10.0,
    episodes: int = 100,
    log: SinkName | Sequence[SinkName] = (),
    quiet: bool = False,
) -> Run:
    """Train `seeds` agents at once, evaluate them, and return the run.

    Without an algorithm, the preset of the environment is used.

    Arguments:
        env: an ID, `module:ID`, a callable that makes an environment, or a compiled world.
        algorithm: what `uphill.ppo()` and the like make.
        algo: instead, the name of one: the environment's preset of it.
        seed, seeds: the seeds `seed`, `seed` + 1, … are trained.
        steps: valid transitions for each seed, a whole number such as 1e6; training stops at the
            first update that reaches it.
        envs: environments of each seed, in place of the algorithm's `sampling.num_envs`.
        backend: compiled, envpool or gymnasium; the fastest that has the environment by default.
        env_kwargs: keyword arguments of the environment.
        is_async: step Python environments in processes of their own.
        out: the run directory; by default a new one in ./runs.
        eval_every: evaluate every so many steps, and keep the best policy by that.
        stop_when_solved: stop once the last 100 training episodes of every seed reach the
            environment's threshold.
        init_from: a run whose best policy and value function to start from.
        network: `network(num_features, key)` makes an Equinox module from one vector of features to
            one vector, in place of the hidden layers that the settings describe.
        checkpoint_every: seconds between checkpoints.
        episodes: of the evaluation at the end, for each seed.
        log: "tensorboard" or "wandb", or both: the metrics go there, too.
        quiet: show nothing while training.

    Raises:
        UphillError: for anything about the arguments or the environment that can be mended.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    name = name_of(env)
    chosen = _chosen(name, algorithm, algo)
    algorithm = _with_envs(chosen.algorithm, envs)
    decode(BackendName, backend, "backend")
    env_kwargs = decode(dict, env_kwargs or {}, "env_kwargs")
    # Before anything is made: a wrong number or a folder that exists should not cost a wait.
    folder = _free_folder(out, name, chosen.algo, seed)
    choice = choose(env, backend, env_kwargs, is_async)
    experiment = make_experiment(
        env=choice.name,
        is_callable=not isinstance(env, str),
        env_kwargs=choice.env_kwargs,
        backend=choice.backend,
        is_async=is_async,
        algo=chosen.algo,
        algorithm=algorithm,
        seed=seed,
        seeds=seeds,
        steps=chosen.steps if steps is None else steps,
        eval_every=eval_every,
        stop_when_solved=stop_when_solved,
        checkpoint_every=checkpoint_every,
        episodes=episodes,
        log=_sinks(log),
        network="" if network is None else getattr(network, "__name__", repr(network)),
        settings=settings_of(name, chosen.algo, algorithm),
        command=command_line(),
        versions=installed_versions(),
    )
    check_installed(experiment.log)
    seeds = experiment.seeds
    progress = Progress(experiment.steps, quiet, experiment.all_seeds)
    progress.say(
        f"{choice.name}: {experiment.algo}, {experiment.steps:,} steps, {seeds} seed(s); "
        f"backend {choice.backend}, since {choice.reason}."
    )
    progress.say(f"Settings: {experiment.settings}.")
    use_compile_cache()
    trainer = _trainer(choice, experiment, network)
    state = trainer.start()
    if init_from is not None:
        state, origin = _initialized(state, experiment, init_from, network)
        experiment = replace(experiment, init_from=origin)
    experiment = replace(experiment, platform=describe_platform())
    _make_folder(folder)
    write_experiment(folder, experiment)
    if trainer.notice:
        progress.say(trainer.notice)
    metrics, memory = MetricsFile(folder), first_log(state, seeds)
    sinks = open_sinks(folder, experiment, state.num_transitions, progress.say)
    session = Session(
        folder, experiment, trainer, memory, metrics, progress, experiment.episodes, sinks
    )
    return session.run(state, None if isinstance(env, str) else env)


def first_log(state: TrainState, seeds: int) -> Log:
    """What a session remembers at its start."""
    return Log(
        recent=[[] for _ in range(seeds)],
        best_scores=[None] * seeds,
        best_steps=[0] * seeds,
        best_seconds=[0.0] * seeds,
        best=state.learners,
        tracked=[Tracked()] * seeds,
        untrained=jax.device_get(state.learners.actor),
    )


def _trainer(
    choice: EnvironmentChoice,
    experiment: Experiment,
    network: NetworkFactory | None,
    resumed_at: int = 0,
) -> Trainer:
    algorithm, steps = experiment.algorithm, experiment.steps
    every = measuring_interval(algorithm, steps)
    return Trainer(choice, algorithm, experiment.all_seeds, steps, resumed_at, every, network)


def resume(
    run: str | PathLike[str],
    *,
    env: Callable[..., Any] | World | None = None,
    network: NetworkFactory | None = None,
    steps: float | None = None,
    allow_import: bool = False,
    episodes: int | None = None,
    quiet: bool = False,
) -> Run:
    """Go on with a run where its latest checkpoint stands; `steps` extends it. `episodes` are those
    of the evaluation at the end, by default as many as training was asked for.

    Raises:
        UphillError: if the run is finished, damaged, or was made on another kind of device.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    folder = as_path(run, "run")
    experiment = read_experiment(folder)
    manifest = read_manifest(folder / "checkpoint", "latest")
    facts = manifest.facts
    goal: int | None = decode(int | None, whole(encode(steps)), "steps")
    episodes = decode(int | None, encode(episodes), "episodes")
    experiment = _extended(experiment, folder, facts, goal)
    if episodes is not None:
        experiment = replace(experiment, episodes=episodes)
    check_installed(experiment.log)
    use_compile_cache()
    choice = environment_of(experiment, env, allow_import)
    check_network(experiment, network)
    trainer = _trainer(choice, experiment, network, facts.num_updates)
    _check_device(facts.device)
    if (trainer.encoding, trainer.action_kind) != (facts.encoding, facts.action_kind):
        raise UphillError(
            f"The spaces of {choice.name} are not those that the run {folder} was made with."
        )
    tensors = read_tensors(folder / "checkpoint", manifest)
    state = _restored_state(trainer, facts, tensors)
    # Not what `latest` says of it: a crash may have come after `best` was written.
    best = read_manifest(folder / "checkpoint", "best").facts
    log = Log(
        seconds=facts.seconds,
        compile_seconds=facts.compile_seconds,
        pending=_pending(tensors),
        recent=[[list(pair) for pair in recent] for recent in facts.recent],
        best_scores=list(best.best_scores),
        best_steps=[best.moment_of_best(s)[0] for s in range(experiment.seeds)],
        best_seconds=[best.moment_of_best(s)[1] for s in range(experiment.seeds)],
        best=read_learners(folder, experiment, "best", network),
        evaluated_at=facts.evaluated_at,
        tracked=list(facts.tracked),
        milestones=facts.milestones,
        untrained=_untrained(state, tensors),
    )
    write_milestones(folder, log.milestones)  # later ones will be reached again
    metrics = MetricsFile(folder, facts.metrics_offset)
    write_experiment(folder, experiment)
    progress = Progress(experiment.steps, quiet, experiment.all_seeds)
    progress.say(f"Resuming {folder} at {min(state.num_transitions):,} steps.")
    if facts.metrics_offset:
        returns = read_metrics(folder)["rollout/episode_return"]
        points = returns.reshape(-1, experiment.seeds).tolist()
        progress.recall(points, log.milestones)
    sinks = open_sinks(folder, experiment, state.num_transitions, progress.say)
    session = Session(
        folder, experiment, trainer, log, metrics, progress, experiment.episodes, sinks
    )
    return session.run(state, env)


def _chosen(env: str, algorithm: Algorithm | None, algo: str | None) -> Preset:
    """The algorithm that was given, else the preset; and the steps of the preset.

    Raises:
        UphillError: if it is none, there is no algorithm of that name, or both differ.
    """
    if algorithm is not None:
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
        return replace(preset(env, None), algo=algo or algorithm.name, algorithm=algorithm)
    if algo is not None and algo not in ALGORITHMS:
        raise UphillError(f"There is no algorithm {algo!r}: use one of {', '.join(ALGORITHMS)}.")
    return preset(env, algo)


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


def _extended(experiment: Experiment, folder: Path, facts: Facts, steps: int | None) -> Experiment:
    """The experiment, with more steps if they are asked for.

    Raises:
        UphillError: if there is nothing left to do, or the checkpoint is of another experiment.
    """
    if steps is not None and steps < experiment.steps:
        raise UphillError(
            f"steps is {steps}, but the run already goes to {experiment.steps}: use more."
        )
    if steps is not None:
        experiment = replace(experiment, steps=steps)
    is_extended = steps is not None and facts.stopped
    if min(facts.num_transitions) >= experiment.steps or (facts.stopped and not is_extended):
        raise UphillError(
            f"{folder} is finished ({min(facts.num_transitions):,} steps): "
            f"`uphill resume {folder} --steps N` extends it."
        )
    if len(facts.num_transitions) != experiment.seeds:
        raise UphillError(f"The checkpoint in {folder} has not the experiment's number of seeds.")
    return experiment


def _check_device(recorded: dict[str, str]) -> None:
    here = device()
    if recorded != here:
        raise UphillError(
            f"The run was made with {recorded} and this process has {here}: a resumed run would "
            "not repeat bit for bit, so resume it where it was started."
        )


def _restored_state(trainer: Trainer, facts: Facts, tensors: dict[str, np.ndarray]) -> TrainState:
    start = trainer.start()
    learners = restore(start.learners, tensors, "learners.")
    lanes = savable(trainer, start.lanes)
    if lanes is None:
        lanes = start.lanes
        learners = eqx.tree_at(lambda x: x.scales, learners, learners.scales.at_a_reset())
    else:
        lanes = restore(lanes, tensors, "lanes.")
    return TrainState(learners, lanes, facts.num_updates, facts.num_transitions)


def _pending(tensors: dict[str, np.ndarray]) -> Rows | None:
    """The metrics of the updates after the last logging point."""
    prefix = "pending."
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names} or None


def _untrained(state: TrainState, tensors: dict[str, np.ndarray]) -> Any:
    """The actors that training began with, where they are still waited for."""
    prefix = "untrained."
    if not any(name.startswith(prefix) for name in tensors):
        return None
    return restore(state.learners.actor, tensors, prefix)


def _initialized(
    state: TrainState,
    experiment: Experiment,
    init_from: str | PathLike[str],
    network: NetworkFactory | None,
) -> tuple[TrainState, Origin]:
    """The fresh state, with the policy and value function of another run's best seed."""
    has_own = bool(read_experiment(as_path(init_from, "init_from")).network)
    other = Run(init_from, network=network if has_own else None)
    seed = other.experiment.all_seeds[other.best_seed_index]
    manifest = read_manifest(other.path / "checkpoint", "latest")
    origin = Origin(str(other.path), seed, manifest.sha256)

    def taken(of: Experiment) -> Callable[[Learner], tuple]:
        """The networks that are taken over, in a learner of that experiment."""

        def find(learner: Learner) -> tuple:
            networks = of.algorithm.baseline.networks(learner.parts.baseline)
            return (learner.actor,) if networks is None else (learner.actor, networks)

        return find

    trained = taken(other.experiment)(take(other.learners, other.best_seed_index))
    fresh = taken(experiment)(take(state.learners, 0))
    shapes = [jax.tree.map(np.shape, x) for x in (trained, fresh)]
    has_structure = jax.tree.structure(trained) == jax.tree.structure(fresh)
    if not has_structure or jax.tree.leaves(shapes[0]) != jax.tree.leaves(shapes[1]):
        raise UphillError(
            f"init_from is {init_from}, whose networks, spaces or normalisation differ from those "
            "of this run: use the same --algo and network settings."
        )
    repeated = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], experiment.seeds, 0), trained)
    learners = eqx.tree_at(taken(experiment), state.learners, repeated)
    return replace(state, learners=learners), origin


def _free_folder(out: str | PathLike[str] | None, env: str, algo: str, seed: int) -> Path:
    """The run directory to be made.

    Raises:
        UphillError: if it exists: a run is never overwritten.
    """
    if out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = f"{re.sub('[^A-Za-z0-9_.-]+', '-', env)}-{algo}-seed{seed}-{stamp}"
        return unused(Path("runs", name))
    folder = as_path(out, "out")
    if folder.exists() or folder.is_symlink():
        raise UphillError(
            f"{folder} exists already, and a run is never overwritten: choose another --out, or "
            f"`uphill resume {folder}`."
        )
    return folder


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise UphillError(
            f"The run directory {folder} can't be made ({error.strerror}): choose another --out."
        ) from error
