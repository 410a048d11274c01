"""Films of a run: its policy, or how it learned, milestone by milestone.

Rules decide which episode is shown, so that a film is typical:

- For the final policy (or the best), of a fixed number of episodes the one whose return is nearest
  to their median. It takes the most probable action, or with `sample` a sampled one.
- For a milestone, one in which the policy saved then repeats what it did: it samples its actions,
  and the episode is the one whose return is nearest to that of the milestone.

The episodes' seeds are fixed before they are played (`uphill.views.films.stages`).
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby, islice, repeat
from math import ceil
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from uphill.envs.drawing import backend_to_draw
from uphill.errors import UphillError
from uphill.policies.actor import Actor
from uphill.runs.bounds import check_episodes
from uphill.runs.configuration import decode, encode
from uphill.runs.files import make_folder, write_file
from uphill.runs.given import other_limit
from uphill.runs.milestones import Milestone, title
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun
from uphill.training.evaluate import tell
from uphill.training.process import use_compile_cache, use_cores
from uphill.views.films.captions import Caption, captioned
from uphill.views.films.encoding import Frame, GifSink, encode_mp4, gif_delay
from uphill.views.films.stages import Episode, Stage, stage_of
from uphill.words import forecast

LONGEST_CLIP = 10.0
"""Seconds that a milestone's episode takes at most: longer ones run faster than in real time."""
LONGEST_FILM = 60.0
"""Seconds after which a film of the final policy alone is cut off: it runs in real time."""
STORY_RATES = (20.0, 35.0)
"""Frames a second of how it learned: clips that run faster than in real time have room in it."""
FILM_RATES = (0.0, 60.0)
"""What is shown in real time keeps its own."""
FEW, LONG = 10, 20.0
"""After how many pictures a forecast is made, and how many seconds make it worth telling."""
HOLD = 0.8
"""Seconds for which the last picture of an episode stays."""
SMALLEST = 400  # px: narrower pictures are enlarged, so that their caption can be read
WIDTHS = (160, 3840)

_Shown = tuple[Frame, float]  # a picture, and the return so far


@dataclass(frozen=True)
class Clip:
    """One episode as pictures."""

    milestone: Milestone | None
    """whose policy played; None for the final one"""
    frames: list[Frame]
    """of one size, even numbers; the first state and the last are among them"""
    returns: list[float]
    """the return so far at each frame"""
    fps: float
    """frames to show in a second"""
    speed: int
    """how many times faster than in real time it is at that"""


@dataclass(frozen=True)
class Film:
    """What was recorded."""

    files: tuple[Path, ...]
    seed: int
    milestones: tuple[str, ...]
    """in the order in which they are shown; the final policy follows"""
    returns: tuple[float, ...]
    """of the episodes shown"""
    num_frames: int
    fps: float
    size: tuple[int, int]
    """width and height in pixels"""

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps

    def facts(self) -> dict[str, Any]:
        """What `uphill record --json` prints, as plain data."""
        return {
            "files": [str(path) for path in self.files],
            "seed": self.seed,
            "milestones": list(self.milestones),
            "returns": list(self.returns),
            "frames": self.num_frames,
            "fps": self.fps,
            "seconds": self.seconds,
            "width": self.size[0],
            "height": self.size[1],
        }


@dataclass(frozen=True)
class _Scene:
    """An episode that was chosen, and which of its states are shown when."""

    milestones: tuple[Milestone, ...]
    """whose policy played, which is kept once where they were reached together; none: the final"""
    steps: int
    seconds: float
    episode: Episode
    shown: range
    speed: int
    fps: float
    """pictures to show in a second"""
    rate: float
    """of the film: a multiple of that"""
    width: int | None

    def frames(self) -> Iterator[_Shown]:
        """Pictures, each with the return so far."""
        pictures = self.episode.draw(self.states, self.width)
        for picture, t in zip(pictures, self.states, strict=True):
            yield fitted(picture, self.width), float(self.episode.returns[t])

    @property
    def states(self) -> list[int]:
        """The numbers of the states shown; the last one is where the episode ends, or is cut."""
        return sorted({*self.shown, self.shown.stop - 1})


def milestone_clips(
    run: SavedRun,
    seed_index: int | None = None,
    width: int | None = None,
    longest: float = LONGEST_CLIP,
    rates: tuple[float, float] = STORY_RATES,
    allow_import: bool = False,
) -> list[Clip]:
    """A clip for each milestone of one seed, in order, and one of the final policy. Milestones that
    were reached in the same update share a clip, since they share their policy.

    Pictures are `width` pixels wide, about `rates` of them a second (the least, the most), and a
    clip takes `longest` seconds at most.

    Raises:
        UphillError: if the environment can't be made, or can't draw itself.
    """
    seed_index = run.told_seed_index() if seed_index is None else seed_index
    plan = _Plan(seed_index, milestones=True, width=width, longest=longest, rates=rates)
    with _scenes(run, plan, allow_import) as scenes:
        return [_clip(scene) for scene in scenes]


def _clip(scene: _Scene) -> Clip:
    frames, returns = zip(*scene.frames(), strict=True)
    milestone = _foremost(scene.milestones)
    return Clip(milestone, list(frames), list(returns), scene.fps, scene.speed)


def record(
    run: SavedRun,
    milestones: bool = False,
    *,
    seed_index: int | None = None,
    episodes: int = 1,
    sample: bool = False,
    out: Path | None = None,
    fps: float | None = None,
    width: int | None = None,
    env_kwargs: dict[str, Any] | None = None,
    allow_import: bool = False,
    max_episode_steps: int | None = None,
) -> Film:
    """Film the final policy (`video.mp4` and `video.gif` in the run directory), the best one, where
    the run was loaded with `checkpoint="best"` (`video-best.mp4` and `.gif`), or with `milestones`
    how it learned (`milestones.mp4` and `.gif`).

    Arguments:
        seed_index: whose policy; by default the best one's, which is said.
        episodes: how many of the final policy.
        sample: whether the final policy samples its actions.
        out: another file: .mp4 or .gif.
        fps: steps of the environment to show in a second; by default real time.
        width: of the picture, in pixels; by default that of the environment's.
        env_kwargs: keyword arguments of the environment, in place of the run's.
        allow_import: import the module that a `module:ID` environment names.
        max_episode_steps: truncate episodes after this many steps, in place of the run's limit.

    Raises:
        UphillError: if the environment can't be made, or can't draw itself.
    """
    _check(episodes, fps, width)
    if not isinstance(env_kwargs, dict | None):
        raise UphillError(f"env_kwargs is {env_kwargs!r}: give a dictionary.")
    files = _files(run, milestones, out)
    if seed_index is None:
        seed_index = run.told_seed_index()
    longest, rates = (LONGEST_CLIP, STORY_RATES) if milestones else (LONGEST_FILM, FILM_RATES)
    plan = _Plan(seed_index, milestones, episodes, sample, fps, width, longest, rates)
    changed = other_limit(max_episode_steps)
    changed["env_kwargs"] = run.experiment.env_kwargs | (env_kwargs or {})
    with _scenes(run, plan, allow_import, changed) as scenes:
        if milestones and len(scenes) == 1:
            tell(f"{run.path} has no milestones of that seed: the film shows the final policy.")
        return _write(files, run, plan, scenes)


def _check(episodes: int, fps: float | None, width: int | None) -> None:
    check_episodes(decode(int, encode(episodes), "episodes"))
    decode(float | None, encode(fps), "fps")
    decode(int | None, encode(width), "width")
    if fps is not None and not 0.01 <= fps <= 1000:
        raise UphillError(f"fps is {fps}: use 0.01 to 1000.")
    if width is not None and not WIDTHS[0] <= width <= WIDTHS[1]:
        raise UphillError(f"width is {width}: use {WIDTHS[0]} to {WIDTHS[1]} pixels.")


def _files(run: SavedRun, milestones: bool, out: Path | None) -> tuple[Path, ...]:
    if out is None:
        name = "milestones" if milestones else "video" if run.kind == "final" else "video-best"
        return tuple(run.path / f"{name}{suffix}" for suffix in (".mp4", ".gif"))
    if out.suffix.lower() not in (".mp4", ".gif"):
        raise UphillError(f"out is {out}: give a file that ends in .mp4 or .gif.")
    return (Place.of(out),)


# --- which episodes, and how fast ---------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What is to be shown."""

    seed_index: int
    milestones: bool
    episodes: int = 1
    sample: bool = False
    fps: float | None = None
    width: int | None = None
    longest: float = LONGEST_CLIP
    rates: tuple[float, float] = STORY_RATES


@contextmanager
def _scenes(
    run: SavedRun, plan: _Plan, allow_import: bool, changed: dict[str, Any] | None = None
) -> Iterator[list[_Scene]]:
    """The episodes of a film, played but not drawn yet: that needs the environment still."""
    if plan.milestones:
        run.check_final("A film of the milestones")
    is_compiled = run.experiment.backend == "compiled"
    use_cores(1, is_python=not is_compiled)
    use_compile_cache()
    final = run.policy_of(plan.seed_index).actor
    backend = backend_to_draw(run.experiment.env, run.experiment.backend)
    choice = run.choice(allow_import, **{"backend": backend} | (changed or {}))
    with stage_of(choice) as stage:
        scenes = _story(run, plan, stage) if plan.milestones else []
        steps, seconds = run.moment(plan.seed_index)
        for episode in _typical(stage, final, plan.episodes, plan.sample):
            scenes.append(_scene(stage, plan, episode, (), steps, seconds))
        yield scenes


def _story(run: SavedRun, plan: _Plan, stage: Stage) -> list[_Scene]:
    """A scene for each policy that was kept at milestones."""
    own = [milestone for milestone in run.milestones if milestone.seed_index == plan.seed_index]
    scenes = []
    for _, together in groupby(own, key=attrgetter("update")):
        reached = tuple(together)
        last = reached[-1]
        played = stage.play(run.actor_at(last), False, 1)
        episode = min(played, key=partial(_distance, last.episode_return))
        scenes.append(_scene(stage, plan, episode, reached, last.steps, last.seconds))
    return scenes


def _foremost(together: tuple[Milestone, ...]) -> Milestone | None:
    """The one to name of those that were reached together: the last that is called what it is
    (`full_lap`, `solved`), which says more than how much of the way to the threshold was done."""
    plain = [m for m in together if title(m.name) == m.name.replace("_", " ")]
    return next(reversed(plain or together), None)


def _distance(wanted: float, episode: Episode) -> float:
    return abs(episode.total - wanted)


def _typical(stage: Stage, actor: Actor, num: int, sample: bool) -> list[Episode]:
    """Those whose returns are nearest to the median of all that were played, in that order."""
    played = stage.play(actor, not sample, num)
    median = np.median([episode.total for episode in played])
    return sorted(played, key=partial(_distance, float(median)))[:num]


def _scene(
    stage: Stage,
    plan: _Plan,
    episode: Episode,
    milestones: tuple[Milestone, ...],
    steps: int,
    seconds: float,
) -> _Scene:
    fps = plan.fps or stage.fps
    num_states = len(episode.returns)
    rate, speed = film_rate(fps, *plan.rates), 1
    if plan.milestones:
        speed = _speed(num_states - 1, fps, rate, plan.longest)
    else:
        num_states = min(num_states, ceil(plan.longest * fps) + 1)  # and the start
    every = max(round(speed * fps / rate), 1)
    shown = range(0, num_states, every)
    pace = min(rate, speed * fps)
    return _Scene(milestones, steps, seconds, episode, shown, speed, pace, rate, plan.width)


def film_rate(fps: float, low: float, high: float) -> float:
    """Frames a second of the film of an environment with `fps` states a second: a multiple or a
    fraction of that, so that every state is shown equally long, and about from `low` to `high`.

    >>> film_rate(50.0, 20, 35), film_rate(10.0, 20, 35), film_rate(50.0, 0, 60)
    (25.0, 20.0, 50.0)
    """
    return fps / ceil(fps / high) if fps >= low else float(fps * ceil(low / fps))


def _speed(num_steps: int, fps: float, rate: float, longest: float) -> int:
    """The lowest speed at which this many steps take at most `longest` seconds.

    Where the film shows each state several times, only speeds that keep this number whole, or show
    every n-th state once.
    """
    each = max(round(rate / fps), 1)
    speed = 1
    while num_steps / (fps * speed) > longest or (each % speed and speed % each):
        speed += 1
    return speed


def fitted(frame: Frame, width: int | None) -> Frame:
    """A picture of even size, scaled to a width; without one, small pictures are enlarged by a
    whole number, which keeps their pixels sharp."""
    from PIL import Image  # as in `encoding`

    if width is not None and width != frame.shape[1]:
        width = width // 2 * 2
        height = max(round(frame.shape[0] * width / frame.shape[1]), 2)
        picture = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        frame = np.asarray(picture)
    elif width is None and frame.shape[1] < SMALLEST:
        times = ceil(SMALLEST / frame.shape[1])
        frame = frame.repeat(times, axis=0).repeat(times, axis=1)
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


# --- from scenes to files -----------------------------------------------------------------------


def _write(files: tuple[Path, ...], run: SavedRun, plan: _Plan, scenes: Sequence[_Scene]) -> Film:
    """Draw each frame once, for all files: a film is too long to keep."""
    rate = scenes[0].rate
    num_frames = sum(map(len, map(_numbers, scenes)))
    gif = GifSink(rate, gif_delay(num_frames, rate))
    sizes: set[tuple[int, int]] = set()

    def drawn() -> Iterator[Frame]:
        for frame in _film_frames(run, plan, scenes):
            sizes.add((frame.shape[1], frame.shape[0]))
            if any(_is_gif(path) for path in files):
                gif.add(frame)
            yield frame

    frames = drawn()
    make_folder(files[0].parent)
    if all(_is_gif(path) for path in files):
        deque(frames, maxlen=0)
    for path in files:
        write_file(path, gif.encode() if _is_gif(path) else encode_mp4(frames, rate))
    names = tuple(milestone.name for scene in scenes for milestone in scene.milestones)
    returns = tuple(scene.episode.total for scene in scenes)
    seed = run.experiment.all_seeds[plan.seed_index]
    return Film(files, seed, names, returns, num_frames, rate, sizes.pop())


def _is_gif(path: Path) -> bool:
    return path.suffix.lower() == ".gif"


def _film_frames(run: SavedRun, plan: _Plan, scenes: Sequence[_Scene]) -> Iterator[Frame]:
    """All frames of a film, with captions."""
    all_frames = chain.from_iterable(scene.frames() for scene in scenes)
    drawn = _watched(all_frames, sum(len(scene.states) for scene in scenes))
    for k, scene in enumerate(scenes):
        caption, numbers = _caption(run, plan, scene, k, scenes), _numbers(scene)
        for number, (picture, so_far) in enumerate(islice(drawn, len(scene.states))):
            done = (numbers.index(number) + 1) / len(numbers)
            frame = captioned(picture, replace(caption, episode_return=so_far, done=done))
            yield from repeat(frame, numbers.count(number))


def _watched(frames: Iterator[_Shown], num: int) -> Iterator[_Shown]:
    """The frames; if drawing all of them will take long, that is reported after the first few."""
    started = 0.0
    for k, frame in enumerate(frames):
        if k == 0:  # which costs more than the others
            started = time.perf_counter()
        seconds = (time.perf_counter() - started) / FEW * num
        if k == FEW and seconds > LONG:
            tell(f"Drawing {num:,} pictures will take about {forecast(seconds)}.")
        yield frame


def _numbers(scene: _Scene) -> list[int]:
    """For each frame of the film, which of the scene's pictures it shows."""
    each = max(round(scene.rate / scene.fps), 1)
    count = len(scene.states)
    hold = round(HOLD * scene.rate)
    return [*(k for k in range(count) for _ in range(each)), *([count - 1] * hold)]


def _caption(
    run: SavedRun, plan: _Plan, scene: _Scene, chapter: int, scenes: Sequence[_Scene]
) -> Caption:
    experiment = run.experiment
    words = [experiment.env, experiment.algo, f"seed {experiment.all_seeds[plan.seed_index]}"]
    shown, all_steps = scene.states[-1], len(scene.episode.returns) - 1
    if scene.speed > 1:
        words.append(f"{scene.speed}× speed")
    if shown < all_steps:
        words.append(f"first {shown:,} of {all_steps:,} steps")
    milestone = _foremost(scene.milestones)
    heading = f"{run.kind} policy"
    if milestone is not None:
        heading = title(milestone.name, experiment.init_from is not None)
    return Caption(
        heading, " · ".join(words), scene.steps, scene.seconds, 0.0, chapter, len(scenes)
    )
