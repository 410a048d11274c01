"""Custom parts, by name: `module:Name`. A file only names them; the reader passes them, or allows
their module to be imported."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeGuard

import optax

from uphill.envs.importing import named
from uphill.errors import UphillError
from uphill.parts.schedule import KINDS
from uphill.runs.imports import may_import, remember
from uphill.words import option

OwnPart = type | optax.GradientTransformation
"""The class of a part, or a transformation that is the optimiser."""


class OwnPartError(UphillError):
    """A custom part that is not available."""


class NotGivenError(OwnPartError):
    """It was not passed again."""


def type_name(part: type) -> str:
    """What experiment.json calls a type: one of ours by its name, any other with its module."""
    is_ours = part.__module__.partition(".")[0] == "uphill"
    return part.__name__ if is_ours else f"{part.__module__}:{part.__qualname__}"


def is_own_name(name: object) -> TypeGuard[str]:
    """Whether it is the name of a custom part, and not a schedule such as linear:1:0."""
    is_name = isinstance(name, str) and re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.<>]*", name)
    return bool(is_name) and str(name).partition(":")[0] not in KINDS


def import_named(name: str, field: str) -> Any:
    """What `module:Name` names; the module is imported.

    Raises:
        OwnPartError: if there is no such module, or nothing of that name in it.
    """
    try:
        return named(name, field)
    except UphillError as error:
        raise OwnPartError(str(error)) from error


def checked(part: Any, name: str, kinds: tuple[type, ...], field: str) -> type:
    """The part.

    Raises:
        OwnPartError: if it is no part of one of the kinds.
    """
    if isinstance(part, type) and issubclass(part, kinds):
        return part
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise OwnPartError(
        f"{field} is {name}, which is no {wanted} of uphill.parts: derive it from that."
    )


class OwnParts:
    """Where custom parts come from when a file is read: those that are passed, each an `OwnPart`,
    and if imports are allowed (or were before, from the folder `current`) the modules that it
    names.

    Raises:
        UphillError: if something else is given.
    """

    def __init__(
        self,
        given: Iterable[Any] = (),
        allow_import: bool = False,
        current: str | None = None,
    ) -> None:
        is_one = isinstance(given, OwnPart) or not isinstance(given, Iterable)
        found: tuple[Any, ...] = (given,) if is_one else tuple(given)
        for part in found:
            if not isinstance(part, OwnPart):
                raise UphillError(f"parts has {part!r}: give classes, as in parts=[MySurrogate].")
        self._types = [part for part in found if isinstance(part, type)]
        names = [type_name(part) for part in dict.fromkeys(self._types)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UphillError(
                f"Two parts are called {twice}, and a file tells parts apart by their names: give "
                "each a name of its own, or make what differs a field."
            )
        self._transformations = iter([part for part in found if not isinstance(part, type)])
        self._allow_import, self._current = allow_import, current

    def part(self, name: str, kinds: tuple[type, ...], field: str) -> type:
        """The class of that name: the one that was given, from whichever module it is now.

        Raises:
            NotGivenError: if it was not given, and may not be imported.
            OwnPartError: if it is of another kind, or its module has none.
        """
        module, _, path = name.partition(":")
        by_name = {type_name(part): part for part in self._types}
        by_path = {part.__qualname__: part for part in self._types}
        found = by_name.get(name) or by_path.get(path)
        if found is not None:
            return checked(found, name, kinds, field)
        is_importable = module != "__main__" and "<locals>" not in path
        if is_importable and may_import(name, self._allow_import, self._current):
            return self._imported(name, kinds, field)
        short = path.rpartition(".")[2]
        allowing = option("allow_import", True)
        importing = f", or add {allowing} to import {module!r} if you trust it"
        raise NotGivenError(
            f"{field} is {name}, a custom part: give it again with parts=[{short}] "
            f"(uphill.load, uphill.resume){importing if is_importable else ''}."
        )

    def _imported(self, name: str, kinds: tuple[type, ...], field: str) -> type:
        """The class of that name, from its module.

        Raises:
            NotGivenError: if it is not there any more, or is another thing: to show what the run
                measured needs no part.
        """
        try:
            part = checked(import_named(name, field), name, kinds, field)
        except OwnPartError as error:
            raise NotGivenError(str(error)) from error
        if self._allow_import:
            remember(name, self._current)
        return part

    def transformation(self, name: object, field: str) -> optax.GradientTransformation:
        """The next of the transformations that were given, in the order of the file.

        Raises:
            NotGivenError: if there is none.
            OwnPartError: if it is not the one of the file, as far as names tell.
        """
        found = next(self._transformations, None)
        if found is None:
            raise NotGivenError(
                f"{field} is a transformation of gradients ({name}), which no file can hold: give "
                "it again with parts=[transformation] (uphill.load, uphill.resume)."
            )
        if transformation_name(found) != name:
            raise OwnPartError(
                f"{field} was {name}, and parts has {transformation_name(found)}: give what the "
                "run was trained with, in the order of experiment.json."
            )
        return found


def transformation_name(transformation: optax.GradientTransformation) -> str:
    """The function that made it, which is all that it tells of itself: `chain`, mostly."""
    made_by = getattr(transformation.update, "__qualname__", repr(transformation.update))
    return made_by.partition(".")[0]


class Withheld:
    """Stands for an algorithm one of whose parts was not passed again. Its written settings can be
    shown; any other use raises an error that says what to pass."""

    def __init__(self, document: dict[str, Any], sentence: str) -> None:
        self.document, self.sentence = document, sentence

    def __repr__(self) -> str:
        return f"Withheld({self.sentence!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotGivenError(self.sentence)


def own_parts_in(whole: Any) -> Iterator[OwnPart]:
    """The custom parts in an algorithm or a part, in the order of the file."""
    if isinstance(whole, optax.GradientTransformation):
        yield whole
    elif is_dataclass(whole):
        if is_own_name(type_name(type(whole))):
            yield type(whole)
        for field in fields(whole):
            yield from own_parts_in(getattr(whole, field.name))


NOTHING_OWN = OwnParts()
