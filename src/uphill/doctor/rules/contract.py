"""Whether the environment keeps the contract: what it returns, and whether it returns at all."""

from uphill.doctor.facts import Complaint, EnvironmentFacts, Play
from uphill.doctor.finding import Finding, Name, Severity
from uphill.doctor.rules.episodes import not_repeatable
from uphill.doctor.rules.observations import written_over

_RARE = 0.01
_BROKEN: dict[Name, str] = {
    "reset-raises": "Mend the environment at that line, and examine it again.",
    "step-raises": "Mend the environment at that line, and examine it again.",
    "hangs": "See what it waits for: a simulator that is not running, an input, a loop without an "
    "end.",
    "wrong-return": "Return exactly this; an old Gym's `done` is `terminated`, and its time limit "
    "`truncated`.",
    "observation-shape": "Mend the observation or the observation_space: they must agree.",
    "observation-dtype": "Mend the observation or the observation_space: they must agree.",
    "reward-not-a-number": "Return one number as the reward.",
}
_COMPLAINTS: dict[Name, tuple[Severity, str]] = {
    "observation-not-finite": (
        "problem",
        "Find where it comes from (a division by zero, an overflow, a sensor without a reading): "
        "one such number spoils every weight of a network.",
    ),
    "reward-not-finite": (
        "problem",
        "Find where it comes from (a division by zero, a logarithm, an infinite penalty): one such "
        "number spoils every weight of a network.",
    ),
    "observation-outside-space": (
        "problem",
        "Widen the bounds of observation_space, or fix the observation: whoever scales by these "
        "bounds is misled.",
    ),
    "observation-dtype": (
        "advice",
        "Return `observation.astype(self.observation_space.dtype)`, or declare the dtype that it "
        "has.",
    ),
}


def could_not_be_played_on(facts: EnvironmentFacts) -> list[Finding]:
    """An exception, a call that never returned, or an unusable return value."""
    return [
        Finding(failure.finding, "problem", failure.seen, _BROKEN[failure.finding])
        for failure in facts.failures
    ]


def returned_what_it_should_not(facts: EnvironmentFacts) -> list[Finding]:
    """Numbers that are not finite, out of bounds, or of another type."""
    found = []
    for name, (severity, mend) in _COMPLAINTS.items():
        plays = [play for play in _judged(name, facts) if name in play.complaints]
        if not plays or name in {x.finding for x in facts.failures}:
            continue
        if name == "observation-outside-space" and not _is_often(name, facts.random):
            severity = "note"
        if name == "observation-dtype" and facts.cannot_train is not None:
            severity = "problem"
        seen = _counted([play.complaints[name] for play in plays], plays)
        found.append(Finding(name, severity, seen, mend))
    return found


def _judged(name: Name, facts: EnvironmentFacts) -> tuple[Play, ...]:
    """The plays that count: constant actions may drive anything out of its bounds."""
    return (facts.random,) if name == "observation-outside-space" else facts.plays


def _is_often(name: Name, play: Play) -> bool:
    return play.complaints[name].count > _RARE * len(play.rewards)


def _counted(complaints: list[Complaint], plays: list[Play]) -> str:
    count, steps = sum(x.count for x in complaints), sum(len(p.rewards) for p in plays)
    times = "Once" if count == 1 else f"{count:,} times"
    first = "" if count == 1 else "first "
    return f"{times} in {steps:,} steps: {first}{complaints[0].example}."


def training_refused(facts: EnvironmentFacts) -> list[Finding]:
    """What our trainer says, if no other finding says it."""
    said = {x.finding for x in facts.failures} | {n for p in facts.plays for n in p.complaints}
    if facts.cannot_train is None or said & set(_COMPLAINTS):
        return []
    mend = "Fix this first: no training gets past it."
    return [Finding("cannot-train", "problem", facts.cannot_train, mend)]


def checker_said(facts: EnvironmentFacts) -> list[Finding]:
    """What Gymnasium's checker says: of less weight where it repeats a finding of ours."""
    ours = (could_not_be_played_on, returned_what_it_should_not, not_repeatable, written_over)
    is_known = facts.is_old or any(rule(facts) for rule in ours)
    return [
        Finding(
            "gymnasium-checker",
            "advice" if message.is_error and not is_known else "note",
            f"Gymnasium's own checker {'stopped' if message.is_error else 'warns'}: "
            f"{message.text.rstrip('.')}.",
            "Mend it, then `gymnasium.utils.env_checker.check_env(env.unwrapped)` is silent: other "
            "libraries rely on that.",
        )
        for message in facts.checker
    ]


def speaks_the_old_language(facts: EnvironmentFacts) -> list[Finding]:
    """The old Gym's signatures."""
    if not facts.is_old:
        return []
    return [
        Finding(
            "old-signatures",
            "note",
            "It has signatures of the old Gym (a step of four values, or a reset without seed and "
            "options); Uphill adapts them.",
            "For other libraries: reset(self, *, seed=None, options=None) → (observation, info), "
            "and step(action) → (observation, reward, terminated, truncated, info).",
        )
    ]


def prints_at_every_step(facts: EnvironmentFacts) -> list[Finding]:
    """Output while it is stepped."""
    steps, lines = len(facts.random.rewards), len(facts.printed)
    if not steps or lines < max(3, steps / 100):
        return []
    shown = next((line for line in facts.printed if line.strip()), "")
    return [
        Finding(
            "prints",
            "advice",
            f"It printed {lines:,} lines in {steps:,} steps of random play, such as "
            f"“{shown.strip():.60}”.",
            "Take the printing out of step and reset: it slows training, and hides what training "
            "shows.",
        )
    ]
