"""`uphill train`: its options, and the algorithm that its flags describe."""

from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from tyro.conf import Positional, UseAppendAction, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JSON_OBJECT, parse, take_env_kwargs
from uphill.cli.part_flags import describe_parts, switches_in, take_part_types, unchecked
from uphill.runs.settings import Options, Settings, SinkName


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Settings, Options):
    """Train an agent, evaluate it, and draw its learning curve."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    json: bool = False
    """Print the result as one JSON object on stdout; everything else goes to stderr."""
    # How these are typed; what they mean stands with the other settings.
    steps: int | None = None
    eval_every: int | None = None
    out: Path | None = None
    init_from: Path | None = None
    is_async: Annotated[bool, arg(name="async-envs")] = Settings.is_async
    wrappers: Annotated[UseAppendAction[tuple[str, ...]], arg(name="wrapper")] = ()
    drop_observations: Annotated[
        UseAppendAction[tuple[str, ...]], arg(name="drop-observation")
    ] = ()
    reset_options: Annotated[dict[str, Any] | None, JSON_OBJECT] = None
    log: UseAppendAction[tuple[SinkName, ...]] = ()


def command(argv: list[str]) -> None:
    """Train, and show how well the final policies do."""
    argv, env_kwargs = take_env_kwargs(argv)
    env = environment_in(argv)
    if env is None:
        parse(TrainOptions, argv, "uphill train", _PARTS_NEED_ENV)
        raise WrongCommandLine("ENV is missing: write `uphill train ENV`.")
    options, algorithm, start = parse_train(argv, env)
    from uphill.run import finish
    from uphill.sessions.launch import Request, begin

    with stdout_for(options.json) as show:
        given = {name: x for name, x in vars(options).items() if name != "json"}
        given |= {"algo": start.algo, "algorithm": algorithm, "env_kwargs": env_kwargs}
        run = finish(begin(Request(**given), start), env)
        show(run.summary())


def environment_in(argv: list[str]) -> str | None:
    """ENV: the first word that is no flag, nor the value of one.

    Raises:
        WrongCommandLine: if a flag before it has several values: nothing says where they end.
    """
    before = ""
    for word in argv:
        if not word.startswith("-") and not _takes_value(before, argv):
            if before and word.isdecimal():
                raise WrongCommandLine(_ENV_FIRST)
            return word
        before = word
    return None


def _takes_value(word: str, argv: list[str]) -> bool:
    """Whether it is a flag whose value is the next word."""
    if not word.startswith("--") or "=" in word:
        return False
    *place, name = word[2:].split(".")
    flag = ".".join([*place, name.removeprefix("no-")])
    options = dict(map(_option, fields(TrainOptions)))
    return options[flag] if flag in options else f"--{flag}" not in switches_in(argv)


def _option(field: Field) -> tuple[str, bool]:
    """What a setting is called on the command line, and whether a value follows it."""
    is_annotated = get_origin(field.type) is Annotated
    kind, *notes = get_args(field.type) if is_annotated else (field.type,)
    names = [note.name for note in notes if getattr(note, "name", None)]
    return (names or [field.name.replace("_", "-")])[0], kind is not bool


def parse_train(argv: list[str], env: str) -> tuple[TrainOptions, Any, Any]:
    """Options, the algorithm with all flags applied, and the preset that it started from."""
    from uphill.parts import Algorithm
    from uphill.parts.algorithms import ALGORITHMS
    from uphill.sessions.presets import preset

    algo = _value_of("--algo", argv)
    if algo is not None and algo not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise WrongCommandLine(f"There is no algorithm {algo!r}: use one of {known}.")
    chosen = preset(env, algo)
    argv, start = take_part_types(argv, chosen.algorithm)
    envs = _value_of("--envs", argv)
    if envs is not None and envs.isdecimal() and int(envs) > 0:
        sampling = replace(start.sampling, num_envs=int(envs))
        start = unchecked(start, "sampling", sampling)

    @dataclass(frozen=True)
    class Train:
        __doc__ = TrainOptions.__doc__
        options: Annotated[TrainOptions, arg(name="")]
        algorithm: Annotated[Algorithm, arg(name="")]

    default = Train(options=TrainOptions(env=env), algorithm=start)
    parsed = parse(Train, argv, f"uphill train {env}", describe_parts(start), default)
    if parsed.options.env != env:
        raise WrongCommandLine(_ENV_FIRST)
    return parsed.options, parsed.algorithm, chosen


def _value_of(flag: str, argv: list[str]) -> str | None:
    for k, word in enumerate(argv):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and k + 1 < len(argv):
            return argv[k + 1]
    return None


_ENV_FIRST = "Write ENV first, then the flags: `uphill train ENV --flag VALUE`."
_PARTS_NEED_ENV = "`uphill train ENV --algo ALGO --help` also shows the settings of the algorithm."
