"""`uphill train`: its options, and the algorithm that its flags describe."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import stdout_for
from uphill.cli.parsing import BackendFlag, parse, take_env_kwargs
from uphill.cli.part_flags import describe_parts, switches_in, take_part_types, unchecked


@dataclass(frozen=True)
class TrainOptions:
    """Train an agent, evaluate it, and draw its learning curve."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    algo: str | None = None
    """Algorithm (`uphill algos`); by default that of the environment's preset."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """How many seeds to train at once; figures then come with an interval over seeds."""
    steps: int | None = None
    """Transitions to learn from, for each seed; by default those of the preset."""
    envs: int | None = None
    """Environments that step together, for each seed."""
    backend: BackendFlag = "auto"
    """What runs the environment; the fastest that has it by default."""
    async_envs: bool = False
    """Run Python environments in processes of their own (slow ones gain from it)."""
    out: Path | None = None
    """Run directory to make; by default one in ./runs."""
    eval_every: int | None = None
    """Evaluate every so many steps, and keep the best policy by that."""
    stop_when_solved: bool = False
    """Stop once the last 100 training episodes of every seed reach the threshold."""
    init_from: Path | None = None
    """Start from the networks of another run."""
    checkpoint_every: float = 10.0
    """Seconds between two checkpoints."""
    episodes: int = 100
    """Episodes of the evaluation at the end, for each seed."""
    log: tyro.conf.UseAppendAction[tuple[Literal["tensorboard", "wandb"], ...]] = ()
    """Send the metrics to TensorBoard or Weights & Biases, too; may be given twice."""
    quiet: bool = False
    """Show nothing while training."""
    json: bool = False
    """Print the result as one JSON object on stdout; everything else goes to stderr."""


def command(argv: list[str]) -> None:
    """Train, and show how well the final policies do."""
    argv, env_kwargs = take_env_kwargs(argv)
    env = environment_in(argv)
    if env is None:
        parse(TrainOptions, argv, "uphill train", _PARTS_NEED_ENV)
        raise WrongCommandLine("ENV is missing: write `uphill train ENV`.")
    options, algorithm, preset = parse_train(argv, env)
    from uphill.sessions.launch import train

    with stdout_for(options.json) as show:
        run = train(
            options.env,
            algorithm,
            algo=preset.algo,
            seed=options.seed,
            seeds=options.seeds,
            steps=preset.steps if options.steps is None else options.steps,
            envs=options.envs,
            backend=options.backend,
            env_kwargs=env_kwargs,
            is_async=options.async_envs,
            out=options.out,
            eval_every=options.eval_every,
            stop_when_solved=options.stop_when_solved,
            init_from=options.init_from,
            checkpoint_every=options.checkpoint_every,
            episodes=options.episodes,
            log=options.log,
            quiet=options.quiet,
        )
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
    options = {f.name.replace("_", "-"): f.type is not bool for f in fields(TrainOptions)}
    return options[flag] if flag in options else f"--{flag}" not in switches_in(argv)


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
