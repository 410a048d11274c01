"""`uphill train`: its options, and the algorithm that its flags describe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from uphill.cli.environment import EnvironmentOptions
from uphill.cli.errors import WrongCommandLine
from uphill.cli.flags import NOTHING, SCHEDULE, Flag, option_flags, setting_flags
from uphill.cli.help import FlagGroup
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JsonOption, parse, take_env_kwargs
from uphill.cli.part_flags import switches_in, take_part_types, unchecked
from uphill.cli.suggestions import names_environment, without_flag
from uphill.runs.settings import Options, Settings, SinkName


@dataclass(frozen=True, kw_only=True)
class TrainOptions(EnvironmentOptions, Settings, Options, JsonOption):
    """Train an agent, evaluate it, and draw its learning curve."""

    # How these are typed; what they mean stands with the other settings.
    steps: int | None = None
    eval_every: int | None = None
    out: Path | None = None
    settings: Path | None = None
    init_from: Path | None = None
    is_async: Annotated[bool, arg(name="async-envs")] = Settings.is_async
    log: UseAppendAction[tuple[SinkName, ...]] = ()


def command(argv: list[str]) -> None:
    """Train, and print how well the final policies do."""
    given, start = asked_for(argv, TrainOptions, "train")
    from uphill.run import run_of
    from uphill.sessions.launch import Request

    with stdout_for(given.pop("json")) as show:
        run = run_of(Request(**given), start)
        show(run.summary(), has_films=run.has_films())


def asked_for(argv: list[str], kind: type[TrainOptions], name: str) -> tuple[dict[str, Any], Any]:
    """The request of a command of that name, as the fields of a request, and the preset that its
    algorithm started from.

    Raises:
        WrongCommandLine: if there is no ENV.
    """
    argv, env_kwargs = take_env_kwargs(argv)
    argv = [_hyphened(word) for word in argv]
    env = environment_in(argv, kind, name)
    if env is None:
        if flag := next(filter(names_environment, argv), None):
            raise WrongCommandLine(without_flag(flag, name))
        note = f"`uphill {name} ENV --algo ALGO --help` also shows the settings of the algorithm."
        parse(kind, argv, f"uphill {name}", [*_option_groups(kind)], [note])
        raise WrongCommandLine(f"ENV is missing: write `uphill {name} ENV`.")
    file = settings_in(argv, env)
    options, algorithm, start = parse_train(argv, env, file, kind, name)
    if file is not None:
        env_kwargs = file.others.get("env_kwargs", {}) | env_kwargs
    changes = {"algo": start.algo, "algorithm": algorithm, "env_kwargs": env_kwargs}
    return vars(options) | changes | {"settings": file}, start


def _hyphened(word: str) -> str:
    """A flag as it is spelled here: --num_envs → --num-envs; other words as they are."""
    flag, given, value = word.partition("=")
    return f"{flag.replace('_', '-')}{given}{value}" if flag.startswith("--") else word


def environment_in(
    argv: list[str], kind: type[TrainOptions] = TrainOptions, name: str = "train"
) -> str | None:
    """ENV: the first word that is no flag, nor the value of one.

    Raises:
        WrongCommandLine: if a flag before it has several values: nothing says where they end.
    """
    before = ""
    for word in argv:
        if not word.startswith("-") and not _takes_value(before, argv, kind):
            if before and word.isdecimal():
                raise WrongCommandLine(_env_first(name))
            return word
        before = word
    return None


def _takes_value(word: str, argv: list[str], kind: type[TrainOptions]) -> bool:
    """Whether it is a flag whose value is the next word."""
    if not word.startswith("--") or "=" in word:
        return False
    *place, name = word[2:].split(".")
    flag = "--" + ".".join([*place, name.removeprefix("no-")])
    known = {option.spellings[0]: option for option in option_flags(kind)}
    return bool(known[flag].takes) if flag in known else flag not in switches_in(argv)


def settings_in(argv: list[str], env: str) -> Any:
    """The file of settings that a flag names; None without one."""
    file = _value_of("--settings", argv)
    if file is None:
        return None
    from uphill.sessions.settings_file import read_settings

    return read_settings(file, env, _value_of("--algo", argv), "--allow-import" in argv)


def parse_train(
    argv: list[str],
    env: str,
    file: Any = None,
    kind: type[TrainOptions] = TrainOptions,
    name: str = "train",
) -> tuple[Any, Any, Any]:
    """Options of a `kind`, the algorithm with all flags applied, and the preset that it started
    from; a settings file replaces our preset."""
    from uphill.parts import Algorithm
    from uphill.parts.algorithms import ALGORITHMS, no_algorithm
    from uphill.sessions.presets import preset

    algo = _value_of("--algo", argv)
    if algo is not None and algo not in ALGORITHMS and file is None:
        raise WrongCommandLine(no_algorithm(algo))
    chosen = preset(env, algo) if file is None else file.start
    argv, start = take_part_types(argv, chosen.algorithm)
    envs, num_envs = _value_of("--envs", argv), _value_of("--sampling.num-envs", argv)
    if envs is not None and num_envs not in (None, envs):
        raise WrongCommandLine(
            f"--envs {envs} and --sampling.num-envs {num_envs} are one setting: give one of them."
        )
    if envs is not None and envs.isdecimal() and len(envs) < 20 and int(envs) > 0:
        sampling = replace(start.sampling, num_envs=int(envs))
        start = unchecked(start, "sampling", sampling)

    @dataclass(frozen=True)
    class Train:
        __doc__ = kind.__doc__
        options: Annotated[kind, arg(name="")]  # pyright: ignore[reportInvalidTypeForm]
        algorithm: Annotated[Algorithm, arg(name="")]

    others = {} if file is None else file.others
    others = {key: x for key, x in others.items() if key != "env_kwargs"}
    default = Train(options=kind(env=env, **others), algorithm=start)
    groups = [*_option_groups(kind, chosen, start, others), *_algorithm_groups(start)]
    program = f"uphill {name} {env}"
    parsed = parse(Train, argv, program, groups, [_ABOUT_FLAGS], default, start)
    if parsed.options.env != env:
        raise WrongCommandLine(_env_first(name))
    return parsed.options, parsed.algorithm, chosen


def _value_of(flag: str, argv: list[str]) -> str | None:
    for k, word in enumerate(argv):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and k + 1 < len(argv):
            return argv[k + 1]
    return None


# --- help -----------------------------------------------------------------------------------------

_TITLES = {
    "what varies": (
        *("grid", "yes", "search", "trials", "minutes", "objective", "prune", "fresh_seeds"),
    ),
    "what to train": (
        *("env", "algo", "steps", "seed", "seeds", "envs"),
        *("settings", "init_from", "allow_import"),
    ),
    "when and what to measure": ("stop_when_solved", "eval_every", "episodes"),
    "what to write and show": ("out", "log", "checkpoint_every", "quiet", "json"),
    "what runs it": ("backend", "threads", "devices", "ray", "async_envs", "step_timeout"),
}


def _option_groups(
    kind: type[TrainOptions],
    chosen: Any = None,
    start: Any = None,
    others: Mapping[str, Any] = NOTHING,
) -> Iterator[FlagGroup]:
    """The options by what they are about, with the preset's numbers where they have none, and with
    what a file of settings says."""
    known = {flag.path: flag for flag in option_flags(kind, others)}
    if chosen is not None:
        del known["env"]  # it was given
        numbers = (chosen.algo, f"{chosen.steps:,}", str(start.sampling.num_envs))
        for path, number in zip(("algo", "steps", "envs"), numbers, strict=True):
            known[path] = replace(known[path], default=number)
        known["algo"] = replace(known["algo"], takes=f"{{{','.join(_algorithms())}}}")
    for title, paths in _TITLES.items():
        yield FlagGroup(title, [known.pop(path) for path in paths if path in known])
    yield FlagGroup("the environment", [*known.values(), _ENV_FLAG])


def _algorithms() -> list[str]:
    from uphill.parts.algorithms import ALGORITHMS

    return list(ALGORITHMS)


def _algorithm_groups(algorithm: Any) -> Iterator[FlagGroup]:
    """The settings of the whole, then those of each part below what it is."""
    flags = list(setting_flags(algorithm))
    first = dict.fromkeys(flag.path.partition(".")[0] for flag in flags)
    settings = {flag.path for flag in flags} - set(_PARTS)
    parts = [name for name in first if name not in settings]
    whole = [flag for flag in flags if flag.path.partition(".")[0] not in parts]
    for part in parts:
        own = [flag for flag in flags if flag.path.partition(".")[0] == part]
        if part in _PARTS:
            own = [replace(own[0], about=_PARTS[part]), *own[1:]]
        yield FlagGroup(part, own, type(getattr(algorithm, part)).__doc__ or "")
    yield FlagGroup("the update as a whole", whole)


_PARTS = {
    "sampling": "Fixed windows, or whole episodes.",
    "estimator": "The return after an action.",
    "baseline": "What is subtracted from it.",
    "surrogate": "The objective whose gradient is followed.",
    "optimizer": "How a gradient becomes a step.",
}
_ENV_FLAG = Flag("env.", ("--env.KEY",), "VALUE", "A keyword argument of the environment.")
_ABOUT_FLAGS = (
    "Brackets show the default: here that of the environment's preset, if it has one. "
    "A switch is turned off by no-, as in --no-json or --baseline.no-shares-trunk. "
    f"{SCHEDULE} is a number, or linear:A:B or cosine:A:B, from A to B as training goes on. A part "
    "is chosen by its name (--surrogate clipped-ratio), a custom one by module:Name; then its "
    "own settings are flags."
)


def _env_first(name: str) -> str:
    return f"Write ENV first, then the flags: `uphill {name} ENV --flag VALUE`."
