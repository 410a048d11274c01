"""`on_point`: the user's function that is called at every logging point."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from uphill.envs.backends.checks import own_traceback
from uphill.errors import UphillError
from uphill.learning.learner import Learner, policy_of, take
from uphill.parts import Algorithm
from uphill.policies.trained import TrainedPolicy
from uphill.training.rows import LoggedRow, logged_name

OnPoint = Callable[[list[LoggedRow], list[TrainedPolicy]], Any]
"""`on_point(rows, policies)`: the rows of metrics.csv at this point and the policies as they are
now, one of each for every seed. It returns None to go on, True to stop, a dict of custom metrics (a
number, or one for each seed), or both as a pair."""


@dataclass(frozen=True)
class Answer:
    """What it returned."""

    stop: bool = False
    metrics: dict[str, list[float | None]] = field(default_factory=dict)
    """by column, for each seed"""

    def joined(self, rows: Sequence[LoggedRow]) -> list[LoggedRow]:
        """The rows of the point, with these metrics."""
        own = ({name: x[s] for name, x in self.metrics.items()} for s in range(len(rows)))
        return [row | new for row, new in zip(rows, own, strict=True)]


NO_ANSWER = Answer()


def check_callable(on_point: object) -> None:
    """Raises:
    UphillError: if it is something that can't be called.
    """
    if on_point is not None and not callable(on_point):
        raise UphillError(f"on_point is {on_point!r}: give a function, as on_point=look.")


def answer_of(
    on_point: OnPoint, rows: list[LoggedRow], algorithm: Algorithm, learners: Learner
) -> Answer:
    """The result of the user's function at a logging point; `learners` are those of all seeds.

    Raises:
        UphillError: if it raises, with its traceback, or returns something else than it may.
    """
    learners = jax.device_get(learners)
    policies = [policy_of(algorithm, take(learners, s)) for s in range(len(rows))]
    try:
        returned = on_point([dict(row) for row in rows], policies)
    except (Exception, SystemExit) as error:
        trace = error.__traceback__
        own = error.with_traceback(trace.tb_next) if trace else error
        raise UphillError(
            f"on_point raised {type(error).__name__} at {_where(rows)}; its own error follows.\n"
            f"{own_traceback(own)}"
        ) from error
    metrics, stop = _parted(returned)
    names = [_checked_name(name, rows[0]) for name in metrics]
    if len(set(names)) < len(names):
        raise UphillError(f"on_point returned two metrics of one name, of {', '.join(names)}.")
    values = (_per_seed(name, value, len(rows)) for name, value in metrics.items())
    return Answer(stop, dict(zip(names, values, strict=True)))


def _where(rows: list[LoggedRow]) -> str:
    return f"{min(row['steps'] for row in rows):,} steps"


def _parted(returned: Any) -> tuple[Mapping[Any, Any], bool]:
    """Metrics, and whether to stop."""
    match returned:
        case None:
            return {}, False
        case bool() | np.bool_():
            return {}, bool(returned)
        case Mapping():
            return returned, False
        case (Mapping() as metrics, bool() | np.bool_() as stop):
            return metrics, bool(stop)
    raise UphillError(
        f"on_point returned {returned!r}: return None to go on, True to stop, a dict of metrics, "
        "or both as (metrics, True)."
    )


def _checked_name(name: Any, row: LoggedRow) -> str:
    """The column of a metric."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise UphillError(f"on_point returned a metric called {name!r}: use a text as its name.")
    if logged_name(name) in row:
        raise UphillError(
            f"on_point returned a metric called {name!r}, which is a column of ours: give it "
            "another name."
        )
    return logged_name(name)


def _per_seed(name: str, value: Any, num_seeds: int) -> list[float | None]:
    """The numbers of a metric."""
    array = np.asarray(value)
    if array.dtype.kind in "biufO" and array.shape in ((), (num_seeds,)):
        try:
            each = np.broadcast_to(array, (num_seeds,)).tolist()
            return [None if x is None else float(x) for x in each]
        except (TypeError, ValueError, OverflowError):
            pass  # an object that is no number
    each = f", or {num_seeds} numbers, one for each seed" if num_seeds > 1 else ""
    raise UphillError(f"on_point returned {name} = {value!r}: give a number{each} (None for none).")
