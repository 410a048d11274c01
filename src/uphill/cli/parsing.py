"""Reading arguments: tyro's rules for our types, and `--env.KEY VALUE`."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.flags import Flag, option_flags
from uphill.cli.help import FlagGroup, help_text
from uphill.cli.suggestions import no_such_flag
from uphill.cli.values import check_values, json_object, whole_number
from uphill.errors import UphillError
from uphill.words import literal, takes


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """How a command prints its result."""

    json: bool = False
    """Print the result as one JSON object on stdout; everything else goes to stderr."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(JsonOption):
    """A run, as the commands that use its policies ask for it."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory: what `uphill train` shows as run."""
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and custom parts name."""


def parse(
    kind: Any,
    argv: list[str],
    program: str,
    groups: Sequence[FlagGroup] = (),
    notes: Sequence[str] = (),
    default: Any = tyro.MISSING,
    algorithm: Any = None,
) -> Any:
    """Parse arguments into a dataclass; a wrong one exits with status 2 and a sentence. Help shows
    the `groups` of flags, below `notes`. `algorithm` is the one whose settings are among them.

    Raises:
        WrongCommandLine: for an unknown flag; it suggests which one is meant.
    """
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_whole_rule)
    if default is not tyro.MISSING:
        registry.primitive_rule(_schedule_rule)
        registry.struct_rule(_part_rule(algorithm))
    groups = groups or [FlagGroup("arguments and flags", option_flags(kind))]
    if {"-h", "--help"} & set(argv):
        print(help_text(program, kind.__doc__ or "", groups, notes), end="")
        raise SystemExit(0)
    flags = [flag for group in groups for flag in group.flags]
    takes(spelling for flag in flags for spelling in flag.spellings)
    check_values(argv, flags, program)
    if default is tyro.MISSING:  # tyro stumbles over one beside a word that may be left out
        _check_known(argv, flags, program)
    try:
        parsed, unknown = tyro.cli(
            kind,
            prog=program,
            args=argv,
            config=(tyro.conf.AvoidSubcommands,),
            registry=registry,
            return_unknown_args=True,
            **({} if default is tyro.MISSING else {"default": default}),
        )
    except _Refused as refused:
        raise refused.error from None
    if unknown:
        flags = [flag for flag in flags if not flag.is_word]
        raise WrongCommandLine(no_such_flag(unknown, flags, program, algorithm))
    return parsed


def _check_known(argv: Sequence[str], flags: Sequence[Flag], program: str) -> None:
    """Raises:
    WrongCommandLine: for an unknown flag.
    """
    known = {spelling for flag in flags for spelling in flag.spellings}
    names = (word.partition("=")[0].replace("_", "-") for word in argv)
    if unknown := [name for name in names if name.startswith("--") and name not in known]:
        named = [flag for flag in flags if not flag.is_word]
        raise WrongCommandLine(no_such_flag(unknown, named, program))


class _Refused(Exception):
    """A part's error about its values; not a ValueError, around which tyro would draw a box."""

    def __init__(self, error: UphillError) -> None:
        self.error = error


def _whole_rule(info: Any) -> Any:
    """How tyro reads a whole number: 1000000 as well as 1e6."""
    is_optional = info.type == int | None
    if info.type is not int and not is_optional:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="None|INT" if is_optional else "INT",
        instance_from_str=lambda words: (
            None if is_optional and words[0] == "None" else whole_number(words[0])
        ),
        is_instance=lambda value: type(value) is int or (is_optional and value is None),
        str_from_instance=lambda number: [str(number)],
    )


def _schedule_rule(info: Any) -> Any:
    """How tyro reads and shows a schedule: one word."""
    from uphill.parts.schedule import Schedule

    is_optional = info.type == Schedule | None
    if info.type is not Schedule and not is_optional:
        return None
    none = "None|" if is_optional else ""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{none}FLOAT|linear:A:B|cosine:A:B",
        instance_from_str=lambda words: (
            None if is_optional and words[0] == "None" else Schedule.parse(words[0])
        ),
        is_instance=lambda value: isinstance(value, Schedule) or (is_optional and value is None),
        str_from_instance=lambda schedule: [str(schedule)],
    )


def _flags_of(part: Any, prefix: str) -> Iterator[tuple[int, str]]:
    """Each part, by its identity, and what its flags begin with."""
    if is_dataclass(part) and not isinstance(part, type):
        yield id(part), prefix
        for field in fields(part):
            name = field.name.replace("_", "-")
            yield from _flags_of(getattr(part, field.name), f"{prefix}{name}.")


def _made(make: Callable[..., Any], prefix: str, **values: Any) -> Any:
    """A part of these values.

    Raises:
        _Refused: if it does not take them.
    """
    try:
        return make(**values)
    except UphillError as error:
        field, *rest = str(error).split(" ", 1)
        flag = f"{prefix}{field.replace('_', '-')}" if prefix and field in values else field
        kind = UphillError if prefix == "--" else WrongCommandLine  # parts that do not fit together
        raise _Refused(kind(" ".join([flag, *rest]))) from None


def _part_rule(algorithm: Any) -> Callable[[Any], Any]:
    """How tyro reads an algorithm and its parts: like any dataclass, but a field that holds a part
    has that part's settings, and an algorithm's name is not a setting. An error from a part is
    reported with the flag."""
    flags = dict(_flags_of(algorithm, "--"))
    known = tyro.constructors.ConstructorRegistry.get_struct_spec
    is_asking = False  # the registry's own rules, which are asked after this one

    def rule(info: Any) -> Any:
        nonlocal is_asking
        import equinox as eqx

        from uphill.parts import Algorithm

        if is_asking or not isinstance(info.default, eqx.Module):
            return None
        is_asking = True
        spec = known(info)
        is_asking = False
        assert isinstance(spec, tyro.constructors.StructConstructorSpec)
        types = {field.name: _setting_type(field) for field in spec.fields}
        if info.type is Algorithm:
            types["name"] = None
        kept = {field.name: field.default for field in spec.fields if types[field.name] is None}
        settings = [replace(f, type=types[f.name]) for f in spec.fields if f.name not in kept]
        make = partial(_made, spec.instantiate, flags.get(id(info.default), ""), **kept)
        return replace(spec, instantiate=make, fields=tuple(settings))

    return rule


def _setting_type(field: Any) -> Any:
    """The type that a field has on the command line: that of the part that stands in it; None where
    none does."""
    from uphill.parts.schedule import Schedule
    from uphill.runs.configuration import is_part, kinds_of, members_of

    if is_part(type(field.default)):
        return type(field.default)
    is_for_parts = any(kind is not Schedule for kind in kinds_of(field.type))
    return None if is_for_parts else reduce(or_, members_of(field.type))


JSON_OBJECT = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="JSON",
    instance_from_str=lambda words: json_object(words[0]),
    is_instance=lambda value: value is None or isinstance(value, dict),
    str_from_instance=lambda value: [json.dumps(value) if value else str(value)],
)


def take_env_kwargs(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Arguments without `--env.KEY VALUE`, and these as a dictionary."""
    rest, taken = [], {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--env."):
            rest.append(word)
            continue
        key, given, value = word.removeprefix("--env.").partition("=")
        if not given:
            value = next(words, None)
            if value is None or value.startswith("--"):
                raise WrongCommandLine(f"--env.{key} has no value: write --env.{key} VALUE.")
        taken[key.replace("-", "_")] = literal(value)
    return rest, taken
