"""Films that a page carries in itself."""

import base64
import io
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from report_runs import copied, load
from uphill.views.films import Clip, stages
from uphill.views.report.films import CLIP_RATES, LONGEST, _fitting, films_of, telling_frames
from uphill.views.report.view import view_of


def frames_in(source: str) -> int:
    content = base64.b64decode(source.removeprefix("data:video/mp4;base64,"), validate=True)
    with av.open(io.BytesIO(content)) as file:
        return sum(1 for _ in file.decode(video=0))


def test_there_is_a_film_for_each_chapter(pair: tuple[Path, Path]) -> None:
    run = load(pair[0])
    films, why = films_of(run)
    assert not why
    assert list(films) == [chapter.update for chapter in view_of(run).chapters]
    for film in films.values():
        assert frames_in(film.source) == len(film.returns)
        assert film.width == 400
        # Small and short, since every picture has to be drawn and coded.
        assert film.fps <= CLIP_RATES[1]
        assert len(film.returns) / film.fps <= LONGEST + 1


def test_posters_are_pictures_of_their_films_and_differ(pair: tuple[Path, Path]) -> None:
    films, _ = films_of(load(pair[0]))
    posters = [film.poster for film in films.values()]
    assert len(set(posters)) == len(posters)
    for poster in posters:
        content = base64.b64decode(poster.removeprefix("data:image/jpeg;base64,"), validate=True)
        assert Image.open(io.BytesIO(content)).size == (400, 266)


def test_a_poster_is_the_picture_that_tells_its_film_from_the_others() -> None:
    def film(*greys: int) -> list[np.ndarray]:
        return [np.full((8, 8, 3), grey, np.uint8) for grey in greys]

    # All begin alike; the first ends at 10, the last at 200, and between them 100 is the furthest.
    films = [film(0, 5, 10), film(0, 100, 12), film(0, 55, 10, 10), film(0, 100, 200)]
    assert [int(frame[0, 0, 0]) for frame in telling_frames(films)] == [10, 100, 55, 200]
    # Where nothing differs, it is how each ends.
    same = [film(7, 7), film(7, 7, 7), film(7, 7)]
    chosen = telling_frames(same)
    assert all(a is b[-1] for a, b in zip(chosen, same, strict=True))
    assert telling_frames([film(1, 2)])[0][0, 0, 0] == 2


def test_long_films_lose_pictures_until_they_fit_and_take_as_long(pair: tuple[Path, Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 32, 48, 3), np.uint8)
    clip = Clip(None, list(noise), [float(k) for k in range(16)], 20.0, 1)
    (whole,) = _fitting([clip], 10**9).values()
    (film,) = _fitting([clip], len(whole.source) // 3).values()
    assert film.returns == ("0", "4", "8", "12")
    assert frames_in(film.source) / film.fps == frames_in(whole.source) / whole.fps


def test_an_environment_that_is_not_there_gives_no_film_and_a_sentence(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    path = copied(pair[0], tmp_path / "run", env="Corridor", is_callable=True, backend="gymnasium")
    films, why = films_of(load(path))
    assert not films
    assert why.startswith("There are no films: The run's environment was the Python callable")


def test_a_module_is_imported_only_if_that_is_allowed(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names_a_world.py").write_text("import uphill.envs.registration")
    monkeypatch.syspath_prepend(tmp_path)
    env = "names_a_world:uphill/CartPole-v1"
    path = copied(pair[0], tmp_path / "run", env=env, backend="gymnasium")
    films, why = films_of(load(path))
    assert not films
    assert "add allow_import=True if you trust it" in why
    assert "names_a_world" not in sys.modules
    monkeypatch.setattr(stages, "HOST_CANDIDATES", 1)
    films, why = films_of(load(path), allow_import=True)
    assert not why
    assert len(films) == 3
