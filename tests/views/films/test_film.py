"""Films: which episodes are shown, how fast, and what is in the files."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image, ImageSequence

import uphill
from small_runs import train_small
from uphill.cli import main
from uphill.envs.drawing import backend_to_draw
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.kept_policies import keep_policy, write_milestones
from uphill.runs.milestones import Milestone
from uphill.views.films import film
from uphill.views.films.film import (
    FILM_RATES,
    STORY_RATES,
    film_rate,
    fitted,
    milestone_clips,
    record,
)
from uphill.views.films.stages import CANDIDATES, stage_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    """Two seeds on CartPole; the second has three milestones, two of them reached together."""
    run = train_small(tmp_path_factory.mktemp("film") / "run", seeds=2, steps=320)
    actor = run.policy_of(1).actor
    milestones = [
        Milestone("untrained", 1, 0, 0, 0.0, 18.0),
        Milestone("long_run", 1, 5, 160, 1.5, 40.0),
        Milestone("above_random", 1, 5, 160, 1.5, 40.0),
    ]
    other = keep_policy(run.path, Milestone("untrained", 0, 0, 0, 0.0, 18.0), actor)
    kept = [keep_policy(run.path, milestone, actor) for milestone in milestones]
    write_milestones(run.path, (other, *kept))
    return uphill.load(run.path)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


# --- which episodes -----------------------------------------------------------------------------


def test_the_clips_of_a_seed_are_its_milestones_and_the_final_policy(run: uphill.Run) -> None:
    clips = milestone_clips(run, seed_index=1, width=200)
    assert [clip.milestone and clip.milestone.name for clip in clips] == [
        *("untrained", "long_run", None)
    ]
    for clip in clips:
        assert {frame.shape for frame in clip.frames} == {(132, 200, 3)}
        assert len(clip.frames) == len(clip.returns)
        assert clip.returns[0] == 0
        assert all(a < b for a, b in pairwise(clip.returns))
        assert all((a != b).any() for a, b in pairwise(clip.frames))


def test_a_milestones_episode_is_the_one_that_comes_nearest_to_it(run: uphill.Run) -> None:
    clips = milestone_clips(run, seed_index=1, width=64)
    with stage_of(run.choice()) as stage:
        sampled = [x.total for x in stage.play(run.policy_of(1).actor, False, 1)]
        modes = [x.total for x in stage.play(run.policy_of(1).actor, True, 1)]
    assert len(set(sampled)) > 5
    assert abs(clips[0].returns[-1] - 18.0) == min(abs(x - 18.0) for x in sampled)
    assert abs(clips[1].returns[-1] - 40.0) == min(abs(x - 40.0) for x in sampled)
    final = clips[2].returns[-1]
    assert abs(final - np.median(modes)) == min(abs(x - np.median(modes)) for x in modes)
    assert len(modes) == CANDIDATES


def test_with_sampled_actions_the_final_policys_episodes_are_typical_ones(run: uphill.Run) -> None:
    found = record(run, seed_index=0, sample=True, episodes=3, width=160)
    with stage_of(run.choice()) as stage:
        totals = [x.total for x in stage.play(run.policy_of(0).actor, False, 1)]
    distances = sorted(abs(x - np.median(totals)) for x in totals)
    assert [abs(x - np.median(totals)) for x in found.returns] == distances[:3]


# --- how fast -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [2, 4, 10, 15, 20, 30, 50, 60, 100, 125])
def test_a_storys_clips_are_short_and_show_every_state_equally_long(fps: int) -> None:
    rate = film_rate(fps, *STORY_RATES)
    assert 17.5 < rate <= 36
    for num_steps in (1, 20, 199, 200, 201, 500, 1000, 10_000):
        speed = film._speed(num_steps, fps, rate, 10.0)
        assert num_steps / (fps * speed) <= 10.0
        ratio = rate / (fps * speed)  # frames for a state, or its inverse: states for a frame
        assert min(abs(x - round(x)) for x in (ratio, 1 / ratio)) < 1e-9
        assert speed == 1 or num_steps / fps > 10.0


def test_one_film_alone_runs_in_real_time() -> None:
    assert [film_rate(fps, *FILM_RATES) for fps in (4, 10, 50, 60, 100, 125)] == [
        4,
        10,
        50,
        60,
        50,
        125 / 3,
    ]


def test_pictures_are_scaled_to_even_sizes_and_small_ones_enlarged() -> None:
    small = np.arange(21 * 16 * 3, dtype=np.uint8).reshape(21, 16, 3)
    enlarged = fitted(small, None)
    assert enlarged.shape == (21 * 25 // 2 * 2, 400, 3)
    np.testing.assert_array_equal(enlarged[::25, ::25], small)
    assert fitted(small, 8).shape == (10, 8, 3)
    assert fitted(np.zeros((401, 601, 3), np.uint8), None).shape == (400, 600, 3)


# --- what is in the files -----------------------------------------------------------------------


class Clock(gymnasium.Env):
    """40 steps, 10 a second; the picture's brightness is the number of the step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 Gymnasium's
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    spec = None

    def __init__(self, length: int = 40, render_mode: str | None = None) -> None:
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        return np.zeros(2, np.float32), 0.5, self.elapsed >= self.length, False, {}

    def render(self) -> Any:
        return np.full((40, 440, 3), 20 + 5 * self.elapsed, np.uint8)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    return train_small(tmp_path_factory.mktemp("film") / "clock", env=Clock, steps=100)


def test_a_film_shows_each_state_once_in_order_and_holds_the_last(clock: uphill.Run) -> None:
    found = record(clock)
    assert found.files == (clock.path / "video.mp4", clock.path / "video.gif")
    frames = decoded(found.files[0])
    assert (found.num_frames, found.fps, found.returns) == (len(frames), 10, (20.0,))
    assert found.size == (frames[0].shape[1], frames[0].shape[0]) == (440, 80)
    steps = [round((float(frame[45:].mean()) - 20) / 5) for frame in frames]
    assert steps == [*range(41), *[40] * 8]
    captions = [frame[:40] for frame in frames]
    assert all(np.abs(a.astype(int) - b).max() > 20 for a, b in pairwise(captions[:41]))


def test_a_gif_shows_the_film_too(clock: uphill.Run) -> None:
    (path,) = clock.record(out=clock.path / "other" / "clock.gif")
    with Image.open(path) as file:
        pictures = [np.asarray(x.convert("RGB")) for x in ImageSequence.Iterator(file)]
        time = sum(x.info["duration"] for x in ImageSequence.Iterator(file))
    assert time == 4900
    steps = [round((float(picture[45:].mean()) - 20) / 5) for picture in pictures]
    # 255 colours for all pictures and the letters above: neighbouring grays may share one.
    assert len(steps) == 41
    assert np.abs(np.array(steps) - np.arange(41)).max() <= 1


@pytest.mark.parametrize(
    ("env", "backend", "filmed"),
    [
        ("CartPole-v1", "compiled", "compiled"),
        ("CartPole-v1", "envpool", "gymnasium"),
        ("CartPole-v1", "gymnasium", "gymnasium"),
        ("Pong-v5", "envpool", "envpool"),
    ],
)
def test_what_was_trained_on_envpool_is_filmed_in_gymnasium_if_that_has_it(
    run: uphill.Run, env: str, backend: Any, filmed: str
) -> None:
    experiment = replace(run.experiment, env=env, backend=backend)
    assert backend_to_draw(experiment.env, experiment.backend) == filmed


def test_a_long_film_is_cut_off_and_a_storys_clip_runs_faster(
    clock: uphill.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "LONGEST_FILM", 2.0)
    monkeypatch.setattr(film, "LONGEST_CLIP", 2.0)
    assert record(clock).num_frames == 21 + 8
    alone = film._Plan(seed_index=0, milestones=False, longest=2.0, rates=FILM_RATES)
    with film._scenes(clock, alone, allow_import=False) as scenes:
        about = film._caption(clock, alone, scenes[0], 0, scenes).about
        assert about.endswith("first 20 of 40 steps")
    plan = film._Plan(seed_index=0, milestones=True, longest=2.0)
    with film._scenes(clock, plan, allow_import=False) as scenes:
        (scene,) = [scene for scene in scenes if not scene.milestones]
        assert (scene.speed, scene.fps, scene.rate) == (2, 20, 20)
        assert scene.states == list(range(41))
        assert "2× speed" in film._caption(clock, plan, scene, 0, scenes).about
    assert record(clock, fps=40).seconds == pytest.approx(41 / 40 + 0.8)


def test_a_storys_films_are_its_clips_and_the_same_every_time(run: uphill.Run) -> None:
    films = run.record(milestones=True, seed_index=1, width=320)
    assert films == [run.path / "milestones.mp4", run.path / "milestones.gif"]
    contents = [path.read_bytes() for path in films]
    run.record(milestones=True, seed_index=1, width=320)
    assert [path.read_bytes() for path in films] == contents
    frames = decoded(films[0])
    clips = milestone_clips(run, seed_index=1, width=320)
    hold = round(film.HOLD * 25)
    assert len(frames) == sum(len(clip.frames) + hold for clip in clips)
    height = clips[0].frames[0].shape[0]
    at = 0
    for clip in clips:
        shown = frames[at : at + len(clip.frames)]
        for frame, given in zip(shown, clip.frames, strict=True):
            assert frame.shape[1] == 320
            assert np.abs(frame[-height:].astype(int) - given).mean() < 6
        at += len(clip.frames) + hold


def test_a_run_without_milestones_shows_its_final_policy(
    clock: uphill.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    write_milestones(clock.path, ())
    assert record(clock, milestones=True).milestones == ()
    assert "has no milestones of that seed" in capsys.readouterr().err


def test_drawing_that_takes_long_is_told(
    clock: uphill.Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(film, "LONG", 0.0)
    record(clock)
    assert re.search("Drawing 41 pictures will take about [0-9.]+ s", capsys.readouterr().err)


# --- mistakes, and the command line -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"episodes": 0}, "episodes is 0: use at least 1"),
        ({"fps": 0.0}, "fps is 0.0: use 0.01 to 1000"),
        ({"fps": 0.001}, "fps is 0.001: use 0.01 to 1000"),  # a GIF can't wait so long
        ({"width": 8}, "width is 8: use 160 to 3840"),
        ({"out": Path("film.avi")}, r"out is film.avi: give a file that ends in .mp4 or .gif"),
        ({"seed_index": 2}, "seed_index is 2: the run has 2"),
        ({"env_kwargs": {"g": 3}}, "takes no"),
    ],
)
def test_mistakes_are_said_in_a_sentence(
    run: uphill.Run, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UphillError, match=sentence):
        record(run, **options)


def test_the_environments_arguments_can_be_others(clock: uphill.Run) -> None:
    assert record(clock, env_kwargs={"length": 12}).returns == (6.0,)


def test_record_from_the_command_line(run: uphill.Run, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["record", str(run.path), "--width", "160"]
    assert main([*words, "--milestones", "--seed-index", "1", "--json"]) == 0
    printed = capfd.readouterr()
    assert printed.out.count("\n") == 1
    result = json.loads(printed.out)
    assert result["run"] == str(run.path)
    assert result["files"] == [str(run.path / f"milestones.{x}") for x in ("mp4", "gif")]
    assert result["milestones"] == ["untrained", "long_run", "above_random"]
    assert (result["seed"], result["width"], len(result["returns"])) == (1, 160, 3)
    assert result["frames"] == len(decoded(run.path / "milestones.mp4"))
    assert main(words) == 0
    printed = capfd.readouterr()
    assert f"{run.path / 'video.mp4'}  (" in printed.out
    best = int(np.argmax(run.evaluation["deterministic"]["per_seed"])) if run.evaluation else 0
    assert f"The policy is that of seed {best}, which evaluated best" in printed.err


def test_the_best_policys_film_says_so_and_is_a_file_of_its_own(
    run: uphill.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    best, plan = uphill.load(run, checkpoint="best"), film._Plan(1, milestones=False)
    captions = []
    for each in (run, best):
        with film._scenes(each, plan, allow_import=False) as scenes:
            captions.append(film._caption(each, plan, scenes[0], 0, scenes))
    assert [caption.title for caption in captions] == ["final policy", "best policy"]
    facts = read_manifest(run.path, "best").facts
    assert (captions[1].steps, captions[1].seconds) == (facts.best_steps[1], facts.best_seconds[1])
    assert captions[1].steps < captions[0].steps
    words = ["record", str(run.path), "--checkpoint", "best", "--width", "160"]
    assert main([*words, "--seed-index", "1", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["files"] == [str(run.path / f"video-best.{x}") for x in ("mp4", "gif")]
    assert main([*words, "--milestones"]) == 1
    assert "A film of the milestones shows the final policy, and ch" in capfd.readouterr().err
    with pytest.raises(UphillError, match=r"^A report shows the final policy, and checkpoint is"):
        best.report()


def test_what_can_not_be_drawn_ends_with_status_1(
    capfd: pytest.CaptureFixture[str], run: uphill.Run
) -> None:
    assert main(["record", str(run.path), "--out", "film.mov"]) == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert main(["record", str(run.path), "--fps", "fast"]) == 2
