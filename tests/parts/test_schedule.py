"""Schedules: how they are written, and what they are when."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from uphill.errors import UphillError
from uphill.parts import Adam
from uphill.parts.schedule import Schedule
from uphill.trajectory import Scalar


@pytest.mark.parametrize("text", ["3e-4", 3e-4, "0.0003", "constant:3e-4"])
def test_a_number_is_constant(text: str | float) -> None:
    schedule = Schedule.parse(text)
    for progress in (0.0, 0.5, 1.0):
        assert schedule.at(progress) == schedule.now(progress).value == 3e-4
    assert str(schedule) == "0.0003"


def test_linear_goes_from_the_first_to_the_second() -> None:
    schedule = Schedule.parse("linear:2:-1e1")
    assert [schedule.at(p) for p in (0.0, 0.25, 1.0)] == [2.0, -1.0, -10.0]
    assert schedule.now(0.25).at(0.9) == -1.0  # evaluated once, it stays


def test_cosine_is_slow_at_both_ends() -> None:
    schedule = Schedule.parse("cosine:2:1")
    found = [float(schedule.at(p)) for p in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(found, [2.0, 1.5 + 0.5**1.5, 1.5, 1.0], rtol=1e-6)
    assert schedule.now(0.5).at(0.9) == schedule.at(0.5)
    # Settings are made before JAX knows how many devices it is to have.
    assert type(schedule.value) is float
    assert schedule.value == 2.0


WRITTEN = ["1e-3", "linear:0.1:0", "linear:1e-08:3.3333333333333335", "cosine:1e-4:0"]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_is_read_again(text: str) -> None:
    schedule = Schedule.parse(text)
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.parse(schedule) is schedule


@pytest.mark.parametrize("text", [3e-4, 1, "linear:0.1:0", "cosine:3e-4:1e-5"])
def test_it_is_shown_as_it_is_written(text: str | float) -> None:
    schedule = Schedule.parse(text)
    assert Schedule.parse(eval(repr(schedule))) == schedule
    assert eval(repr(Adam(text)), {"Adam": Adam}) == Adam(text)
    assert repr(uphill.ppo(entropy=text)).count(f"entropy={schedule!r},") == 1
    assert "Schedule" not in repr(uphill.ppo())
    assert "Steps(num_envs=8, num_steps=128" in repr(uphill.ppo())  # defaults are settings, too


WRONG = (
    "fast | sine:1:0 | linear | linear:1 | linear:1:2:3 | linear:a:b | cosine:1 | nan | 1:2 | :1"
)


@pytest.mark.parametrize("text", [*WRONG.split(" | "), "True", "", "linear:1:nan", "linear:1:-inf"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    match = rf"is {re.escape(repr(text))}: write a number, linear:START:END or cosine:START:END\.$"
    with pytest.raises(UphillError, match=rf"^A schedule {match}"):
        Schedule.parse(text)
    with pytest.raises(UphillError, match=rf"^epsilon {match}"):
        Schedule.of("epsilon")(text)


NUMBERS = [np.float32(0.25), np.float64(0.25), np.array(0.25), np.int32(2), jnp.float32(0.25), 2]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_numbers_of_numpy_and_jax_are_pythons(number: Any) -> None:
    schedule = Schedule.parse(number)
    assert type(schedule.value) is float
    assert schedule.value == number
    assert repr(Adam(number)) == repr(Adam(float(number)))


@pytest.mark.parametrize("value", [np.float32("nan"), np.ones(2), np.bool_(True), True, None, Adam])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(UphillError, match=r"^epsilon is .*: write a number, linear:START:END or"):
        Schedule.of("epsilon")(value)


class Warmup(Schedule):
    """Up to `peak` in the first tenth, and then no further."""

    peak: float = 1e-3

    def at(self, progress: Scalar) -> Scalar:
        return self.peak * jnp.minimum(1.0, 10.0 * progress)


def test_a_schedule_of_ones_own_is_as_good() -> None:
    algorithm = uphill.ppo(optimizer=Adam(Warmup(2e-3)), entropy=Warmup())
    assert algorithm.optimizer.learning_rate == Warmup(2e-3)  # pyright: ignore
    now = algorithm.at(jnp.float32(0.05))
    np.testing.assert_allclose(now.entropy.value, 5e-4)
    np.testing.assert_allclose(now.optimizer.learning_rate.value, 1e-3)  # pyright: ignore
    assert "learning_rate=Warmup(peak=0.002)" in repr(Adam(Warmup(2e-3)))


class Wrong(Schedule):
    """What one gets wrong first."""

    how: str = eqx.field(static=True)

    def at(self, progress: Scalar) -> Any:
        if self.how == "branch":
            return 1.0 if progress < 0.5 else 0.0
        return {"array": jnp.stack([progress, progress]), "text": "0.5", "none": None}[self.how]


@pytest.mark.parametrize("how", ["branch", "array", "text", "none"])
def test_a_schedule_that_gives_no_number_is_refused(how: str) -> None:
    match = rf"^learning_rate is Wrong\(how='{how}'\), whose at\(progress\) .*: compute one number "
    with pytest.raises(UphillError, match=match):
        Adam(Wrong(how))


def test_a_schedule_must_say_what_it_is() -> None:
    class Nothing(Schedule):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()  # pyright: ignore


def test_its_numbers_are_traced() -> None:
    traces = []

    @jax.jit
    def value_at(schedule: Schedule, progress: float) -> jax.Array:
        traces.append(schedule)
        return schedule.at(progress)

    for start, progress in ((1.0, 0.5), (3.0, 0.5), (3.0, 0.75)):
        found = value_at(Schedule.parse(f"linear:{start}:0"), progress)
        np.testing.assert_allclose(found, start * (1 - progress))
    assert len(traces) == 1
