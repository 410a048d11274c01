"""The command line: parses, calls, prints; nothing else.

Nothing heavy is imported before a command needs it, so that help appears at once.
"""

import atexit
import copy
import ctypes
import gc
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_type_hints

import tyro
from tyro.conf import Positional, arg

from uphill.errors import UphillError

OVERVIEW = """\
Uphill trains policies by gradient ascent on expected return, on any environment.

  uphill train ENV        train, evaluate and draw: try `uphill train CartPole-v1`
  uphill resume RUN       go on where a run was interrupted; --steps N extends it
  uphill evaluate RUN     evaluate a run's final policies again
  uphill record RUN       a film of the final policy; --milestones: of how it learned
  uphill plot RUN [RUN …] draw learning curves; of several runs a comparison, too
  uphill doctor ENV       why an agent may not learn there: faults, by name, and what mends them
  uphill report RUN …     one web page that shows all of a run, or compares several
  uphill watch [FOLDER]   the runs of a folder and their reports, live in a browser
  uphill envs [PATTERN]   environments, and the backend that runs each
  uphill algos            algorithms, and the parts they are made of
  uphill variance ENV     how noisy and how biased each estimator of the gradient is
  uphill reproduce [NAME] what five tutorials claim, measured, beside our presets

`uphill COMMAND --help` shows a command's arguments.
`uphill train ENV --algo ALGO --help` shows every setting of that algorithm, with its value.
"""

BackendFlag = Literal["auto", "compiled", "envpool", "gymnasium"]


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def run() -> NoReturn:
    """Run the command that was typed, and end the process with its exit status."""
    status = main()
    if status == INTERRUPTED:
        # All is saved. To end in order could crash: JAX may still be compiling in its threads.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status. A user's mistake is one sentence, never a traceback."""
    argv = sys.argv[1:] if argv is None else argv
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": _train,
        "resume": _resume,
        "evaluate": _evaluate,
        "record": _record,
        "plot": _plot,
        "doctor": _doctor,
        "report": _report,
        "watch": _watch,
        "envs": _envs,
        "algos": _algos,
        "variance": _variance,
        "reproduce": _reproduce,
    }
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(OVERVIEW, end="")
        return 0
    if argv[0] == "--version":
        from uphill import __version__

        print(f"uphill {__version__}")
        return 0
    if argv[0] not in commands:
        known = ", ".join(commands)
        print(f"There is no command {argv[0]!r}: use one of {known}.", file=sys.stderr)
        return 2
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    _collect_less_garbage()
    try:
        commands[argv[0]](argv[1:])
        sys.stdout.flush()
    except UphillError as error:
        print(f"uphill: {error}", file=sys.stderr)
        return 2 if isinstance(error, WrongCommandLine) else 1
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'Interrupted.'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `uphill envs | head`: nobody reads on, and Python's own flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # must not complain either
        return 1
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def _collect_less_garbage() -> None:
    """JAX makes so many objects that stay that looking for garbage among them costs a tenth of a
    start; and when the process ends, a third of a second."""
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


class WrongCommandLine(UphillError):
    """Arguments that say nothing that could be done."""


# --- train --------------------------------------------------------------------------------------


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


def _train(argv: list[str]) -> None:
    argv, env_kwargs = _take_env_kwargs(argv)
    env = _environment_in(argv)
    if env is None:
        _parse(TrainOptions, argv, "uphill train", _PARTS_NEED_ENV)
        raise WrongCommandLine("ENV is missing: write `uphill train ENV`.")
    options, algorithm, preset = _parse_train(argv, env)
    from uphill.runs.launch import train

    with _stdout_for(options.json) as show:
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


def _environment_in(argv: list[str]) -> str | None:
    """ENV: the first word that is no flag, nor the value of one.

    Raises:
        WrongCommandLine: if a flag before it has several values: nothing says where they end.
    """
    normalize = ("observations", "rewards", "returns")
    switches = {"--baseline.shares-trunk", *(f"--normalize-{name}" for name in normalize)}
    switches |= {f"--{f.name.replace('_', '-')}" for f in fields(TrainOptions) if f.type is bool}
    before = ""
    for word in argv:
        is_value = before.startswith("--") and "=" not in before
        if not word.startswith("-") and not (
            is_value and before.replace("--no-", "--") not in switches
        ):
            if before and word.isdecimal():
                raise WrongCommandLine(_ENV_FIRST)
            return word
        before = word
    return None


def _parse_train(argv: list[str], env: str) -> tuple[TrainOptions, Any, Any]:
    """Options, the algorithm with all flags applied, and the preset that it started from."""
    from uphill.learning.algorithms import ALGORITHMS
    from uphill.learning.parts import Algorithm
    from uphill.runs.presets import preset

    algo = _value_of("--algo", argv)
    if algo is not None and algo not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise WrongCommandLine(f"There is no algorithm {algo!r}: use one of {known}.")
    chosen = preset(env, algo)
    argv, start = _take_part_types(argv, chosen.algorithm)
    envs = _value_of("--envs", argv)
    if envs is not None and envs.isdecimal() and int(envs) > 0:
        sampling = replace(start.sampling, num_envs=int(envs))
        start = _unchecked(start, "sampling", sampling)

    @dataclass(frozen=True)
    class Train:
        __doc__ = TrainOptions.__doc__
        options: Annotated[TrainOptions, arg(name="")]
        algorithm: Annotated[Algorithm, arg(name="")]

    default = Train(options=TrainOptions(env=env), algorithm=start)
    parsed = _parse(Train, argv, f"uphill train {env}", _describe_parts(start), default)
    if parsed.options.env != env:
        raise WrongCommandLine(_ENV_FIRST)
    return parsed.options, parsed.algorithm, chosen


_ENV_FIRST = "Write ENV first, then the flags: `uphill train ENV --flag VALUE`."
_PARTS_NEED_ENV = "`uphill train ENV --algo ALGO --help` also shows the settings of the algorithm."


def _parse(
    kind: Any, argv: list[str], program: str, note: str = "", default: Any = tyro.MISSING
) -> Any:
    """Parse arguments into a dataclass; a wrong one exits with status 2 and a sentence."""
    registry = tyro.constructors.ConstructorRegistry()
    if default is not tyro.MISSING:
        registry.primitive_rule(_schedule_rule)
        registry.struct_rule(_algorithm_rule())
    return tyro.cli(
        kind,
        prog=program,
        args=argv,
        description="\n\n".join(filter(None, [kind.__doc__, note])),
        config=(tyro.conf.AvoidSubcommands,),
        registry=registry,
        **({} if default is tyro.MISSING else {"default": default}),
    )


def _schedule_rule(info: Any) -> Any:
    """How tyro reads and shows a schedule: one word."""
    from uphill.learning.schedule import Schedule

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


def _algorithm_rule() -> Callable[[Any], Any]:
    """How tyro reads an algorithm: like any dataclass, but its name is no setting."""
    known = tyro.constructors.ConstructorRegistry.get_struct_spec
    is_asking = False  # the registry's own rules, which are asked after this one

    def rule(info: Any) -> Any:
        nonlocal is_asking
        from uphill.learning.parts import Algorithm

        if info.type is not Algorithm or is_asking:
            return None
        is_asking = True
        spec = known(info)
        is_asking = False
        assert isinstance(spec, tyro.constructors.StructConstructorSpec)
        make = partial(spec.instantiate, name=info.default.name)
        settings = tuple(field for field in spec.fields if field.name != "name")
        return replace(spec, instantiate=make, fields=settings)

    return rule


def _take_env_kwargs(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
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
            if value is None:
                raise WrongCommandLine(f"--env.{key} has no value: write --env.{key} VALUE.")
        taken[key.replace("-", "_")] = _literal(value)
    return rest, taken


def _literal(text: str) -> Any:
    """A JSON value where it is one (or Python's True, False, None), else the text itself."""
    names = {"True": True, "False": False, "None": None}
    try:
        return names[text] if text in names else json.loads(text)
    except ValueError:
        return text


def _take_part_types(argv: list[str], algorithm: Any) -> tuple[list[str], Any]:
    """Arguments without those that change a part's type (`--surrogate clipped-ratio`), and the
    algorithm with these parts.

    The whole is not checked here: a flag that comes later may make it fit.
    """
    for depth in (1, 2, 3):  # --baseline value-function before --baseline.optimizer adam
        words, rest = iter(argv), []
        for word in words:
            flag, is_given, value = word.partition("=")
            path = flag.removeprefix("--").replace("-", "_").split(".")
            is_flag = flag.startswith("--") and len(path) == depth
            types = _part_types(algorithm, path) if is_flag else {}
            if not types:
                rest.append(word)
                continue
            value = value if is_given else next(words, "")
            if value not in types:
                raise WrongCommandLine(f"{flag} is {value!r}: choose one of {', '.join(types)}.")
            algorithm = _with_part(algorithm, path, types[value])
        argv = rest
    return argv, algorithm


def _part_types(algorithm: Any, path: list[str]) -> dict[str, str]:
    """The types that the part at `path` may have, by the names that flags give them."""
    from uphill.runs.configuration import encode, kebab, part_types

    return {kebab(name): name for name in part_types(type(algorithm), encode(algorithm), path)}


def _with_part(part: Any, path: list[str], type_name: str) -> Any:
    """`part` with a new part at `path`; one that has the type already keeps its settings."""
    from uphill.runs.configuration import decode

    field, *inner = path
    if inner:
        return _unchecked(part, field, _with_part(getattr(part, field), inner, type_name))
    if type(getattr(part, field)).__name__ == type_name:
        return part
    document = None if type_name == "none" else {"$type": type_name}
    return _unchecked(part, field, decode(get_type_hints(type(part))[field], document))


def _unchecked(part: Any, field: str, value: Any) -> Any:
    """A copy of `part` with another value, without asking whether all fits together."""
    changed = copy.copy(part)
    object.__setattr__(changed, field, value)
    return changed


def _describe_parts(algorithm: Any) -> str:
    """The flags that change a part's type, for the help."""
    from uphill.runs.configuration import part_paths

    lines = ["Flags that choose a part (its own settings follow below):"]
    for path in part_paths(algorithm):
        if types := _part_types(algorithm, path):
            flag = ".".join(path).replace("_", "-")
            lines.append(f"  --{flag} {{{','.join(types)}}}")
    return "\n".join(lines)


def _value_of(flag: str, argv: list[str]) -> str | None:
    for k, word in enumerate(argv):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and k + 1 < len(argv):
            return argv[k + 1]
    return None


# --- the other commands -------------------------------------------------------------------------


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run where its latest checkpoint stands."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory."""
    steps: int | None = None
    """Train up to so many steps instead: extends a run, also a finished one."""
    allow_import: bool = False
    """Import the module that a `module:ID` environment names."""
    quiet: bool = False
    """Show nothing while training."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _resume(argv: list[str]) -> None:
    options = _parse(ResumeOptions, argv, "uphill resume")
    from uphill.runs.launch import resume

    with _stdout_for(options.json) as show:
        run = resume(
            options.run,
            steps=options.steps,
            allow_import=options.allow_import,
            quiet=options.quiet,
        )
        show(run.summary())


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate a run's final policies: whole episodes, deterministic and stochastic."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory."""
    episodes: int = 100
    """Episodes for each seed."""
    allow_import: bool = False
    """Import the module that a `module:ID` environment names."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _evaluate(argv: list[str]) -> None:
    options = _parse(EvaluateOptions, argv, "uphill evaluate")
    from uphill.runs.run import load

    with _stdout_for(options.json) as show:
        result = load(options.run).evaluate(options.episodes, options.allow_import)
        show(result)


@dataclass(frozen=True)
class RecordOptions:
    """Film a run's final policy, or with --milestones how it learned: MP4 and GIF."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory."""
    milestones: bool = False
    """Show each milestone of the training, in order, and the final policy after them."""
    seed_index: int | None = None
    """Which seed's policy, counted from 0; by default the one that evaluated best."""
    episodes: int = 1
    """Episodes of the final policy: those whose returns are nearest to the median."""
    sample: bool = False
    """Sample the final policy's actions; by default it takes the most probable ones. Milestones
    always show sampled ones."""
    out: Path | None = None
    """File to write, .mp4 or .gif; by default both, as video or milestones in the run directory."""
    fps: float | None = None
    """Steps of the environment to show in a second; by default real time."""
    width: int | None = None
    """Width in pixels; by default that of the environment's own pictures. Keyword arguments of the
    environment are given as --env.KEY VALUE."""
    allow_import: bool = False
    """Import the module that a `module:ID` environment names."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _record(argv: list[str]) -> None:
    argv, env_kwargs = _take_env_kwargs(argv)
    options = _parse(RecordOptions, argv, "uphill record")
    from uphill.runs.film import record
    from uphill.runs.run import load

    with _stdout_for(options.json) as show:
        film = record(
            load(options.run),
            options.milestones,
            seed_index=options.seed_index,
            episodes=options.episodes,
            sample=options.sample,
            out=options.out,
            fps=options.fps,
            width=options.width,
            env_kwargs=env_kwargs,
            allow_import=options.allow_import,
        )
        if options.json:
            show({"run": str(options.run), **film.facts()})
            return
        width, height = film.size
        for path in film.files:
            print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB)")
        returns = ", ".join(f"{x:.1f}" for x in film.returns)
        print(
            f"{film.seconds:.1f} s, {width} × {height} pixels, seed {film.seed}; returns {returns}"
        )


@dataclass(frozen=True)
class PlotOptions:
    """Draw learning curves, as PNG and SVG: the interquartile mean over seeds with its 95 %
    bootstrap interval. Several runs share one picture; if they were evaluated on one environment,
    two more show their performance profiles and the probability that one improves on another."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN …]")]
    """Run directories."""
    against: Literal["steps", "seconds"] = "steps"
    """What the horizontal axis shows: environment steps, or seconds of training."""
    column: str = "rollout/episode_return"
    """Column of metrics.csv to draw."""
    out: Path | None = None
    """Folder for the pictures, or one file, NAME.png or NAME.svg, for the curves alone; by default
    the run's, or with several runs a new one in ./plots."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _plot(argv: list[str]) -> None:
    options = _parse(PlotOptions, argv, "uphill plot")
    if not options.runs:
        raise WrongCommandLine("RUN is missing: write `uphill plot RUN`.")
    from uphill.runs.plots import plot_runs

    with _stdout_for(options.json) as show:
        result = plot_runs(
            options.runs, options.out, against=options.against, column=options.column
        )
        if options.json:
            show(result)
        else:
            _show_pictures(result)


def _show_pictures(result: dict[str, Any]) -> None:
    for row in result["improvements"]:
        low, high = row["ci95"]
        print(
            f"P({row['x']} > {row['y']}) = {row['probability']:.2f}, "
            f"95 % interval {low:.2f} to {high:.2f}"
        )
    for line in (*result["left_out"], *result["pictures"]):
        print(line)


@dataclass(frozen=True)
class DoctorOptions:
    """Examine an environment that an agent does not learn in: play it at random and with constant
    actions, play episodes again, train briefly; then say what is wrong, and what mends it."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    backend: BackendFlag = "auto"
    """What would run the environment in training; the fastest that has it by default."""
    seed: int = 0
    """Seed of everything that is random."""
    steps: int | None = None
    """Steps of the brief training, by default as many as some seconds allow; 0 for none."""
    quiet: bool = False
    """Don't say what is being done."""
    json: bool = False
    """Print facts and findings as one JSON object on stdout."""


def _doctor(argv: list[str]) -> None:
    argv, env_kwargs = _take_env_kwargs(argv)
    options = _parse(DoctorOptions, argv, "uphill doctor")
    from uphill.runs.doctor.examine import examine
    from uphill.runs.doctor.report import words

    with _stdout_for(options.json) as show:
        examination = examine(
            options.env,
            options.backend,
            env_kwargs=env_kwargs,
            seed=options.seed,
            steps=options.steps,
            quiet=options.quiet,
        )
        if options.json:
            show(examination.result())
        else:
            print(words(examination.facts, examination.findings, examination.command))


@dataclass(frozen=True)
class ReportOptions:
    """Make one web page that shows all of a run: whether it is solved, its learning curve, films of
    its milestones, results, diagnostics, and how to repeat it. Several runs are compared. The page
    needs no network, and no other file."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN …]")]
    """Run directories."""
    out: Path | None = None
    """The page; by default report.html in the run directory, and with several runs
    runs/report-TIME.html."""
    films: bool = True
    """Show films of the milestones, which takes some seconds to make. A comparison has none."""
    allow_import: bool = False
    """Import the module that a `module:ID` environment names, to film it."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _report(argv: list[str]) -> None:
    options = _parse(ReportOptions, argv, "uphill report")
    if not options.runs:
        raise WrongCommandLine("RUN is missing: write `uphill report RUN`.")
    from uphill.runs.report import write_report
    from uphill.runs.run import load

    with _stdout_for(options.json) as show:
        runs = [load(run) for run in options.runs]
        path = write_report(runs, options.out, options.films, options.allow_import)
        size = path.stat().st_size
        if options.json:
            show({"report": str(path), "bytes": size, "runs": [str(run) for run in options.runs]})
        else:
            print(f"{path}  ({size / 1e6:.1f} MB; open it in any browser)")


@dataclass(frozen=True)
class WatchOptions:
    """Show the runs of a folder, and their reports, in a browser on this machine; pages renew
    themselves while training goes on. Ctrl-C ends it."""

    folder: Annotated[Positional[Path], arg(metavar="RUNS_DIR")] = Path("runs")
    """Folder that holds the runs."""
    port: int | None = None
    """Port to listen at; by default 8000, or the next one that is free."""
    allow_import: bool = False
    """Import the modules that `module:ID` environments name, to film them."""


def _watch(argv: list[str]) -> None:
    options = _parse(WatchOptions, argv, "uphill watch")
    from uphill.runs.watch import watch

    watch(options.folder, options.port, options.allow_import, partial(print, flush=True))


@dataclass(frozen=True)
class EnvsOptions:
    """List environments, and the backend that runs each."""

    pattern: Annotated[Positional[str], arg(metavar="PATTERN")] = ""
    """Show those whose name contains this."""


def _envs(argv: list[str]) -> None:
    options = _parse(EnvsOptions, argv, "uphill envs")
    from uphill.envs.make import known_environments

    listed = known_environments(options.pattern)
    if not listed:
        raise UphillError(f"No environment's name contains {options.pattern!r}.")
    width = max(len(name) for name in listed)
    for name, backend in listed.items():
        print(f"{name:{width}}  {backend}")


def _algos(argv: list[str]) -> None:
    @dataclass(frozen=True)
    class AlgosOptions:
        """List the algorithms, and the parts they are made of."""

    _parse(AlgosOptions, argv, "uphill algos")
    from uphill.learning.algorithms import ALGORITHMS
    from uphill.runs.configuration import encode

    for name, make in ALGORITHMS.items():
        parts = encode(make())
        kinds = [value["$type"] for value in parts.values() if isinstance(value, dict)]
        print(f"{name:10} {(make.__doc__ or '').splitlines()[0]}")
        print(f"{'':10} {' · '.join(kinds)}")


@dataclass(frozen=True)
class VarianceOptions:
    """Measure the variance and the bias of every estimator of the policy gradient, with every
    baseline, on the same episodes."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    run: Path | None = None
    """Measure at the policy of this run; by default at a fresh one."""
    gamma: float = 1.0
    """Discount factor."""
    envs: int = 16
    """Whole episodes in a batch."""
    batches: int = 256
    """Independent batches."""
    seed: int = 0
    """Seed of the policy and of the episodes."""
    backend: BackendFlag = "auto"
    """What runs the environment; the fastest that has it by default."""
    out: Path | None = None
    """Folder for variance.json and variance.png; by default the run's, or one in ./runs."""
    allow_import: bool = False
    """Import the module that a run's `module:ID` environment names."""
    quiet: bool = False
    """Show nothing while measuring."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _variance(argv: list[str]) -> None:
    argv, env_kwargs = _take_env_kwargs(argv)
    options = _parse(VarianceOptions, argv, "uphill variance")
    from uphill.runs.variance import measure_variance

    with _stdout_for(options.json) as show:
        result = measure_variance(
            options.env,
            options.run,
            gamma=options.gamma,
            envs=options.envs,
            batches=options.batches,
            seed=options.seed,
            backend=options.backend,
            env_kwargs=env_kwargs,
            out=options.out,
            allow_import=options.allow_import,
            quiet=options.quiet,
        )
        if options.json:
            show(result)
        else:
            _show_variance(result)


def _show_variance(result: dict[str, Any]) -> None:
    rows = result["estimators"]
    reference = rows[result["reference"]]
    print(f"{'estimator':24}{'baseline':20}{'variance':>10}{'95 % interval':>18}", end="")
    print(f"{'bias':>9}{'95 % interval':>17}{'SNR':>8}")
    for row in rows:
        low, high = row["relative_variance_ci95"]
        least, most = (f"{100 * x:.0f}" for x in row["bias_ci95"])
        bias, interval = f"{100 * row['bias']:.0f} %", f"{least} to {most} %"
        if row is reference:
            bias, interval = "–", "reference"
        print(
            f"{row['estimator']:24}{row['baseline']:20}{row['relative_variance']:10.3f}"
            f"{f'{low:.3f} to {high:.3f}':>18}{bias:>9}{interval:>17}{row['snr']:8.2f}"
        )
    print(
        "\nVariance is relative to reward-to-go without a baseline; bias is the distance between "
        f"expectations,\nin per cent of the length of the gradient ({reference['estimator']} less "
        f"its {reference['baseline']}); SNR is ‖E g‖² over the variance."
    )
    print(f"\n{'rollouts':>10}{'variance':>14}{'95 % interval':>24}")
    for row in result["rollouts"]:
        low, high = row["variance_ci95"]
        name = f"{row['estimator']}, baseline {row['baseline']}"
        print(
            f"{row['rollouts']:10}{row['variance']:14.4g}{f'{low:.4g} to {high:.4g}':>24}  {name}"
        )
    print(f"\n{result['steps']:,} steps, {result['seconds']:.1f} s; picture {result['picture']}")


@dataclass(frozen=True)
class ReproduceOptions:
    """Train what a tutorial describes, with its settings, and our preset beside it; without NAME,
    list the tutorials."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """Which one."""
    env: str | None = None
    """Only this of its environments."""
    seeds: int | None = None
    """Seeds for each training; by default 10, and 32 for cartpole-linear."""
    steps: int | None = None
    """Shorten trainings to so many steps: a quick look, which says nothing about any claim."""
    out: Path | None = None
    """Folder for the runs and reproduction.json; by default one in ./runs. Runs that are there
    already are used, and gone on with."""
    quiet: bool = False
    """Show nothing while training."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def _reproduce(argv: list[str]) -> None:
    options = _parse(ReproduceOptions, argv, "uphill reproduce")
    from uphill.runs.sources import SOURCES, find_source

    if not options.name:
        width = max(map(len, SOURCES))
        for source in SOURCES.values():
            print(f"{source.name:{width}}  {', '.join(source.envs)}: {source.about}")
        return
    try:
        source = find_source(options.name)
    except UphillError as error:
        raise WrongCommandLine(str(error)) from None
    from uphill.runs.reproduce import reproduce

    with _stdout_for(options.json) as show:
        _describe_source(source)
        result = reproduce(
            options.name,
            env=options.env,
            seeds=options.seeds,
            steps=options.steps,
            out=options.out,
            quiet=options.quiet,
        )
        if options.json:
            show(result)
        else:
            _show_reproduction(result)


def _describe_source(source: Any) -> None:
    print(f"{source.name}: {source.about}.")
    for title, sentences in (
        ("Faults mended:", source.mended),
        ("Kept, since it is the method:", source.kept),
        ("Chosen here:", source.chosen),
    ):
        print(f"\n{title}")
        for sentence in sentences:
            print(textwrap.fill(sentence, 100, initial_indent="- ", subsequent_indent="  "))
    sys.stdout.flush()


def _show_reproduction(result: dict[str, Any]) -> None:
    from uphill.runs.reproduce import table

    rows = result["results"]
    for env in dict.fromkeys(row["env"] for row in rows):
        own = [row for row in rows if row["env"] == env]
        print(f"\n{env}")
        for row in own:
            if row["claim"] is not None:
                print(f"  {row['method']}: {row['budget']}\n  claimed: {row['claim']}")
        print(f"\n{table(own)}")
        for row in own:
            for name, shares in row["shares"].items():
                each = ", ".join(f"{100 * x:.0f}" for x in shares)
                print(f"{row['method']}: per cent of episodes solved on {name}: {each}")
    steps = result["shortened_to"]
    if steps is not None:
        print(f"\nTrainings were shortened to {steps:,} steps: no figures for any claim.")
    print(f"\n{_ABOUT_RETURNS}\n{result['out']}/reproduction.json")


_ABOUT_RETURNS = """\
Returns are those of final policies over 100 episodes, with the most probable action, and with
sampled ones: the interquartile mean over seeds. Reached in training: on how many seeds the mean of
the last training episodes came to the threshold, and the median of when. Seconds are those of all
seeds together, compiling included."""


# --- output -------------------------------------------------------------------------------------


@contextmanager
def _stdout_for(is_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that shows a result. With JSON, nothing else may reach stdout: whatever
    environments print meanwhile, from Python or from C++, goes to stderr."""
    if not is_json:
        yield _show
        return
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield lambda result: _write_all(real, json.dumps(result, allow_nan=False) + "\n")
    finally:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)  # what C buffered must go to stderr, too
        os.dup2(real, 1)
        os.close(real)


def _write_all(descriptor: int, text: str) -> None:
    with os.fdopen(os.dup(descriptor), "w") as file:
        file.write(text)


def _show(result: dict[str, Any]) -> None:
    evaluation = result.get("evaluation", result)
    each = " a seed" if evaluation["interval_over"] == "seeds" else ""
    over = f"{evaluation['episodes']} episodes{each}"
    for kind in ("deterministic", "stochastic"):
        e = evaluation[kind]
        low, high = e["ci95"]
        print(
            f"{kind:13} mean return {e['mean']:.1f} over {over}; interquartile mean {e['iqm']:.1f}"
            f", 95 % interval {low:.1f} to {high:.1f} over {evaluation['interval_over']}"
        )
    if "run" not in result:
        return
    known = [solved for solved in result["solved"] if solved is not None]
    if known:
        print(f"solved        {sum(known)} of {len(known)} seed(s)")
    print(
        f"trained       {min(result['steps']):,} steps in {result['seconds']:.1f} s, of which "
        f"{result['compile_seconds']:.1f} s compiling; {result['steps_per_second']:,.0f} steps/s"
    )
    print(f"run           {result['run']}  (curve.png shows the learning curve)")


if __name__ == "__main__":
    run()
