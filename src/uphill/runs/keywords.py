"""Functions whose keyword arguments are a dataclass's fields: settings that are defined once."""

import inspect
import textwrap
import typing
from collections.abc import Callable
from functools import wraps
from types import NoneType
from typing import Any, ParamSpec, TypeVar, cast

from uphill.errors import UphillError
from uphill.meant import absent, called_elsewhere, meant_by, remark
from uphill.runs.configuration import decode, encode, members_of
from uphill.runs.settings import sentences

P = ParamSpec("P")
Asked = TypeVar("Asked")
T = TypeVar("T")


def taken_as(
    kind: Callable[P, Asked],
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    room: str = "uphill",
) -> Callable[[Callable[[Asked], T]], Callable[P, T]]:
    """Decorator: expose a dataclass's fields as the function's keyword arguments, signature and
    docstring. `complete` fills in the rest; `room` is where users find the function."""

    def decorate(function: Callable[[Asked], T]) -> Callable[P, T]:
        @wraps(function)
        def call(*arguments: P.args, **keywords: P.kwargs) -> T:
            accepted = inspect.signature(kind)
            _check_arguments(room, function.__name__, accepted, arguments, keywords)
            given = complete(accepted.bind(*arguments, **keywords).arguments)
            _check_plain(typing.get_type_hints(kind), given)
            return function(cast(Any, kind)(**given))

        result = inspect.signature(function).return_annotation
        signature = inspect.signature(kind).replace(return_annotation=result)
        said = sentences(cast(type, kind))
        listed = [
            textwrap.fill(f"{name}: {said[name]}", 96, subsequent_indent="    ")
            for name in signature.parameters
            if name in said
        ]
        arguments = textwrap.indent("\n".join(listed), "    ")
        head, raises, tail = inspect.cleandoc(function.__doc__ or "").partition("\n\nRaises:")
        call.__doc__ = f"{head}\n\nArguments:\n{arguments}{raises}{tail}"
        vars(call)["__signature__"] = signature
        return call

    return decorate


_PLAIN = {bool, int, float, str, NoneType}


def _check_plain(hints: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises:
    UphillError: if a number, a text, a switch or one of several words is something else.
    """
    for name, value in given.items():
        members = members_of(hints[name])
        if all(x in _PLAIN or typing.get_origin(x) is typing.Literal for x in members):
            decode(hints[name], encode(value), name)


def _check_arguments(
    room: str,
    name: str,
    signature: inspect.Signature,
    arguments: tuple,
    keywords: dict[str, Any],
) -> None:
    """Raises:
    UphillError: if the function `name` takes no such argument; the message suggests the closest
    one.
    """
    known = signature.parameters
    for unknown in (keyword for keyword in keywords if keyword not in known):
        near, elsewhere = meant_by(unknown, known), called_elsewhere(unknown)
        if why := absent(unknown):
            mend = f"{why}."
        elif near:
            mend = f"did you mean {near[0]}{remark(unknown)}?"
        elif elsewhere and "algorithm" in known:
            where = f"{elsewhere[0]} of the algorithm, as in {name}(env, uphill.ppo(…))"
            mend = f"did you mean {where}?"
        else:
            mend = f"help({room}.{name}) lists what it has."
            if "env_kwargs" in known:
                mend = f"the environment's own go into env_kwargs={{{unknown!r}: …}}; {mend}"
        raise UphillError(f"{name}() has no argument {unknown!r}: {mend}")
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        raise UphillError(f"{name}() does not fit: {error}; see help({room}.{name}).") from error
