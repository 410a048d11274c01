"""How policies encode the observations of their training environment, and its kind of actions."""

from uphill.collecting.border import encoding_of_env
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.make import AnyEnvironment
from uphill.parts import Algorithm
from uphill.policies.actions import ActionKind, action_kind_of
from uphill.policies.encodings import Encoding, encoding_of, ignoring, is_of


def encoding_for(
    env: AnyEnvironment, algorithm: Algorithm, dropped: tuple[str, ...], known: Encoding | None
) -> Encoding:
    """The encoding of observations, which may also have the `dropped` keys. A resumed training
    keeps its `known` encoding if that fits these spaces."""
    categories = algorithm.observation_categories
    if known is not None and is_of(known, env.observation_space):
        encoding = known
    elif isinstance(env, HostEnvironment):
        encoding = encoding_of_env(env, categories)
    else:
        encoding = encoding_of(env.observation_space, categories)
    return ignoring(encoding, dropped)


def action_kind_for(env: AnyEnvironment, algorithm: Algorithm) -> ActionKind:
    """What actions are."""
    policy = algorithm.policy
    is_clipped = isinstance(env, HostEnvironment) and env.is_clipped
    return action_kind_of(env.action_space, policy.distribution, policy.action_bounds, is_clipped)
