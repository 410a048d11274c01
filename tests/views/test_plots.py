"""Pictures of runs: what their lines show, and that everything can be read."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex

import uphill
from small_runs import write_run
from standing import FACTS
from uphill.errors import UphillError
from uphill.runs.checkpoint import write_checkpoint
from uphill.theory.statistics import confidence_band
from uphill.views.curves import WINDOW, learning_seconds, smoothed
from uphill.views.labels import names_of
from uphill.views.plots import (
    curves_figure,
    improvement_figure,
    learning_curve,
    performance_profile_figure,
    plot_run,
    plot_runs,
    png_of,
    svg_of,
)
from uphill.views.plots.style import line_style

COLUMN = "rollout/episode_return"


def rising(num_seeds: int, slope: float = 40.0) -> list[list[float | None]]:
    """Curves of ten points, each seed a little above the last one."""
    return [[slope * t + s for t in range(10)] for s in range(num_seeds)]


# --- curves -------------------------------------------------------------------------------------


def test_curves_share_the_steps_that_all_seeds_have() -> None:
    metrics = {
        "seed": np.array([0, 0, 0, 1, 1, 1]),
        "steps": np.array([0, 100, 200, 50, 150, 250]),
        COLUMN: np.array([0.0, 10.0, np.nan, 5.0, 15.0, 25.0]),
    }
    steps, curves = learning_curve(metrics)
    assert steps[0] == 50
    assert steps[-1] == 100  # the first seed's last episode
    np.testing.assert_allclose(curves[0], steps / 10)  # both lie on the same line
    np.testing.assert_allclose(curves[1], steps / 10)


def test_no_episode_gives_no_curve() -> None:
    metrics = {"seed": np.zeros(2), "steps": np.arange(2), COLUMN: np.full(2, np.nan)}
    steps, curves = learning_curve(metrics)
    assert steps.size == curves.size == 0


def test_compiling_is_no_time_of_learning() -> None:
    """Two programs compile: 5 s before the first row, 3 s between the second and the third."""
    metrics = {
        "seed": np.array([0, 1] * 3),
        "update": np.repeat([1, 2, 3], 2),
        "steps": np.array([90, 110, 190, 210, 290, 310]),
        "time/seconds": np.repeat([6.0, 7.0, 11.0], 2),
        "time/steps_per_second": np.full(6, 200.0),
        COLUMN: np.arange(6.0),
    }
    np.testing.assert_allclose(learning_seconds(metrics), [1, 1, 2, 2, 3, 3])
    seconds, _ = learning_curve(metrics, against="seconds")
    assert (seconds[0], seconds[-1]) == (1, 3)
    # Rounded speeds never let time run backwards, and what knows no speed keeps its seconds.
    slow = metrics | {"time/steps_per_second": np.repeat([0.1, 0.3, 0.3], 2)}
    assert (np.diff(learning_seconds(slow)) >= 0).all()
    del metrics["time/steps_per_second"]
    np.testing.assert_array_equal(learning_seconds(metrics), metrics["time/seconds"])


@pytest.mark.parametrize(("num_points", "marker"), [(1, "o"), (10, "o"), (40, "")])
def test_few_points_get_marks(num_points: int, marker: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[float(t) for t in range(num_points)]])
    (axes,) = curves_figure([run]).axes
    line = axes.get_lines()[0]
    assert line.get_marker() == marker
    assert ("moving mean" in axes.get_ylabel()) == (not marker)
    if marker:
        x, y = line.get_xydata()[line.get_markevery()].T
        np.testing.assert_allclose(x, 100.0 * np.arange(1, num_points + 1))
        np.testing.assert_allclose(y, np.arange(num_points))


@pytest.mark.parametrize("size", [1, 30, 101, 1991])
def test_smoothed_is_the_mean_over_a_window(size: int) -> None:
    curve = np.random.default_rng(size).normal(size=size)
    half = round(WINDOW * size / 2)
    means = [curve[max(k - half, 0) : k + half + 1].mean() for k in range(size)]
    np.testing.assert_allclose(smoothed(curve), means, atol=1e-12)


@pytest.mark.parametrize(("against", "last"), [("steps", 1000), ("seconds", 5.0)])
def test_lines_are_the_interquartile_mean_its_band_and_each_seed(
    against: str, last: float, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", rising(5))
    (axes,) = curves_figure([run], against).axes
    *seeds, middle = [line for line in axes.get_lines() if len(line.get_xdata())][:6]
    x, y = middle.get_xydata().T
    assert x[-1] == last
    # Straight lines stay what they are but at the ends, where a window has one side only.
    inside = slice(3, -3)
    np.testing.assert_allclose(y[inside], (40 * 10 * x / last - 40 + 2)[inside])
    for s, line in enumerate(seeds):
        np.testing.assert_allclose(line.get_ydata()[inside], y[inside] + s - 2)
    band = axes.collections[0]
    edges = np.asarray(band.get_paths()[0].vertices)[:, 1]
    low, high = confidence_band(np.stack([y + s - 2 for s in range(5)]))
    assert edges.min() == pytest.approx(low.min())
    assert edges.max() == pytest.approx(high.max())


def test_many_logging_points_are_averaged_and_not_picked_from(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=4000)
    run = write_run(tmp_path / "run", [list(noise)])
    (axes,) = curves_figure([run]).axes
    shown = np.asarray(axes.get_lines()[0].get_ydata())
    # A window holds 80 points; of each ten that are drawn, one in two or so was looked at.
    assert np.std(shown) < 0.25


def test_other_columns_have_neither_threshold_nor_the_words_of_returns(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rising(2))
    facts = replace(FACTS, reward_threshold=475.0)
    write_checkpoint(run.path, "latest", {}, facts)
    labels = [line.get_label() for line in curves_figure([run]).axes[0].get_lines()]
    assert "solved: 475" in labels
    axes = curves_figure([run], column="rollout/num_episodes").axes[0]
    assert "solved: 475" not in [line.get_label() for line in axes.get_lines()]
    assert "rollout/num_episodes" in axes.get_ylabel()


def test_what_was_never_measured_is_said(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", [[None, None]])
    (axes,) = curves_figure([empty]).axes
    assert [text.get_text() for text in axes.texts] == ["no episode ended"]
    other = write_run(tmp_path / "other", rising(2), algo="vpg")
    (axes,) = curves_figure([empty, other]).axes
    legend = axes.get_legend()
    assert legend is not None
    assert "ppo: nothing to show" in [text.get_text() for text in legend.get_texts()]
    assert not axes.texts


# --- readable -----------------------------------------------------------------------------------


ALGOS = ("reinforce", "vpg", "a2c", "ppo", "npg", "trpo")


@pytest.mark.parametrize("num_runs", [1, 6])
@pytest.mark.parametrize("shape", ["low", "negative", "long names", "too long names"])
def test_nothing_hides_anything_and_no_text_is_cut_off(
    shape: str, num_runs: int, tmp_path: Path
) -> None:
    t = np.linspace(0, 1, 10)
    shapes = {"low": 1e-3 * t, "negative": -1e6 + 9e5 * t}
    y = shapes.get(shape, 500 * t)
    start = "CartPole-v1-ppo" if shape == "long names" else "x" * 80
    folders = [f"{start}-seed0-20261121-09413{k}" for k in range(num_runs)]
    runs = [
        write_run(
            tmp_path / folder,
            [list(y), list(y)],
            algo="ppo" if "names" in shape else algo,
            scores=[y[-1], y[0]],
        )
        for folder, algo in zip(folders, ALGOS, strict=False)
    ]
    figures = [curves_figure(runs)]
    if num_runs > 1:
        figures += [performance_profile_figure(runs), improvement_figure(runs)]
    for figure in figures:
        (axes,) = figure.axes
        legend = axes.get_legend()
        assert legend is None or not legend.get_window_extent().overlaps(axes.bbox)
        drawn = figure.get_tightbbox()
        assert drawn.x0 >= 0
        assert drawn.y0 >= 0
        assert drawn.x1 <= figure.get_figwidth()
        assert drawn.y1 <= figure.get_figheight()
        assert axes.bbox.height > 0.4 * figure.bbox.height


def test_lines_are_told_apart_without_colour() -> None:
    styles = [line_style(k) for k in range(24)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 24
    # And with it: no two of the first seven are alike in grey, and to the colour-blind.
    colors = [to_hex(style["color"]) for style in styles[:7]]
    assert len(set(colors)) == 7


def test_svg_is_text_and_always_the_same(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / algo, rising(3), algo=algo) for algo in ("ppo", "a2c")]
    once = svg_of(curves_figure(runs))
    figure = curves_figure(runs)
    assert svg_of(figure) == once == svg_of(figure)
    assert svg_of(curves_figure(runs[:1])) != once
    root = ElementTree.fromstring(once)
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("ppo", "a2c", "environment steps of each seed", "95 % interval"):
        assert word in words
    assert "date" not in once


def test_png_has_the_line_in_it(tmp_path: Path) -> None:
    for num_seeds in (0, 1, 5):
        run = write_run(tmp_path / str(num_seeds), rising(num_seeds) or [[None]])
        path = tmp_path / f"{num_seeds}.png"
        path.write_bytes(png_of(curves_figure([run])))
        picture = matplotlib.image.imread(path)
        blue = (picture[..., 2] > picture[..., 0] + 0.1).mean()
        assert (blue > 1e-3) == (num_seeds > 0)


def test_runs_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    def run(folder: str, **experiment: object) -> uphill.Run:
        return write_run(tmp_path / folder, rising(1), **experiment)

    ppo, a2c = run("x/one"), run("x/two", algo="a2c")
    assert names_of([ppo, a2c]) == ["ppo", "a2c"]
    assert names_of([ppo, run("x/three"), a2c]) == ["ppo · one", "ppo · three", "a2c"]
    other = run("x/four", env="Pendulum-v1", env_kwargs={"g": 5})
    assert names_of([ppo, other]) == ["ppo · CartPole-v1", "ppo · Pendulum-v1 (g=5)"]
    default = [run(f"x/CartPole-v1-ppo-seed0-{k}") for k in range(2)]
    assert names_of(default) == ["ppo · seed0-0", "ppo · seed0-1"]
    longest = [run(f"z/{'x' * 80}{k}") for k in range(2)]
    assert names_of(longest) == [f"…{'x' * 42}{k}" for k in range(2)]
    wind: dict[str, Any] = {"continuous": True, "enable_wind": True, "turbulence_power": 1.5}
    long = {"env": "LunarLander-v3", "env_kwargs": wind}
    named = names_of([run("x/five", **long), run("x/six", algo="a2c", **long), other])
    assert [name.split(" · ")[0] for name in named] == ["ppo", "a2c", "ppo"]
    near, far = names_of([ppo, run("y/one")])
    assert near.endswith("/x/one")
    assert far.endswith("/y/one")


# --- final evaluations --------------------------------------------------------------------------


def test_profile_falls_at_each_score(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "ppo", rising(4), scores=[500.0, 100.0, 500.0, 300.0]),
        write_run(tmp_path / "a2c", rising(2), algo="a2c", scores=[50.0, 200.0]),
    ]
    lines = performance_profile_figure(runs).axes[0].get_lines()
    for line, scores in zip(lines, ([500, 100, 500, 300], [50, 200]), strict=True):
        assert line.get_drawstyle() == "steps-post"
        thresholds, shares = np.asarray(line.get_xydata()).T
        assert {50, 100, 200, 300, 500} < set(thresholds)
        np.testing.assert_allclose(shares, [np.mean(np.array(scores) > t) for t in thresholds])
    assert [line.get_color() for line in lines] == [line_style(k)["color"] for k in (0, 1)]


def test_improvement_has_a_row_for_each_pair(tmp_path: Path) -> None:
    scores = {"ppo": [3.0, 4.0], "a2c": [1.0, 3.0], "vpg": [0.0, 0.0]}
    runs = [write_run(tmp_path / a, rising(2), algo=a, scores=s) for a, s in scores.items()]
    result = plot_runs(runs, tmp_path / "out")
    found = {(row["x"], row["y"]): row["probability"] for row in result["improvements"]}
    assert found == {("ppo", "a2c"): 3.5 / 4, ("ppo", "vpg"): 1.0, ("a2c", "vpg"): 1.0}
    (axes,) = improvement_figure(runs).axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["ppo  >  a2c", "ppo  >  vpg", "a2c  >  vpg"]


def test_what_can_not_be_compared_is_said(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", rising(2), scores=[1.0, 2.0])
    two = write_run(tmp_path / "two", rising(2), algo="a2c", scores=[2.0, 3.0])
    unevaluated = write_run(tmp_path / "three", rising(2), algo="vpg")
    single = write_run(tmp_path / "four", rising(1), algo="npg", scores=[2.0])
    elsewhere = write_run(tmp_path / "five", rising(2), env="Pendulum-v1", scores=[1.0, 2.0])
    result = plot_runs([one, unevaluated, single, two], tmp_path / "out")
    assert [Path(path).name for path in result["pictures"][::2]] == [
        *("curve.png", "profile.png", "improvement.png"),
    ]
    assert [(row["x"], row["y"]) for row in result["improvements"]] == [("ppo", "a2c")]
    no_evaluation, one_seed = result["left_out"]
    assert f"`uphill.evaluate({str(unevaluated.path)!r})` writes" in no_evaluation
    assert f"{single.path} is in the curves alone: to compare scores takes at least 2" in one_seed
    # The line of the third and of the fourth run looks the same in both pictures.
    names = [
        line.get_color() for line in performance_profile_figure([one, single, two]).axes[0].lines
    ]
    assert names == [line_style(k)["color"] for k in (0, 2)]
    result = plot_runs([one, elsewhere], tmp_path / "others")
    assert result["left_out"] == [
        "Scores are not compared, since the runs have different environments: "
        "CartPole-v1, Pendulum-v1."
    ]
    assert len(result["pictures"]) == 2
    with pytest.raises(UphillError, match="different environments"):
        improvement_figure([one, elsewhere])
    with pytest.raises(UphillError, match="takes at least two runs"):
        performance_profile_figure([one])


# --- files --------------------------------------------------------------------------------------


def test_one_run_keeps_its_pictures_and_several_get_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_run(Path("runs/one"), rising(1))
    two = write_run(Path("runs/two"), rising(1))
    assert plot_run(one) == one.plot() == Path("runs/one/curve.png")
    assert plot_runs([one])["pictures"] == ["runs/one/curve.png", "runs/one/curve.svg"]
    assert plot_runs(["runs/one", Path("runs/one"), one])["pictures"][0] == "runs/one/curve.png"
    told = plot_runs([one], against="seconds", column="rollout/num_episodes")
    assert told["pictures"][0] == "runs/one/curve-rollout-num-episodes-seconds.png"
    first, second = (plot_runs([one, two])["pictures"] for _ in range(2))
    assert not set(first) & set(second)
    for path in (*first, *second):
        assert Path(path).parent.parent == Path("plots")
        assert Path(path).stat().st_size > 1000
    assert plot_runs([one, two], "a/b.svg")["pictures"] == ["a/b.svg"]
    assert Path("a/b.svg").read_text().startswith("<svg")
    assert plot_runs([one], "a/b.png")["pictures"] == ["a/b.png"]
    Path("with.ending").mkdir()
    assert plot_runs([one], "with.ending")["pictures"][0] == "with.ending/curve.png"


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rising(1))
    for runs, keywords, sentence in (
        ([], {}, "runs is empty"),
        ([run, tmp_path], {}, "is not a run directory"),
        ([run], {"column": "nope"}, "column is 'nope'.*use one of .*rollout/episode_return"),
        ([run], {"out": "x.pdf"}, r"out is x\.pdf: end it in \.png or \.svg"),
    ):
        with pytest.raises(UphillError, match=sentence):
            plot_runs(runs, **keywords)
    assert {path.name for path in run.path.iterdir()} == {"experiment.json", "metrics.csv"}
    (run.path / "metrics.csv").unlink()
    with pytest.raises(UphillError, match=r"metrics.csv is not there yet"):
        run.plot()
