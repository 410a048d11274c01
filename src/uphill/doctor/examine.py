"""The examination: probes in order, facts, findings, and a command to go on with."""

import math
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import gymnasium

from uphill.doctor.capture import Capture, captured
from uphill.doctor.checker import ask_checker
from uphill.doctor.command import training_command
from uphill.doctor.constants import play_constants
from uphill.doctor.facts import Broken, EnvironmentFacts, Play
from uphill.doctor.finding import Finding
from uphill.doctor.play import Answering, Guarded, Limits, nothing, play_guarded
from uphill.doctor.repeats import look_for_effects, look_for_repeats
from uphill.doctor.report import document, text
from uphill.doctor.rules import find
from uphill.doctor.subject import Subject, subject_of
from uphill.doctor.training import FEWEST_STEPS, affordable_steps, train_briefly
from uphill.doctor.watch import TookTooLong, Watch
from uphill.envs.backends.gymnasium import close_quietly
from uphill.envs.backends.layers import wrapped_below
from uphill.envs.base import World
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.policies.encodings import encoding_of
from uphill.runs.configuration import decode
from uphill.runs.given import alterations_of
from uphill.runs.keywords import taken_as
from uphill.runs.settings import BackendName
from uphill.runs.studies import DoctorSettings

_CALL_SECONDS, _TRAINING_SECONDS = 10.0, 60.0
"""After this long, a call of the environment, or the brief training, counts as hanging."""
_RANDOM = Limits(episodes=100, steps=10_000, seconds=3.0)
_CONSTANT_SECONDS, _REPEAT_SECONDS, _EFFECT_SECONDS = 3.0, 1.0, 2.0
_REPEATED_STEPS = 30


@dataclass(frozen=True)
class Examination:
    """The findings, and the facts behind them. Its text is the output of `uphill doctor`."""

    facts: EnvironmentFacts = field(repr=False)
    findings: tuple[Finding, ...]
    command: str

    def __str__(self) -> str:
        return text(self.facts, self.findings, self.command)

    def result(self) -> dict[str, Any]:
        """What `uphill doctor --json` prints."""
        choice = self.facts.choice
        return {
            "env": choice.name,
            "backend": choice.backend,
            "facts": _finite(document(self.facts)),
            "findings": [asdict(finding) for finding in self.findings],
            "command": self.command,
        }


@dataclass(frozen=True)
class DoctorRequest(DoctorSettings):
    """A request for an examination: the arguments of `examine`."""

    env: str | Callable[..., Any] | World
    """An ID, `module:ID`, a callable that makes an environment, or a compiled world."""
    env_kwargs: dict[str, Any] | None = field(default=None, kw_only=True)
    """Keyword arguments of the environment."""


@taken_as(DoctorRequest, room="uphill.doctor")
def examine(request: DoctorRequest) -> Examination:
    """Find out why an agent may not learn in an environment.

    It is played at random and with constant actions, its episodes are played again, and a policy is
    trained for `steps` transitions: by default as many as some seconds allow; 0 for none.

    Raises:
        UphillError: if the environment can't be made, or an argument makes no sense.
    """
    seed, steps = request.seed, request.steps
    decode(BackendName, request.backend, "backend")
    env_kwargs = decode(dict, request.env_kwargs or {}, "env_kwargs")
    if seed < 0:
        raise UphillError(f"seed is {seed}: use 0 or more.")
    if steps is not None and steps < 0:
        raise UphillError(f"steps is {steps}: use 0 or more.")
    with captured(request.quiet) as capture, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the important ones are reported by Gymnasium's checker
        alterations = alterations_of(request, request.wrappers)
        choice = choose(request.env, request.backend, env_kwargs, alterations=alterations)
        subject = subject_of(choice, _CALL_SECONDS)
        facts = _probe(subject, seed, capture)
        facts = _train(subject, facts, seed, steps, capture)
    findings = tuple(find(facts))
    return Examination(facts, findings, training_command(facts, findings))


def _probe(subject: Subject, seed: int, capture: Capture) -> EnvironmentFacts:
    """All that needs no training."""
    made = wrapped_below(subject.make(), Answering)
    try:
        encoding_of(made.observation_space)
    except UphillError as error:
        return _unsupported(subject, made, str(error))
    with ExitStack() as stack, Watch(_CALL_SECONDS) as watch:
        stack.callback(close_quietly, made)
        env = Guarded(made, watch)
        facts = _play(subject, env, seed, capture)
        if not facts.failures:
            facts = _play_again(facts, env, seed, capture)
        if "hangs" not in {failure.finding for failure in facts.failures}:
            facts = replace(facts, checker=ask_checker(made, watch))
    return facts


def _unsupported(subject: Subject, env: gymnasium.Env, complaint: str) -> EnvironmentFacts:
    """What is known of an environment whose observations can't be represented."""
    return replace(_facts(subject, env, nothing()), cannot_train=complaint)


def _facts(subject: Subject, env: gymnasium.Env, random: Play) -> EnvironmentFacts:
    return EnvironmentFacts(
        choice=subject.choice,
        through=subject.through,
        observation_space=env.observation_space,
        action_space=env.action_space,
        max_episode_steps=subject.max_episode_steps,
        reward_threshold=subject.reward_threshold,
        is_old=subject.is_old,
        random=random,
    )


def _play(subject: Subject, env: Guarded, seed: int, capture: Capture) -> EnvironmentFacts:
    capture.say("Playing at random …")
    env.env.action_space.seed(seed)
    before = len(capture.lines())
    random = play_guarded(env, env.env.action_space.sample, _RANDOM, seed)
    printed = tuple(capture.lines()[before:])
    return replace(_facts(subject, env.env, random), printed=printed)


def _play_again(
    facts: EnvironmentFacts, env: Guarded, seed: int, capture: Capture
) -> EnvironmentFacts:
    capture.say("Playing with constant actions, and the same episodes again …")
    facts = replace(facts, constants=play_constants(env, seed, _CONSTANT_SECONDS))
    if facts.failures:
        return facts
    try:
        affordable = int(_REPEAT_SECONDS / max(facts.step_seconds or 0.0, 1e-6))
        repeats = look_for_repeats(env, seed, min(_REPEATED_STEPS, max(1, affordable)))
        facts = replace(facts, repeats=repeats)
        if repeats.step:
            facts = replace(facts, effects=look_for_effects(env, seed, _EFFECT_SECONDS))
    except Broken as broken:
        return replace(facts, broken=broken.failure)
    return facts


def _train(
    subject: Subject, facts: EnvironmentFacts, seed: int, steps: int | None, capture: Capture
) -> EnvironmentFacts:
    """The same facts, and what brief training shows; or why there was none."""
    affordable = affordable_steps(subject, facts.step_seconds or 0.0)
    wanted = affordable if steps is None else steps
    if facts.cannot_train is not None:
        return facts
    if facts.failures or "observation-not-finite" in facts.random.complaints:
        return replace(facts, no_training="nothing can be trained on it as it is")
    if steps is None and affordable < FEWEST_STEPS:
        return replace(facts, no_training="its steps take too long for a brief training")
    if not wanted:
        return replace(facts, no_training="none was asked for")
    capture.say(f"Training for {wanted:,} steps …")
    try:
        with Watch(_TRAINING_SECONDS) as watch:
            training = watch.call(train_briefly, subject, seed, wanted)
    except UphillError as error:
        said, *traceback = str(error).splitlines()
        if traceback:  # of which the last line says the most
            said = f"{said.removesuffix('; its own error follows.')}: {traceback[-1].strip()}"
        return replace(facts, cannot_train=said)
    except TookTooLong:
        return replace(facts, no_training=f"it was not through after {_TRAINING_SECONDS:g} s")
    return replace(facts, training=training)


def _finite(value: Any) -> Any:
    """A JSON document without NaN and infinities, which JSON does not know."""
    match value:
        case dict():
            return {key: _finite(x) for key, x in value.items()}
        case list() | tuple():
            return [_finite(x) for x in value]
        case float() if not math.isfinite(value):
            return None
    return value
