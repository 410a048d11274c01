"""Stages: candidate episodes, played without being drawn, and drawn as they were played."""

from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

from small_runs import small_ppo
from uphill.envs.alterations import Alterations
from uphill.envs.backends.pool_of_one import PooledEnv
from uphill.envs.make import choose
from uphill.envs.pictures import render
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError
from uphill.learning.learner import make_learner
from uphill.policies.actions import action_kind_of
from uphill.policies.actor import Actor
from uphill.policies.encodings import encoding_of
from uphill.policies.trained import TrainedPolicy
from uphill.views.films import stages
from uphill.views.films.stages import CANDIDATES, HOST_CANDIDATES, stage_of


def actor_for(env: Any, scale: float = 200.0) -> Actor:
    """An untrained policy, far from uniform."""
    encoding, kind = encoding_of(env.observation_space), action_kind_of(env.action_space)
    actor = make_learner(small_ppo(), encoding, kind, 3).actor
    head = jax.tree.map(lambda x: scale * x, actor.policy.head)
    return Actor(
        type(actor.policy)(actor.policy.trunk, head, actor.policy.log_std, kind),
        None,
        actor.encoding,
    )


class Clockwork(gymnasium.Env):
    """An episode of 3 to 12 steps, which its seed decides; every picture shows which step it is."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 Gymnasium's
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    spec = None

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.elapsed, self.length = 0, int(self.np_random.integers(3, 13))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        observation = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return observation, 1.0 + action, self.elapsed >= self.length, False, {}

    def render(self) -> Any:
        return np.full((20, 30, 3), 20 * self.elapsed, np.uint8)


def test_a_compiled_episode_is_the_one_that_gymnasium_plays_from_the_same_state() -> None:
    actor = actor_for(WORLDS["CartPole-v1"])
    with stage_of(choose("CartPole-v1")) as stage:
        assert (stage.name, stage.fps) == ("CartPole-v1", 50)
        episodes = stage.play(actor, True, 1)
        pictures = list(episodes[5].draw([0, 1], None))
    assert len(episodes) == CANDIDATES
    key, world = jax.random.key(stages._FILM_SEED), WORLDS["CartPole-v1"]
    found = stages._play_all(world, None, CANDIDATES, actor, key, np.bool_(True))
    states = jax.device_get(found)[0]
    env, policy = gymnasium.make("CartPole-v1"), TrainedPolicy(actor)
    for k in (0, 5, 9):
        first = jax.tree.map(lambda x, k=k: x[k, 0], states)
        env.reset(seed=0)
        observation = np.asarray(WORLDS["CartPole-v1"].observation(first))
        env.unwrapped.state = observation.astype(np.float64)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
            total, over = total + float(reward), terminated or truncated
        assert episodes[k].total == total
        np.testing.assert_array_equal(episodes[k].returns, np.arange(total + 1))
    for t, picture in enumerate(pictures):
        state = jax.tree.map(lambda x, t=t: x[5, t], states)
        np.testing.assert_array_equal(picture, render(WORLDS["CartPole-v1"], state))


def test_sampled_episodes_differ_from_deterministic_ones_and_repeat_themselves() -> None:
    actor = actor_for(WORLDS["CartPole-v1"], scale=1.0)
    with stage_of(choose("CartPole-v1")) as stage:
        modes, samples, again = (
            [episode.total for episode in stage.play(actor, is_mode, 1)]
            for is_mode in (True, False, False)
        )
    assert samples == again
    assert samples != modes
    assert len(set(samples)) > CANDIDATES / 4


def test_a_python_episode_is_played_again_to_be_drawn() -> None:
    actor = actor_for(Clockwork())
    with stage_of(choose(Clockwork)) as stage:
        assert stage.fps == 10
        episodes = stage.play(actor, False, 1)
        assert len(episodes) == HOST_CANDIDATES
        assert len({len(episode.returns) for episode in episodes}) > 2
        for episode in (episodes[3], episodes[0]):
            length = len(episode.returns) - 1
            wanted = [0, 2, length]
            shown = [int(picture[0, 0, 0]) for picture in episode.draw(wanted, None)]
            assert shown == [20 * t for t in wanted]
        assert [x.total for x in stage.play(actor, False, 1)] == [x.total for x in episodes]
        assert len(stage.play(actor, True, 11)) == 11


def test_few_candidates_of_long_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "HOST_STEPS", 10)
    with stage_of(choose(Clockwork)) as stage:
        played = stage.play(actor_for(Clockwork()), True, 1)
    lengths = [len(episode.returns) - 1 for episode in played]
    assert sum(lengths[:-1]) < 10 <= sum(lengths)


def test_few_candidates_of_slow_episodes_which_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "HOST_SECONDS", 0.0)
    with stage_of(choose(Clockwork)) as stage:
        assert len(stage.play(actor_for(Clockwork()), True, 2)) == 2
    assert "Clockwork is slow: the film's episode is one of 2 played." in capsys.readouterr().err


class Endless(Clockwork):
    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.length = 10**9
        return super().step(action)


def test_an_episode_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LONGEST", 7)
    with stage_of(choose(Endless)) as stage:
        assert len(stage.play(actor_for(Clockwork()), True, 1)[0].returns) == 8


class OldStyle:
    """An environment of the old Gym."""

    observation_space = Clockwork.observation_space
    action_space = Clockwork.action_space

    def reset(self) -> Any:
        self.elapsed = 0
        return np.zeros(2, np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, dict]:
        self.elapsed += 1
        return np.zeros(2, np.float32), 1.0, self.elapsed >= 4, {}

    def render(self, mode: str = "human") -> Any:
        return np.full((20, 30, 3), 20 * self.elapsed, np.uint8) if mode == "rgb_array" else None


class OwnMode(Clockwork):
    """Takes no render mode, and draws all the same."""

    def __init__(self) -> None:
        super().__init__("rgb_array")


@pytest.mark.parametrize("maker", [OldStyle, OwnMode])
def test_other_ways_to_ask_for_pictures(maker: Any) -> None:
    with stage_of(choose(maker)) as stage:
        episode = stage.play(actor_for(Clockwork()), True, 1)[0]
        assert [int(picture[0, 0, 0]) for picture in episode.draw([1, 2], None)] == [20, 40]


def test_what_only_envpool_has_is_drawn_by_envpool() -> None:
    name = "MiniGrid-Empty-5x5-v0"
    with stage_of(choose(name, "envpool")) as stage:
        episode = stage.play(actor_for(PooledEnv(name, {})), False, 1)[0]
        first, last = episode.draw([0, len(episode.returns) - 1], None)
    assert first.shape == last.shape == (160, 160, 3)
    assert (first != last).any()


# --- what can't be filmed -----------------------------------------------------------------------


class NoPictures(Clockwork):
    def __init__(self) -> None:
        super().__init__()


class TextOnly(Clockwork):
    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 Gymnasium's


class NotWritten(Clockwork):
    def render(self) -> Any:
        raise NotImplementedError


class Nothing(Clockwork):
    def render(self) -> Any:
        return None


class Gray(Clockwork):
    def render(self) -> Any:
        return np.zeros((20, 30), np.float32)


class NoDisplay(Clockwork):
    def render(self) -> Any:
        raise RuntimeError("No OpenGL backend could be imported.")


class NeedsPackage(Clockwork):
    def render(self) -> Any:
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")


class Seedless(Clockwork):
    """Whatever its seed, its episodes become shorter and shorter."""

    num_episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        result = super().reset(seed=seed)
        self.num_episodes += 1
        self.length = 20 - self.num_episodes
        return result


class Wider(Clockwork):
    observation_space = spaces.Box(-1, 1, (3,), np.float32)

    def reset(self, **keywords: Any) -> tuple[Any, dict]:
        super().reset(**keywords)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.zeros(3, np.float32), *super().step(action)[1:]


class MoreActions(Clockwork):
    action_space = spaces.Discrete(3)


@pytest.mark.parametrize(
    ("maker", "sentence"),
    [
        (NoPictures, "NoPictures can't draw itself: its maker takes no render_mode"),
        (TextOnly, "TextOnly can't draw itself: .* rgb_array, and it has ansi"),
        (NotWritten, r"NotWritten can't draw itself: it has no render\(\)"),
        (Nothing, r"Nothing can't be filmed: render\(\) returned None"),
        (Gray, r"returned an array of float32 and shape \(20, 30\), not an RGB picture"),
        (NoDisplay, "no OpenGL that works without a display .* set MUJOCO_GL to egl or osmesa"),
        (NeedsPackage, "needs a package to draw itself that is missing: pygame"),
        (Seedless, "plays another episode when it is reset with the same seed"),
        (Wider, r"Gymnasium's version observes .*\(3,\).* trained on .*\(2,\)"),
        (MoreActions, r"takes Discrete\(3\), and the policy was trained to give Choice\(size=2"),
    ],
)
def test_what_can_not_be_filmed_is_said_in_a_sentence(maker: Any, sentence: str) -> None:
    with pytest.raises(UphillError, match=sentence):
        first_and_last(maker, actor_for(Clockwork()))


def first_and_last(maker: Any, actor: Actor) -> list[np.ndarray]:
    with stage_of(choose(maker)) as stage:
        episode = stage.play(actor, True, 1)[0]
        return list(episode.draw([0, len(episode.returns) - 1], None))


def test_another_time_limit_holds_in_films_too() -> None:
    for backend in ("compiled", "gymnasium"):
        choice = choose("CartPole-v1", backend, alterations=Alterations(4))
        with stage_of(choice) as stage:
            episodes = stage.play(actor_for(WORLDS["CartPole-v1"]), False, 1)
        assert {len(episode.returns) for episode in episodes} == {5}
