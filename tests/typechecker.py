"""The type checker that tests run under: beartype, taking `int` for `float` as PEP 484 says.

Shapes are jaxtyping's, which binds the arguments of every call to compare them with each other,
and checks them twice. Here it binds them only where an annotation has a shape, and checks them
once: a fifth of the tests' time.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, PyTree

_typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_jaxtyped = jaxtyping.jaxtyped


def install() -> None:
    """Check what is imported of Uphill from now on."""
    jaxtyping.jaxtyped = jaxtyped  # what the import hook puts over every function and class
    jaxtyping.install_import_hook("uphill", "typechecker.checked")


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    def decorate(decorated: Any) -> Any:
        annotations = getattr(decorated, "__annotations__", {})
        if inspect.isfunction(decorated) and not any(map(_has_shape, annotations.values())):
            return _typechecked(decorated)
        return _jaxtyped(decorated, typechecker=typechecker)

    return decorate


def checked(function: Any) -> Any:
    """Asked for a function's parameters first, then for the parameters and what is returned."""
    returned = {key: x for key, x in function.__annotations__.items() if key == "return"}
    if returned.get("return", Any) is not Any:
        function.__annotations__ = returned
    return _typechecked(function)


def _has_shape(annotation: Any) -> bool:
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray | PyTree):
        return True
    return isinstance(annotation, str) or any(map(_has_shape, get_args(annotation)))
