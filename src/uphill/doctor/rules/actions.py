"""Findings about actions without effect."""

from uphill.doctor.facts import EnvironmentFacts
from uphill.doctor.finding import Finding
from uphill.doctor.repeats import FEWEST
from uphill.words import among, listed


def without_effect(facts: EnvironmentFacts) -> list[Finding]:
    """Actions, or components of the action, that make no difference in any situation tried."""
    effects = facts.effects
    if effects is None or effects.num_situations < FEWEST:
        return []
    situations = f"in {effects.num_situations} situations"
    if effects.is_all:
        return [
            Finding(
                "actions-change-nothing",
                "problem",
                f"Whatever was done {situations}, the same observations and rewards followed.",
                "See whether step uses its action at all.",
            )
        ]
    if effects.alike:
        groups = "; ".join(f"{listed(among(group))} did the same" for group in effects.alike)
        return [
            Finding(
                "action-without-effect",
                "advice",
                f"Of the actions, {groups}, {situations} in which the others differed.",
                "See whether step tells them apart; if they are meant to be alike, or matter in "
                "rare situations only, all is well.",
            )
        ]
    if effects.idle:
        return [
            Finding(
                "action-without-effect",
                "advice",
                f"{listed(among(effects.idle))} changed nothing {situations}, from one bound to "
                "the other.",
                "See whether step uses it; leave it out of action_space otherwise.",
            )
        ]
    return []
