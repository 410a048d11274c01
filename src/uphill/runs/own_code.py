"""Which custom code a run is trained with: a checksum for each file of it."""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import gymnasium
import optax

from uphill.envs.make import EnvironmentChoice
from uphill.envs.wrappers import module_of
from uphill.parts import Algorithm
from uphill.runs.experiment import PACKAGES, installed_versions
from uphill.runs.machine import differences
from uphill.runs.own_parts import Withheld, own_parts_in

Code = dict[str, str]
"""Beginnings of SHA-256 checksums, by the names of modules: their versions, as it were"""

_SCRIPTS = ("__main__", "__mp_main__")
"""What a script is called in its process, and in those that it starts"""


def versions_with(
    choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: Any
) -> dict[str, str]:
    """The versions of what the results depend on, and the checksums of custom code."""
    return installed_versions() | code_of(choice, algorithm, network)


def other_versions(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What has another version, in words. Custom code counts where both have a checksum of it: what
    was typed into an interpreter, or sent to another process, has none."""
    known = {name: x for name, x in before.items() if name in now or name in PACKAGES}
    return differences(known, dict(now))


def begun_with_others(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The notice for work that goes on with other versions; empty if they are the same."""
    differ = other_versions(before, now)
    return differ and f"What is there was begun with other versions: now it is {differ}."


def code_of(choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: Any) -> Code:
    """The modules in which the custom parts, networks, environment and wrappers are. What they
    import in turn is not looked at. The network may be anything: it is checked later."""
    found: Code = {}
    for thing in _own(choice, algorithm, network):
        name, file = _module_of(thing)
        if file is None or name.partition(".")[0] in PACKAGES:
            continue
        try:
            found[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
        except (OSError, ValueError):  # there is no such file, or not for this user
            continue
    return found


def _own(choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: Any) -> Iterator[Any]:
    yield choice.env
    if isinstance(choice.env, str) and choice.backend == "gymnasium":
        spec = gymnasium.registry.get(choice.env.rpartition(":")[2])
        yield None if spec is None else spec.entry_point
    yield from (w.text for w in choice.alterations.wrappers if module_of(w.text))
    yield from own_parts_in(algorithm)
    yield network


def _module_of(thing: Any) -> tuple[str, str | None]:
    """The module of a class, a function, an instance or what `module:Name` names, and its file. A
    script has the name by which it could be imported."""
    if isinstance(thing, str):
        name, _, path = thing.partition(":")
    else:
        thing = _bare(thing)
        name, path = getattr(thing, "__module__", None), _qualified(thing)
    if not isinstance(name, str):
        return "", None
    module = sys.modules.get(name)
    if isinstance(thing, FunctionType):
        file = thing.__code__.co_filename
    elif name in _SCRIPTS and not hasattr(module, path.partition(".")[0]):
        file = None  # this process was sent what another one's script has
    else:
        file = _file_of(name) if module is None else getattr(module, "__file__", None)
    if name in _SCRIPTS and file is not None:
        name = getattr(getattr(module, "__spec__", None), "name", None) or Path(file).stem
    return name, file


def _bare(thing: Any) -> Any:
    """What was written, without what was put around it."""
    if isinstance(thing, optax.GradientTransformation):
        thing = thing.update
    while isinstance(thing, partial):
        thing = thing.func
    thing = inspect.unwrap(thing) if callable(thing) else thing
    return getattr(thing, "__func__", thing)


def _qualified(thing: Any) -> str:
    return getattr(thing, "__qualname__", None) or type(thing).__qualname__


def _file_of(module: str) -> str | None:
    """The file of a module that is not imported yet."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin
