"""Training further seeds of a run: the same experiment, in a neighbouring run directory."""

from uphill.envs.wrappers import is_importable
from uphill.errors import UphillError
from uphill.run import Run, resume, run_of
from uphill.runs.checkpoint import Standing, has_stopped, read_manifest
from uphill.runs.given import check_network
from uphill.runs.saved import SavedRun
from uphill.runs.settings import kept
from uphill.sessions.launch import Request
from uphill.sessions.own_loop import OWN_LOOP
from uphill.sessions.settings_file import SettingsFile
from uphill.studies.comparisons.samples import RunSample, episodes_of
from uphill.words import call, listed, option


def check_repeatable(run: Run) -> None:
    """Raises:
    UphillError: if further seeds of it would not be seeds of the same experiment, or something has
        to be given again for it.
    """
    experiment = run.experiment
    check_network(experiment, run.given["network"])
    _ = experiment.composition, run.choice()
    if experiment.stop_when_solved:
        raise UphillError(
            f"{run.path} was to stop when all its seeds had solved the task, and further seeds "
            f"would stop at other moments: compare runs without {option('stop_when_solved')}."
        )
    if experiment.settings == OWN_LOOP:
        raise UphillError(
            f"{run.path} was trained in your own loop, which can't be repeated from here: "
            "train it with more seeds there."
        )
    if experiment.extended and experiment.composition.varying:
        raise UphillError(
            f"{run.path} was resumed with {experiment.steps:,} steps in place of "
            f"{experiment.extended[-1]:,}, and in further seeds what changes during training "
            f"({listed(experiment.composition.varying)}) would go another way: compare it as it "
            "is, or train it anew with more seeds."
        )
    facts = run.reached
    is_lost = has_stopped(run.path)  # further seeds may be lost, too
    if facts is not None and facts.steps_done < experiment.steps and not is_lost:
        raise UphillError(
            f"{run.path} ended after {facts.steps_done:,} of {experiment.steps:,} steps, and "
            f"further seeds would train to the end: `{_to_the_end(run, facts)}` first."
        )
    origin = experiment.init_from
    if origin is None:
        return
    other = SavedRun(origin.run)
    seed = other.experiment.all_seeds[other.best_seed_index]
    sha256 = read_manifest(other.path, "latest").sha256
    if (sha256, seed) != (origin.sha256, origin.seed):
        raise UphillError(
            f"{run.path} started from seed {origin.seed} of {origin.run}, which has changed since: "
            "further seeds would start elsewhere, so train it again with more seeds."
        )


def _to_the_end(run: Run, facts: Standing) -> str:
    """The command that trains a run to its end."""
    steps = {"steps": run.experiment.steps} if facts.stopped else {}
    return call("resume", run.path, **steps)


def with_seeds(sample: RunSample, count: int, quiet: bool = False) -> RunSample:
    """The sample with at least this many seeds: further ones are trained, or continued if their
    training was interrupted.

    Raises:
        UphillError: if one can't be trained.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    while len(sample.seeds) < count:
        path = sample.following
        if path is None:
            run = run_of(_request(sample, count - len(sample.seeds), quiet))
        else:
            run = _completed(Run(path, **sample.run.given), episodes_of(sample.run), quiet)
        sample = sample.joined(Run(run.path, **sample.run.given))
    return sample


def _request(sample: RunSample, count: int, quiet: bool) -> Request:
    """The training of this many more seeds."""
    run, experiment = sample.run, sample.run.experiment
    choice = run.choice()
    wrappings = choice.alterations.wrappers
    own = {
        "seed": sample.seeds[-1] + 1,
        "seeds": count,
        "episodes": episodes_of(run),
        "wrappers": [w.text if is_importable(w.text) else w.wrap for w in wrappings],
        "log": (),
    }
    origin = experiment.init_from
    return Request(
        choice.env,
        experiment.composition,
        **kept(experiment) | own,
        algo=experiment.algo,
        steps=experiment.steps,
        backend=experiment.backend,
        env_kwargs=experiment.env_kwargs,
        network=run.given["network"],
        init_from=origin and origin.run,
        settings=SettingsFile(run.path, experiment, experiment.env),
        out=sample.folder_for(count),
        quiet=quiet,
    )


def _completed(run: Run, episodes: int, quiet: bool) -> Run:
    """The run, trained to its end and evaluated."""
    facts = read_manifest(run.path, "latest").facts
    if facts.steps_done < run.experiment.steps:
        return resume(run, **run.given, episodes=episodes, quiet=quiet)
    run.evaluate(episodes)
    return run
