"""What must be passed again to use a run: nothing is imported just because a file names it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from uphill.envs.alterations import Alterations
from uphill.envs.base import World
from uphill.envs.make import EnvironmentChoice, choose, looks_like_world, name_of
from uphill.envs.wrappers import (
    Wrapper,
    Wrapping,
    imported_name,
    is_importable,
    module_of,
    same,
    wrapping_of,
    wrappings_of,
)
from uphill.errors import UphillError
from uphill.policies.own_network import NetworkFactory
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, whole
from uphill.runs.imports import may_import, remember
from uphill.runs.settings import EnvironmentChanges
from uphill.words import option, quoted

EnvironmentFactory = Callable[..., Any] | World
"""A callable that makes an environment, or a compiled world."""


def environment_of(
    experiment: Experiment,
    env: EnvironmentFactory | None,
    allow_import: bool,
    wrappers: Iterable[Wrapper] = (),
    current: str | None = None,
) -> EnvironmentChoice:
    """The environment that an experiment names. Nothing is imported on a file's say-so: what the
    user allowed before is what they allowed from the folder `current` (`may_import`).

    Raises:
        UphillError: if a callable or a world is missing, or is given where none was trained in.
    """
    is_world = experiment.is_callable and experiment.backend == "compiled"
    kind = "compiled world" if is_world else "Python callable"
    if env is not None and not experiment.is_callable and experiment.backend != "gymnasium":
        raise UphillError(
            f"env is {getattr(env, '__name__', repr(env))}: the run's environment is "
            f"{experiment.env}, so leave env out; it is for a Python callable, to be given again."
        )
    if env is not None and not (callable(env) or looks_like_world(env)):
        raise UphillError(f"env is {env!r}: give the {kind} of training, or leave it out.")
    if env is not None and looks_like_world(env) != is_world:
        raise UphillError(
            f"env is {name_of(env)}: the run's environment was the {kind} {experiment.env!r}, so "
            "give that."
        )
    if experiment.is_callable and env is None:
        call = f"{experiment.env}()" if is_world else "…"
        raise UphillError(
            f"The run's environment was the {kind} {experiment.env!r}: give it again, "
            f"uphill.load(run, env={call})."
        )
    is_imported = ":" in experiment.env and env is None
    if is_imported and not may_import(experiment.env, allow_import, current):
        module = experiment.env.split(":")[0]
        raise UphillError(
            f"The run's environment {experiment.env!r} imports the module {module!r}: add "
            f"{option('allow_import', True)} if you trust it."
        )
    given = experiment.env if env is None else env
    wrappings = _wrappings(experiment.wrappers, wrappings_of(wrappers), allow_import, current)
    choice = choose(
        given,
        experiment.backend,
        experiment.env_kwargs,
        # Older versions recorded it also where it did nothing.
        experiment.is_async and experiment.backend == "gymnasium",
        alterations_of(experiment, wrappings),
        experiment.step_timeout,
    )
    if is_imported and allow_import:
        remember(experiment.env, current)
    return choice


def alterations_of(asked: EnvironmentChanges, wrappers: Any) -> Alterations:
    """What settings change of the environment; `wrappers` as they were asked for.

    Raises:
        UphillError: if one of them makes no sense.
    """
    limit = decode(int | None, whole(encode(asked.max_episode_steps)), "max_episode_steps")
    keys = asked.drop_observations
    keys = [keys] if isinstance(keys, str) else encode(keys)
    options = decode(dict[str, Any] | None, encode(asked.reset_options), "reset_options")
    dropped = decode(tuple[str, ...], keys, "drop_observations")
    return Alterations(limit, wrappings_of(wrappers), dropped, options)


def environment_settings(choice: EnvironmentChoice) -> dict[str, Any]:
    """What an experiment holds of an environment, for `environment_of` to find it again."""
    return {
        "env": choice.name,
        "is_callable": not isinstance(choice.env, str),
        "env_kwargs": choice.env_kwargs,
        "backend": choice.backend,
        "max_episode_steps": choice.alterations.max_episode_steps,
        "wrappers": tuple(wrapping.text for wrapping in choice.alterations.wrappers),
        "drop_observations": choice.alterations.drop_observations,
        "reset_options": choice.alterations.reset_options,
    }


def _wrappings(
    texts: Sequence[Any], given: Sequence[Wrapping], allow_import: bool, current: str | None
) -> tuple[Wrapping, ...]:
    """The wrappers of a file: Gymnasium's, those that are given again, and if that is allowed those
    of the modules that it names.

    Raises:
        UphillError: if one can't be had, or one is given that the file does not name.
    """
    found, left = [], list(given)
    for text in texts:
        # Each is given for one: what only its kind is known of may come twice.
        again = next((wrapping for wrapping in left if same(wrapping.text, text)), None)
        if again is not None:
            left.remove(again)
        elif is_importable(text):
            again = next((wrapping for wrapping in given if same(wrapping.text, text)), None)
        else:
            raise UphillError(
                f"The run's environment was wrapped in {text}: give that again, "
                "uphill.load(run, wrappers=[…])."
            )
        if again is None:
            check_may_wrap(text, allow_import, current)
        found.append(again or wrapping_of(text))
        name = imported_name(text)
        if name is not None and allow_import:
            remember(name, current)
    if left:
        wrapped = f"wrapped in {', '.join(texts)}" if texts else "not wrapped"
        raise UphillError(
            f"wrappers has {left[0].text}: the run's environment was {wrapped}, so leave it out."
        )
    return tuple(found)


def check_may_wrap(text: str, allow_import: bool, current: str | None = None) -> None:
    """Raises:
    UphillError: if a file's wrapper would import a module that the user did not allow.
    """
    name = imported_name(text)
    if name is not None and not may_import(name, allow_import, current):
        raise UphillError(
            f"The run's environment is wrapped in {quoted(text)}, which imports the module "
            f"{quoted(module_of(text))}: add {option('allow_import', True)} if you trust it."
        )


def other_limit(max_episode_steps: int | None) -> dict[str, Any]:
    """A change to an experiment: another time limit, where one is asked for.

    Raises:
        UphillError: if it is not a whole number.
    """
    limit = decode(int | None, whole(encode(max_episode_steps)), "max_episode_steps")
    return {} if limit is None else {"max_episode_steps": limit}


def check_network(experiment: Experiment, network: NetworkFactory | None) -> None:
    """Raises:
    UphillError: unless custom networks are passed if, and only if, the run was trained with them.
    """
    if experiment.network and network is None:
        raise UphillError(
            f"The run's networks are your own, made by {experiment.network!r}: give it again, "
            "uphill.load(run, network=…)."
        )
    if network is not None and not experiment.network:
        raise UphillError("The run has no custom networks: leave network out.")
