"""Whatever reads a run directory, as functions from one to what it comes to."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import pytest

import uphill
import uphill.run
from uphill.errors import UphillError
from uphill.runs.files import to_tensors
from uphill.runs.lock import RunLock
from uphill.sessions.init_from import encoding_in, initialized
from uphill.sessions.resume import go_on
from uphill.sessions.settings_file import read_settings
from uphill.training.state import TrainState
from uphill.views.plots.curves import curves_figure
from uphill.views.report.page import comparison_page, report_page
from uphill.views.report.shelf import Shelf

MORE_STEPS = 10_000


def digest(tree: Any) -> str:
    """The arrays of a tree, in a word."""
    return hashlib.sha256(to_tensors(eqx.filter(tree, eqx.is_array))).hexdigest()[:16]


def load(run: Path) -> Any:
    opened = uphill.load(run)
    seeds = opened.experiment.seeds
    assert opened.learners.num_updates.shape == (seeds,)
    assert len(opened.milestones) <= 256 * seeds
    return digest(opened.learners), opened.summary(), opened.milestones, opened.experiment


def best(run: Path) -> Any:
    opened = uphill.load(run, checkpoint="best")
    return digest(opened.learners), opened.best_seed_index


def kept(run: Path) -> Any:
    """The policies of its milestones."""
    opened = uphill.load(run)
    return [digest(opened.actor_at(milestone)) for milestone in opened.milestones]


def settings(run: Path) -> Any:
    """What `--settings` takes of it; the file itself comes to the same."""
    found = [read_settings(path, "CartPole-v1") for path in (run, run / "experiment.json")]
    taken = [(x.start.algorithm, x.start.steps, x.others) for x in found]
    assert taken[0] == taken[1]
    return taken[0]


def init_from(run: Path) -> Any:
    """Its own networks, as those of a training of the same settings."""
    encoding = encoding_in(run)
    opened = uphill.load(run)
    state, space = TrainState(opened.learners, None), gymnasium.spaces.Discrete(2)
    state, origin, sentence = initialized(state, opened.experiment, run, None, space)
    return encoding, digest(state.learners), origin.sha256, sentence


def evaluate(run: Path) -> dict[str, Any]:
    return uphill.load(run).evaluate(1)


def resume(run: Path) -> Any:
    """Until before its first update."""
    with RunLock(run):
        session = go_on(run, steps=MORE_STEPS, quiet=True)
        session.evaluations.close()
        session.trainer.close()
        session.sinks.finish(None)
    state, memory = session.state, session.memory
    return digest(state.learners), digest(state.lanes), state.num_transitions, memory.history


def plot(run: Path) -> list[Any]:
    figure = curves_figure([uphill.load(run)])
    return [line.get_xydata().tolist() for line in figure.axes[0].lines]


def report(run: Path) -> str:
    html = report_page(uphill.load(run), films=False).html
    assert html.rstrip().endswith("</html>")
    return html


def compare(run: Path) -> str:
    other = next(path for path in run.parent.iterdir() if path != run)
    return comparison_page([uphill.load(run), uphill.load(other)]).html


def watch(run: Path) -> list[str]:
    """The list of runs, in no order; whatever one of them has, the other is there."""
    shelf = Shelf(run.parent)
    page = shelf.index().html
    shelf.close()
    others = [path.name for path in run.parent.iterdir() if path != run]
    assert all(f"/report?run={name}" in page for name in others)
    page = re.sub(r' data-newest="\d+"', "", page)
    return sorted(re.findall(r"<tr .*?</tr>", page, re.DOTALL))


READERS: dict[str, Callable[[Path], Any]] = {
    "load": load,
    "best": best,
    "kept": kept,
    "settings": settings,
    "init_from": init_from,
    "plot": plot,
    "report": report,
    "compare": compare,
    "watch": watch,
    "evaluate": evaluate,
    "resume": resume,  # last: it writes
}


def outcome(reader: Callable[[Path], Any], run: Path) -> tuple[Any, str]:
    """What a reader comes to, or the sentence that it says instead."""
    try:
        return reader(run), ""
    except UphillError as error:
        return None, str(error)


@contextmanager
def evaluated_once() -> Iterator[None]:
    """While it is entered, policies that were evaluated in an environment need not play again."""
    known: dict[Any, Any] = {}
    real = uphill.run.evaluate_actors

    def remembered(choice: Any, actors: Any, *rest: Any) -> Any:
        structure = jax.tree.structure(actors)
        key = (repr(choice), digest(actors), repr(structure), rest)
        if key not in known:
            known[key] = real(choice, actors, *rest)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uphill.run, "evaluate_actors", remembered)
        yield
