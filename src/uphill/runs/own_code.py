"""Which custom code a run is trained with: a checksum for each file of it."""

import hashlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import optax

from uphill.envs.make import EnvironmentChoice
from uphill.parts import Algorithm
from uphill.policies.own_network import NetworkFactory
from uphill.runs.experiment import installed_versions
from uphill.runs.own_parts import Withheld, own_parts_in

Code = dict[str, str]
"""Beginnings of SHA-256 checksums, by the names of modules: their versions, as it were"""


def versions_with(
    choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: NetworkFactory | None
) -> dict[str, str]:
    """The versions of what the results depend on, and the checksums of custom code."""
    return installed_versions() | code_of(choice, algorithm, network)


def code_of(
    choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: NetworkFactory | None
) -> Code:
    """The modules in which the custom parts, networks, environment and wrappers are. What they
    import in turn is not looked at, and what was typed into an interpreter has no file."""
    known = installed_versions()
    found: Code = {}
    for thing in _own(choice, algorithm, network):
        name, file = _module_of(thing)
        if file is not None and name.partition(".")[0] not in known:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return found


def _own(
    choice: EnvironmentChoice, algorithm: Algorithm | Withheld, network: NetworkFactory | None
) -> Iterator[Any]:
    yield choice.env
    yield from (wrapping.text for wrapping in choice.alterations.wrappers)
    yield from own_parts_in(algorithm)
    if network is not None:
        yield network


def _module_of(thing: Any) -> tuple[str, Path | None]:
    """The module of a class, a function, an instance or what `module:Name` names, and its file. A
    script has the name by which it could be imported."""
    while isinstance(thing, partial):
        thing = thing.func
    if isinstance(thing, optax.GradientTransformation):
        thing = thing.update
    name = thing.partition(":")[0] if isinstance(thing, str) else thing.__module__
    module = sys.modules.get(name)
    if isinstance(thing, FunctionType):
        place = thing.__code__.co_filename
    elif name == "__main__" and not hasattr(module, _top_name(thing)):
        place = None  # this process was sent what another one's script has
    else:
        place = getattr(module, "__file__", None)
    file = None if place is None else Path(place)
    if file is None or not file.is_file():
        return name, None
    return (file.stem if name == "__main__" else name), file


def _top_name(thing: Any) -> str:
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__qualname__.partition(".")[0]
