"""How noisy, and how biased, is each estimator of the gradient? Measured at a fixed policy.

Every estimator sees the same batches of whole episodes. Its value functions are fitted to other
episodes of the same policy.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice, choose
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.runs.configuration import decode
from uphill.runs.experiment import command_line, describe_platform, installed_versions
from uphill.runs.files import make_folder, write_json
from uphill.runs.given import alterations_of, other_limit
from uphill.runs.keywords import taken_as
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun
from uphill.runs.studies import VarianceSettings
from uphill.sessions.display import Progress
from uphill.sessions.presets import preset
from uphill.studies.variance.gradients import (
    Entry,
    Fitted,
    entries,
    fit,
    fitting,
    gradients,
    reference,
)
from uphill.studies.variance.picture import plot_variance
from uphill.theory.statistics import draws, middle_95
from uphill.training.cores import usable_cores
from uphill.training.process import use_compile_cache, use_cores
from uphill.training.seeds import over_seeds, seed_keys
from uphill.training.trainer import Trainer
from uphill.trajectory import Array
from uphill.words import option

FIT_BATCHES = 96
"""Batches that the value functions are fitted to."""
CHUNK = 32
"""Batches in one call of the compiled program."""
FEWER = (1, 4)
"""Rollouts in a batch, besides all of them and, in compiled worlds, 4 and 16 times as many."""
MORE = (4, 16)
NUM_BY_CHANCE = 2000
_OF_THE_ENVIRONMENT = ("wrappers", "drop_observations", "reset_options")
"""What alters an environment, besides its time limit."""
_LEAST = 1e-300
_MOST_BIAS = 10.0
"""In lengths of the gradient: where chance alone gives that length, a bias may be any multiple."""


@dataclass(frozen=True)
class VarianceRequest(VarianceSettings):
    """A request for a measurement: the arguments of `measure_variance`."""

    env: str
    """An ID, or `module:ID`."""
    env_kwargs: dict[str, Any] | None = field(default=None, kw_only=True)
    """Keyword arguments of the environment."""


@taken_as(VarianceRequest)
def measure_variance(request: VarianceRequest) -> dict[str, Any]:
    """Variance and bias of every estimator of the policy gradient, at a fresh policy or that of a
    run; written to `variance.json` and `variance.png`, and returned.

    Each of `batches` batches is one whole episode of each of `envs` environments.

    Raises:
        UphillError: for anything about the arguments or the environment that the user can fix.
    """
    env, run, out, quiet = request.env, request.run, request.out, request.quiet
    gamma, envs, batches = request.gamma, request.envs, request.batches
    decode(str, env, "env")
    if batches < 32:
        raise UphillError(f"batches is {batches}: use at least 32, or nothing can be said.")
    if envs < 2:
        raise UphillError(f"envs is {envs}: use at least 2.")
    if not 0 <= gamma <= 1:
        raise UphillError(f"gamma is {gamma}: use a number from 0 to 1.")
    started, progress = time.perf_counter(), Progress(batches, quiet)
    place = _place(out, run, env)
    measured = _measurement_of(request)
    folder = make_folder(place) if out is not None or run is None else place
    try:
        progress.say(f"Fitting value functions to {FIT_BATCHES * envs} episodes …")
        explained = measured.fit()
        progress.say(f"{batches} batches of {envs} episodes for {len(measured.table)} estimators …")
        result = measured.result(batches, progress)
    finally:
        measured.close()
    result = {
        "env": env,
        "run": None if run is None else str(run),
        "gamma": gamma,
        "envs": envs,
        "batches": batches,
        "explained_variance": explained,
        **result,
        "seconds": time.perf_counter() - started,
        "command": command_line(),
        "versions": installed_versions(),
        "platform": describe_platform(),
    }
    result["picture"] = str(plot_variance(folder / "variance.png", result))
    write_json(folder / "variance.json", result)
    return result


def _measurement_of(request: VarianceRequest) -> "_Measurement":
    """What is measured, and where.

    Raises:
        UphillError: if a run is to be measured in another environment than it was trained in.
    """
    run, limit = request.run, other_limit(request.max_episode_steps)
    alterations = alterations_of(request, request.wrappers)
    if run is None:
        choice = choose(request.env, request.backend, request.env_kwargs, alterations=alterations)
        return _Measurement(choice, None, request.gamma, request.envs, request.seed)
    given = {name: getattr(alterations, name) for name in _OF_THE_ENVIRONMENT}
    given |= {"env_kwargs": request.env_kwargs, "backend": request.backend != "auto"}
    for name in (name for name, value in given.items() if value):
        flag = "env" if name == "env_kwargs" else name
        raise UphillError(
            f"run is {run}, whose environment stays as it was in training: leave out "
            f"{option(flag)}."
        )
    trained = _trained(request.env, run, request.allow_import)
    choice = trained.choice(request.allow_import, **limit)
    return _Measurement(choice, trained, request.gamma, request.envs, request.seed)


def _place(out: str | PathLike[str] | None, run: str | PathLike[str] | None, env: str) -> Place:
    """The folder to write to: that of the run, where no other is given."""
    name = f"variance-{env.replace('/', '-').replace(':', '-')}"
    return Place.of(out or run or Path("runs", name))


def _trained(env: str, run: str | PathLike[str], allow_import: bool) -> SavedRun:
    """The run whose policy is measured.

    Raises:
        UphillError: if it was trained on another environment than `env`.
    """
    trained = SavedRun(run, allow_import=allow_import)
    if trained.experiment.env != env:
        raise UphillError(
            f"ENV is {env}, but the run {run} was trained on {trained.experiment.env}: name that."
        )
    return trained


class _Measurement:
    """One policy, its environments, and the programs that measure its gradients."""

    def __init__(
        self,
        choice: EnvironmentChoice,
        trained: SavedRun | None,
        gamma: float,
        envs: int,
        seed: int,
    ) -> None:
        algorithm = (
            preset(choice.name).algorithm if trained is None else trained.experiment.algorithm
        )
        settings = algorithm.policy
        use_cores(usable_cores(), choice.backend != "compiled")
        use_compile_cache()
        jax.devices()  # the trainer asks for one device, but batches are spread over the cores
        self.table: list[Entry] = entries(gamma, envs)
        self.base = fitting(gamma, envs, settings)
        actor = None if trained is None else take(trained.learners, trained.seed_index).actor
        encoding = None if actor is None else actor.encoding
        self.trainer = Trainer(choice, self.base, (seed,), 1, encoding=encoding)
        self.is_compiled = isinstance(self.trainer.env, CompiledEnvironment)
        learner = take(self.trainer.start().learners, 0)
        if actor is not None:
            learner = eqx.tree_at(lambda x: x.actor, learner, actor)
        self.fitted = Fitted(learner, np.zeros(2, np.float32))
        self.key, self.envs = seed_keys((seed,))[0], envs

    def close(self) -> None:
        self.trainer.close()

    def fit(self) -> float:
        """Fit the value functions; the part of the returns' variance that V explains."""

        def step(algorithm: Any, fitted: Fitted, trajectory: Any, key: Any) -> tuple:
            fitted, metrics = fit(algorithm, fitted, trajectory, key)
            return fitted, metrics["value/explained_variance"]

        keys = jax.random.split(jax.random.fold_in(self.key, 0), FIT_BATCHES)
        if self.is_compiled:

            def all_steps(algorithm: Any, fitted: Fitted, keys: Any) -> tuple:
                def one(fitted: Fitted, key: Any) -> tuple:
                    trajectory = self.trainer.episodes(fitted.learner.actor, key)
                    return step(algorithm, fitted, trajectory, key)

                return jax.lax.scan(one, fitted, keys)

            fresh = jax.tree.map(jnp.asarray, self.fitted)
            self.fitted, explained = jax.jit(all_steps)(self.base, fresh, keys)
        else:
            one, explained = jax.jit(step), []
            for key in keys:
                trajectory = self.trainer.episodes(self.fitted.learner.actor, key)
                self.fitted, each = one(self.base, self.fitted, trajectory, key)
                explained.append(each)
        self.fitted = jax.device_get(self.fitted)
        return float(np.mean(np.asarray(explained)[-8:]))

    def result(self, batches: int, progress: Progress) -> dict[str, Any]:
        """Everything that is measured, as plain data."""
        fewer = tuple(n for n in FEWER if n < self.envs)
        found = list(self._gradients(self.table, batches, 1, fewer))
        g = np.stack([gradient for gradient, _ in found], 1).astype(np.float64)
        steps = sum(int(count) for _, count in found)
        e, swept = len(self.table), self._swept()
        sizes = {self.envs: g[swept]}
        for k, n in enumerate(fewer):
            sizes[n] = g[e * (k + 1) : e * (k + 2)][swept]
        if self.is_compiled:
            progress.say(f"The same with up to {self.envs * MORE[-1]} episodes in a batch …")
            more = self._gradients([self.table[k] for k in swept], batches * MORE[-1], 2, ())
            means = [np.mean([x for x, _ in group], 0) for group in _groups(more, MORE[0])]
            sizes[self.envs * MORE[0]] = np.stack(means[:batches], 1)
            largest = [np.mean(group, 0) for group in _groups(iter(means), MORE[1] // MORE[0])]
            sizes[self.envs * MORE[1]] = np.stack(largest, 1)
        return {
            "steps": steps,
            "reference": reference(self.table),
            "estimators": self._estimators(g[:e]),
            "rollouts": self._rollouts(sizes),
        }

    def _swept(self) -> list[int]:
        """The entries that are looked at with more and with fewer rollouts: additive ones."""
        wanted = (("reward-to-go", "none"), ("reward-to-go", "value function"))
        return [k for k, entry in enumerate(self.table) if entry[:2] in wanted]

    def _estimators(self, g: Float[np.ndarray, "E K P"]) -> list[dict[str, Any]]:
        # All rows are of the same resampled batches, and so are both parts of each ratio.
        exact, weights = g[reference(self.table)], resampled(g.shape[1])
        plain = next(k for k, e in enumerate(self.table) if e[:2] == ("reward-to-go", "none"))
        unit = np.maximum(variance(g[plain], weights), _LEAST)
        length = np.maximum(_length(exact, weights), _LEAST)
        rows = []
        for entry, own in zip(self.table, g, strict=True):
            v = variance(own, weights)
            v_of_all, interval = with_interval(v)
            relative, relative_interval = with_interval(v / unit)
            apart = own - exact
            distance = _length(apart, weights) / length
            bias, bias_interval = with_interval(np.minimum(distance, _MOST_BIAS))
            signal = max(float(squared_length(own, weights)[0]), 0.0)
            rows.append(
                {
                    "estimator": entry.estimator,
                    "baseline": entry.baseline,
                    "variance": v_of_all,
                    "variance_ci95": interval,
                    "relative_variance": relative,
                    "relative_variance_ci95": relative_interval,
                    "snr": signal / max(v_of_all, _LEAST),
                    "bias": bias,
                    "bias_ci95": bias_interval,
                    "bias_by_chance": min(length_by_chance(apart) / length[0], _MOST_BIAS),
                    "cosine": cosine(own.mean(0), exact.mean(0)),
                }
            )
        return rows

    def _rollouts(self, sizes: dict[int, np.ndarray]) -> list[dict[str, Any]]:
        rows = []
        for n, (k, index) in itertools.product(sorted(sizes), enumerate(self._swept())):
            own = np.asarray(sizes[n][k], np.float64)
            v, interval = with_interval(variance(own, resampled(len(own))))
            names = {
                "estimator": self.table[index].estimator,
                "baseline": self.table[index].baseline,
            }
            rows.append({**names, "rollouts": n, "variance": v, "variance_ci95": interval})
        return rows

    def _gradients(
        self,
        table: list[Entry],
        batches: int,
        fold: int,
        lanes: tuple[int, ...],
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each batch: the gradients of all entries `[E, P]`, and its transitions."""

        def of(shared: tuple, trajectory: Any) -> tuple[Array, Array]:
            algorithms, fitted = shared
            entries = [e._replace(algorithm=a) for e, a in zip(table, algorithms, strict=True)]
            return gradients(entries, fitted, trajectory, lanes), trajectory.mask.sum()

        keys = jax.random.split(jax.random.fold_in(self.key, fold), -(-batches // CHUNK) * CHUNK)
        shared = ([entry.algorithm for entry in table], self.fitted)
        if not self.is_compiled:
            one = jax.jit(of)
            for key in keys[:batches]:
                trajectory = self.trainer.episodes(self.fitted.learner.actor, key)
                gradient, count = one(shared, trajectory)
                yield np.asarray(gradient), np.asarray(count)
            return

        def with_episodes(shared: tuple, key: Any) -> tuple[Array, Array]:
            return of(shared, self.trainer.episodes(shared[1].learner.actor, key))

        program = jax.jit(over_seeds(with_episodes, CHUNK))
        left = batches
        for start in range(0, len(keys), CHUNK):
            gradient, count = jax.device_get(program(shared, keys[start : start + CHUNK]))
            yield from zip(gradient[:left], count[:left], strict=True)
            left -= CHUNK


def _groups(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while group := list(itertools.islice(items, size)):
        yield group


# --- statistics of vectors ----------------------------------------------------------------------


def resampled(count: int) -> Float[np.ndarray, "R K"]:
    """How often each of K things counts: in the first row once, in every other row as often as a
    bootstrap drew it. Always the same for the same K."""
    return np.concatenate([np.ones((1, count)), draws(count)])


def with_interval(values: Float[np.ndarray, " R"]) -> tuple[float, list[float]]:
    """A statistic and its 95 % percentile-bootstrap interval, from its values for each row of
    `resampled`.

    A function of several statistics, a ratio say, is to be formed before: row by row, then what
    both have in common cancels.
    """
    low, high = middle_95(values[1:])
    return float(values[0]), [float(low), float(high)]


def variance(
    g: Float[np.ndarray, "K P"], weights: Float[np.ndarray, "R K"]
) -> Float[np.ndarray, " R"]:
    """The variance of a random vector, tr Cov(g), from K independent ones, of which each row of
    `weights` says how often each counts.

    Σ_k ‖g_k − ḡ‖² / (K − 1)
    """
    gram, count = _gram(g - g.mean(0)), len(g)
    squares = weights @ np.diag(gram) / count
    means = ((weights @ gram) * weights).sum(1) / count**2
    return (squares - means) * count / (count - 1)


def squared_length(
    g: Float[np.ndarray, "K P"], weights: Float[np.ndarray, "R K"]
) -> Float[np.ndarray, " R"]:
    """‖E g‖² without the noise's share, which a squared mean contains; `weights` as in `variance`.
    By chance it may be negative.

    Σ_{k≠l} g_k · g_l / (K (K − 1))
    """
    gram = _gram(g)
    # Pairs of one vector with itself are left out, also those that resampling makes.
    pairs = ((weights @ gram) * weights).sum(1) - weights**2 @ np.diag(gram)
    return pairs / (weights.sum(1) ** 2 - (weights**2).sum(1))


def cosine(x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"]) -> float:
    """The cosine of the angle between two vectors; 0 where one of them is 0."""
    lengths = [max(float(np.linalg.norm(each)), _LEAST) for each in (x, y)]
    return float((x / lengths[0]) @ (y / lengths[1]))


def _length(
    g: Float[np.ndarray, "K P"], weights: Float[np.ndarray, "R K"]
) -> Float[np.ndarray, " R"]:
    return np.sqrt(np.maximum(squared_length(g, weights), 0.0))


def length_by_chance(g: Float[np.ndarray, "K P"]) -> float:
    """An upper bound on the measured length of an expectation that is zero: in 95 of 100
    measurements as noisy as these it is shorter. With random signs, the vectors have expectation
    zero and the same noise.
    """
    gram, count = _gram(g - g.mean(0)), len(g)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(NUM_BY_CHANCE, count))
    pairs = ((signs @ gram) * signs).sum(1) - np.trace(gram)
    lengths = np.sqrt(np.maximum(pairs / (count * (count - 1)), 0.0))
    return float(np.quantile(lengths, 0.95))


def _gram(g: np.ndarray) -> np.ndarray:
    return g @ g.T
