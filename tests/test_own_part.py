"""Parts of a user's own, those of docs/a_part_of_your_own.md: trained, resumed, evaluated and
reported like ours, from Python and from the command line."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trajectories import learner_of, trajectory_of

import uphill
from command_line import parsed, run_cli
from own_part_files import PAGE, ROOT, blocks, my_parts
from small_runs import NETWORK, POLICY, small_ppo, tensors_of, train_small
from uphill.errors import UphillError
from uphill.learning import update as update_module
from uphill.learning.advantages import look_at, make_batch
from uphill.parts import (
    GAE,
    Adam,
    Algorithm,
    Episodes,
    GradientOptimizer,
    Schedule,
    Steps,
    ValueFunction,
    WholeEpisodes,
    Windows,
)
from uphill.runs.configuration import encode

SMALL = ["--policy.hidden", "8", "--steps", "64", "--episodes", "2", "--quiet"]
WINDOWS = [
    *("--algo", "ppo", "--envs", "4", "--sampling.num-steps", "8", "--num-epochs", "2"),
    *("--num-minibatches", "2", "--baseline.network.hidden", "8"),
]
EPISODES = ["--algo", "reinforce", "--envs", "3", "--optimizer.learning-rate", "1e-2"]
MORE = 600  # steps; more than any first batch of whole episodes has
SHOWN: dict[str, tuple[str, list[str]]] = {
    "SPO": ("surrogate", [*WINDOWS, "--surrogate.epsilon", "0.1"]),
    "Linear": ("baseline", EPISODES),
    "VTrace": ("estimator", [*WINDOWS, "--estimator.lam", "0.8", "--recompute-advantages"]),
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's parts, in a folder that is the current one."""
    return my_parts(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", SHOWN)
def test_a_part_of_the_page_is_as_good_as_ours(
    name: str, mine: Any, tmp_path: Path, state_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    field, words = SHOWN[name]
    part = getattr(mine, name)
    argv = ["CartPole-v1", *words, f"--{field}", f"my_parts:{name}", *SMALL]
    out = tmp_path / "run"
    assert run_cli("train", *argv, "--out", out, "--json") == 0
    written = json.loads((out / "experiment.json").read_text())["algorithm"][field]
    assert written["$type"] == f"my_parts:{name}"
    assert (
        f"--{field} my_parts:{name}"
        in json.loads((out / "experiment.json").read_text())["settings"]
    )

    # From Python the same is learned, to the bit.
    options, algorithm, _ = parsed(*argv)
    assert isinstance(getattr(algorithm, field), part)
    run = uphill.train(
        options.env, algorithm, algo=options.algo, steps=64, episodes=2, quiet=True,
        out=tmp_path / "again",
    )  # fmt: skip
    ours, theirs = tensors_of(out), tensors_of(run.path)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)

    # What is drawn from measurements needs no part; what computes does, and says so.
    assert run_cli("plot", out) == 0
    assert run_cli("report", out, "--no-films") == 0
    assert f"my_parts:{name}" in (out / "report.html").read_text()
    capfd.readouterr()
    for command in (
        ["evaluate", out, "--episodes", 2],
        ["resume", out, "--steps", MORE, "--quiet"],
    ):
        shutil.rmtree(state_home / "uphill", ignore_errors=True)  # as if somebody else had trained
        assert run_cli(*command) == 1
        said = capfd.readouterr().err
        assert f"{field} is my_parts:{name}, a custom part: give it again with " in said
        assert f"parts=[{name}]" in said
        assert run_cli(*command, "--allow-import") == 0
    assert uphill.load(out).policy is not None  # now that it was allowed
    assert uphill.load(out).experiment.steps == MORE
    resumed = uphill.resume(run.path, parts=[part], steps=MORE, quiet=True)
    assert all(np.array_equal(tensors_of(out)[k], x) for k, x in tensors_of(resumed.path).items())
    again = uphill.load(run.path, parts=[part])
    assert getattr(again.experiment.algorithm, field) == getattr(algorithm, field)
    assert again.policy.act(np.zeros(4, np.float32)) in (0, 1)
    assert uphill.evaluate(run.path, 2, parts=[part])["episodes"] == 2


MORE_PARTS = """
import jax.numpy as jnp
import equinox as eqx
import optax
from uphill.parts import GradientOptimizer, Schedule, Windows


class Warmup(Schedule):
    peak: float = 1e-3

    def at(self, progress):
        return self.peak * jnp.minimum(1.0, 10.0 * progress)


class Strips(Windows):
    num_envs: int = eqx.field(static=True, default=4)
    length: int = eqx.field(static=True, default=8)

    @property
    def num_steps(self):
        return self.length


class Heavy(GradientOptimizer):
    rate: float = 0.01
    momentum: float = 0.5

    def transform(self):
        return optax.sgd(self.rate, self.momentum)
"""
FLAGS: dict[str, list[str]] = {
    "sampling": ["--sampling", "my_others:Strips", "--sampling.length", "16"],
    "optimizer": ["--optimizer", "my_others:Heavy", "--optimizer.momentum", "0.25"],
    "optimizer.learning_rate": ["--optimizer.learning-rate", "my_others:Warmup"],
}


@pytest.mark.parametrize("field", FLAGS)
def test_a_sampling_an_optimizer_and_a_schedule_are_flags_too(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_others.py").write_text(MORE_PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--algo", "ppo", "--num-epochs", "1", "--num-minibatches", "1"]
    words += ["--baseline.network.hidden", "8", *FLAGS[field], *SMALL]
    if field != "sampling":
        words += ["--envs", "4", "--sampling.num-steps", "8"]
    assert run_cli("train", "CartPole-v1", *words, "--out", "run") == 0
    assert run_cli("resume", "run", "--steps", MORE, "--quiet") == 0
    assert run_cli("evaluate", "run", "--episodes", 2) == 0
    part: Any = uphill.load("run").experiment.composition
    for name in field.split("."):
        part = getattr(part, name)
    assert f"{type(part).__module__}:{type(part).__name__}" == FLAGS[field][1]
    if len(FLAGS[field]) > 2:
        name, value = FLAGS[field][2].rpartition(".")[2], FLAGS[field][3]
        assert getattr(part, name) == pytest.approx(float(value))


def test_the_example_defines_what_the_page_shows() -> None:
    example = (ROOT / "examples/own_part.py").read_text()
    for name in SHOWN:
        block = next(block for block in blocks() if f"class {name}(" in block)
        definition = re.search(rf"^class {name}\(.*?(?=\n\n\n|\Z)", block, re.DOTALL | re.MULTILINE)
        assert definition is not None
        text = definition.group().rstrip()
        assert text in example
        assert len([line for line in text.splitlines() if line]) < 20, name


def test_the_page_is_linked() -> None:
    assert PAGE.name in (ROOT / "README.md").read_text()
    assert PAGE.name in (ROOT / "docs/algorithms.md").read_text()


# --- V-trace ------------------------------------------------------------------------------------


def v_trace(reward, terminated, truncated, value, final_value, rho, gamma, lam):
    """Advantages and targets, from the definition: v_s = V_s + Σ_t γ^(t−s) (Π_i c_i) ρ_t δ_t, one
    environment and one step at a time."""
    num_steps, num_envs = reward.shape
    following = np.concatenate([value[1:], final_value[None]])
    target, advantage = np.zeros_like(value), np.zeros_like(value)
    for n in range(num_envs):
        for s in range(num_steps):
            weight, total = 1.0, 0.0
            for t in range(s, num_steps):
                bootstrap = 0.0 if terminated[t, n] else following[t, n]
                delta = reward[t, n] + gamma * bootstrap - value[t, n]
                total += weight * rho[t, n] * delta
                advantage[s, n] += weight * (1.0 if t == s else rho[t, n] / rho[s, n]) * delta
                if terminated[t, n] or truncated[t, n]:
                    break
                weight *= gamma * lam * rho[t, n]
            target[s, n] = value[s, n] + total
    return advantage, target


def test_v_trace_sees_the_policy_of_each_epoch(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = mine.VTrace(gamma=0.9, lam=0.8)
    algorithm = uphill.ppo(
        sampling=Steps(4, 12), policy=POLICY, baseline=ValueFunction(network=NETWORK),
        estimator=estimator, optimizer=Adam(5e-2), num_epochs=2, num_minibatches=1,
        scale_advantages="none", recompute_advantages=True,
    )  # fmt: skip
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    epochs: list[tuple[np.ndarray, ...]] = []

    def watched(algorithm: Algorithm, learner: Any, trajectory: Any) -> Any:
        batch, metrics = make_batch(algorithm, learner, trajectory)
        seen = look_at(algorithm, learner, trajectory)
        log_prob = learner.actor.policy(seen.features).log_prob(trajectory.action)
        shape = trajectory.mask.shape
        known = (batch.advantage.reshape(shape), batch.target.reshape(shape), log_prob)
        jax.debug.callback(lambda *x: epochs.append(x), *known, seen.value, seen.final_value)
        return batch, metrics

    monkeypatch.setattr(update_module, "make_batch", watched)
    jax.block_until_ready(update_module.update(algorithm, learner, trajectory, jax.random.key(0)))
    jax.effects_barrier()
    assert len(epochs) == 3  # the batch itself, and anew before each of two epochs
    gae = eqx.tree_at(lambda a: a.estimator, algorithm, GAE(gamma=0.9, lam=0.8))
    first = np.asarray(make_batch(gae, learner, trajectory)[0].advantage).reshape(12, 4)
    valid = np.asarray(trajectory.mask)
    np.testing.assert_allclose(epochs[0][0][valid], first[valid], rtol=1e-5, atol=1e-6)
    advantage, target, log_prob, value, final_value = (np.asarray(x, float) for x in epochs[2])
    t = jax.tree.map(np.asarray, trajectory)
    rho = np.minimum(1.0, np.exp(log_prob - t.log_prob))
    assert (rho[valid] < 0.999).any()
    expected = v_trace(
        *(t.reward, t.terminated, t.truncated, value, final_value, rho), gamma=0.9, lam=0.8
    )
    np.testing.assert_allclose(advantage[valid], expected[0][valid], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(target[valid], expected[1][valid], rtol=1e-4, atol=1e-5)
    # The generalised advantage estimate with the same V is another.
    same_v = v_trace(
        *(t.reward, t.terminated, t.truncated, value, final_value, np.ones_like(rho)),
        gamma=0.9, lam=0.8,
    )[0]  # fmt: skip
    assert np.abs(advantage - same_v)[valid].max() > 1e-3


# --- the other kinds ----------------------------------------------------------------------------


class Warmup(Schedule):
    """Up to the peak in the first half."""

    peak: float = 1e-2

    def at(self, progress: Any) -> Any:
        return self.peak * jnp.minimum(1.0, 2.0 * progress)


class Sign(GradientOptimizer):
    """The sign of the gradient."""

    learning_rate: Schedule = eqx.field(converter=Schedule.of("learning_rate"), default=1e-3)
    """Step size."""

    def transform(self) -> optax.GradientTransformation:
        step = self.learning_rate.value
        return optax.stateless(lambda g, _: jax.tree.map(lambda x: -step * jnp.sign(x), g))


class TwoSizes(Windows):
    """A window whose length depends on how many environments there are."""

    num_envs: int = eqx.field(static=True, default=4)
    total: int = eqx.field(static=True, default=32)
    """Transitions of one update."""

    @property
    def num_steps(self) -> int:
        return self.total // self.num_envs


class Pairs(WholeEpisodes):
    """Two episodes of every environment."""

    num_envs: int = eqx.field(static=True, default=3)

    @property
    def per_env(self) -> int:
        return 2


OTHERS: dict[str, tuple[Any, list[Any]]] = {
    "schedule": (lambda: small_ppo(optimizer=Adam(Warmup()), entropy=Warmup(1e-3)), [Warmup]),
    "optimizer": (lambda: small_ppo(optimizer=Sign(Warmup())), [Sign, Warmup]),
    "windows": (lambda: small_ppo(sampling=TwoSizes()), [TwoSizes]),
    "episodes": (lambda: uphill.reinforce(sampling=Pairs(), policy=POLICY), [Pairs]),
    "optax": (lambda: small_ppo(optimizer=optax.lion(1e-3)), [optax.lion(1e-3)]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_parts_of_other_kinds_are_as_good(name: str, tmp_path: Path, state_home: Path) -> None:
    make, given = OTHERS[name]
    algorithm = make()
    run = train_small(tmp_path / "run", algorithm, steps=96, episodes=2)
    shutil.copytree(run.path, tmp_path / "longer")
    shutil.rmtree(state_home / "uphill", ignore_errors=True)  # as if somebody else had trained
    with pytest.raises(UphillError, match=r"give it again with parts=\["):
        uphill.resume(tmp_path / "longer", steps=MORE, quiet=True)
    resumed = uphill.resume(tmp_path / "longer", parts=given, steps=MORE, episodes=2, quiet=True)
    assert resumed.experiment.steps == MORE
    assert resumed.evaluation is not None
    read = uphill.load(run.path, parts=given).experiment.algorithm
    assert encode(read) == encode(algorithm)
    assert uphill.load(run.path).plot().exists()


def test_windows_of_ones_own_lengths_are_those_of_steps(tmp_path: Path) -> None:
    own = train_small(tmp_path / "own", small_ppo(sampling=TwoSizes(4, 32)), steps=96)
    ours = train_small(tmp_path / "ours", small_ppo(sampling=Steps(4, 8)), steps=96)
    found, expected = tensors_of(own.path), tensors_of(ours.path)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    pairs = uphill.reinforce(sampling=Pairs(3), policy=POLICY)
    own = train_small(tmp_path / "own pairs", pairs, steps=96)
    episodes = uphill.reinforce(sampling=Episodes(3, per_env=2), policy=POLICY)
    ours = train_small(tmp_path / "our pairs", episodes, steps=96)
    found, expected = tensors_of(own.path), tensors_of(ours.path)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
