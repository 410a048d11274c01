"""From facts to findings: small functions, each for one fault.

No rule touches an environment. A rule that depends on another's finding calls that rule.
"""

from uphill.doctor.facts import EnvironmentFacts
from uphill.doctor.finding import Finding, Severity
from uphill.doctor.rules import actions, contract, episodes, learning, observations, rewards, unseen

RULES = (
    contract.could_not_be_played_on,
    contract.returned_what_it_should_not,
    contract.training_refused,
    episodes.never_ends,
    rewards.never_varies,
    actions.without_effect,
    observations.constant_numbers,
    rewards.is_sparse,
    unseen.depends_on_what_is_not_seen,
    learning.no_better_than_random,
    learning.constant_as_good,
    observations.duplicate_numbers,
    observations.badly_scaled_numbers,
    observations.categories_as_bytes,
    observations.written_over,
    rewards.badly_scaled_rewards,
    episodes.no_time_limit,
    episodes.time_limit_as_termination,
    episodes.both_flags,
    episodes.not_repeatable,
    contract.prints_at_every_step,
    contract.checker_said,
    contract.speaks_the_old_language,
)


def find(facts: EnvironmentFacts) -> list[Finding]:
    """All findings, the gravest first."""
    order: tuple[Severity, ...] = ("problem", "advice", "note")
    found = [finding for rule in RULES for finding in rule(facts)]
    return sorted(found, key=lambda finding: order.index(finding.severity))
