"""Settings of another run, or of a file: what is taken, what overrides it, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

import uphill
from command_line import run_cli
from own_part_files import my_parts
from small_runs import small_ppo, train_small, write_run
from uphill.cli.commands.train import environment_in, parse_train, settings_in
from uphill.errors import UphillError
from uphill.parts import ClippedRatio, NStep
from uphill.runs.configuration import encode
from uphill.sessions.presets import preset
from uphill.sessions.settings_file import read_settings, with_settings, write_settings

ENV = "CartPole-v1"


def write(folder: Path, **document: Any) -> Path:
    path = folder / "settings.json"
    path.write_text(json.dumps(document))
    return path


def parsed(*argv: str) -> tuple[Any, Any, Any]:
    env = environment_in(list(argv))
    assert env is not None
    return parse_train(list(argv), env, settings_in(list(argv), env))


def test_a_small_file_changes_the_preset(tmp_path: Path) -> None:
    changes = {"entropy": 0.5, "surrogate": {"epsilon": 0.3}, "estimator": {"$type": "GAE"}}
    path = write(tmp_path, algo="ppo", steps=2e4, episodes=7, algorithm=changes)
    found = read_settings(path, ENV)
    start, ours = found.start, preset(ENV, "ppo").algorithm
    assert (start.algo, start.steps, found.others["episodes"]) == ("ppo", 20_000, 7)
    assert encode(start.algorithm.surrogate) == encode(ClippedRatio(epsilon=0.3))
    assert encode(start.algorithm.optimizer) == encode(ours.optimizer)
    # A part that is named is whole: what it leaves out is its own default.
    assert encode(start.algorithm.estimator) == encode(uphill.parts.GAE())
    assert encode(ours.estimator) != encode(uphill.parts.GAE())


def test_the_file_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    path = tmp_path / "best.json"
    path.write_text(page.partition("```json")[2].partition("```")[0])
    start = read_settings(path, ENV).start
    assert encode(start.algorithm.estimator) == encode(NStep(gamma=0.98, num_steps=8))
    assert str(start.algorithm.optimizer.learning_rate) == "linear:0.001:0.0"


def test_flags_override_a_run_that_is_taken(tmp_path: Path) -> None:
    wrappers = ("FrameStackObservation:4",)
    settings = {"max_episode_steps": 50, "wrappers": wrappers, "backend": "gymnasium"}
    run = write_run(tmp_path / "a", [[1.0]] * 3, episodes=9, seed=5, **settings)
    words = [ENV, "--settings", str(run.path)]
    options, algorithm, start = parsed(*words)
    assert encode(algorithm) == encode(run.experiment.algorithm)
    assert start.source == f"those of {run.path}"
    assert (options.max_episode_steps, options.wrappers, options.episodes) == (50, wrappers, 9)
    assert (options.seed, options.seeds, options.backend) == (0, 1, "auto")
    more = [*("--episodes", "100", "--wrapper", "FlattenObservation"), "--surrogate.epsilon", "0.5"]
    options, algorithm, _ = parsed(*words, *more)
    assert (options.episodes, options.wrappers) == (100, (*wrappers, "FlattenObservation"))
    assert algorithm.surrogate.epsilon.number == 0.5
    # What is changed of an environment goes with that environment.
    options, _, start = parsed("Acrobot-v1", *words[1:])
    assert (options.max_episode_steps, options.wrappers, options.episodes) == (None, (), 9)
    assert start.source.endswith(", without what it changes of CartPole-v1")


def test_keywords_override_a_file_also_by_what_is_the_default(tmp_path: Path) -> None:
    kwargs = {"g": 5, "render_mode": None}
    path = write(tmp_path, algo="a2c", steps=500, episodes=7, env_kwargs=kwargs, eval_every=100.0)
    given = with_settings({"env": ENV, "settings": path, "episodes": 100, "env_kwargs": {"g": 6}})
    assert (given["episodes"], given["steps"], given["algo"]) == (100, 500, "a2c")
    assert given["env_kwargs"] == {"g": 6, "render_mode": None}
    assert given["eval_every"] == 100
    untouched = {"env": ENV, "steps": 3}
    assert with_settings(untouched) == untouched


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [[1.0]], env_kwargs={"g": 5}, eval_every=200)
    path = tmp_path / "best.json"
    write_settings(path, run.experiment)
    found = read_settings(path, ENV)
    assert encode(found.start.algorithm) == encode(run.experiment.algorithm)
    assert found.others == read_settings(run, ENV).others
    assert found.others["env_kwargs"] == {"g": 5}
    assert not {"seed", "seeds", "command"} & set(json.loads(path.read_text()))


WRONG: list[tuple[Any, str]] = [
    ({"seeds": 4}, "seeds is not taken from a file: use seeds=4."),
    ({"learning_rate": 0.1}, 'did you mean {"algorithm": {"optimizer": {"learning_rate": 0.1}}}?'),
    ({"stepz": 4}, 'it has no place for stepz: did you mean {"steps": 4}?'),
    ({"xyzzy": 4}, "it has no place for xyzzy: it may have env, algo, "),
    ({"steps": 0}, "steps is 0: use at least 1."),
    ({"steps": "many"}, "steps is 'many': expected int."),
    ({"algo": "pqo"}, "algo is 'pqo': use one of reinforce, "),
    ({"algo": ["ppo"]}, "algo is ['ppo']: expected one of str, None."),
    ({"algorithm": 3}, "algorithm is 3: expected an object."),
    ({"algorithm": {"entrop": 1}}, "algorithm has no field entrop: did you mean entropy?"),
    (
        {"algorithm": {"optimizer": {"lr": 1}}},
        "algorithm.optimizer has no field lr: did you mean learning_rate?",
    ),
    (
        {"algorithm": {"surrogate": {"$type": "os.system"}}},
        "algorithm.surrogate is {'$type': 'os.system'}: expected one of ScoreFunction, ",
    ),
    ([1], "it is not a JSON object."),
]


@pytest.mark.parametrize(("document", "sentence"), WRONG, ids=lambda x: str(x)[:40])
def test_a_mistake_names_the_file_and_the_field(
    document: Any, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UphillError) as caught:
        read_settings(path, ENV)
    assert str(caught.value).startswith(f"{path} can't be used as settings: ")
    assert sentence in str(caught.value)


def test_what_is_no_settings_is_refused(tmp_path: Path) -> None:
    not_json = tmp_path / "a.txt"
    not_json.write_text("steps: 3")
    for source, sentence in (
        (tmp_path / "nothing", "can't be read: No such file"),
        (tmp_path, "is not a run directory: it has no experiment.json"),
        (not_json, r"can't be read: it is not valid JSON \(line 1, column \d+\)\."),
    ):
        with pytest.raises(UphillError, match=sentence):
            read_settings(source, ENV)
    path = write(tmp_path, algo="ppo")
    with pytest.raises(UphillError, match=r"^algo is 'a2c', and .* of ppo: leave out algo\.$"):
        read_settings(path, ENV, "a2c")
    with pytest.raises(UphillError, match=r"^algorithm and settings are both given"):
        uphill.train(ENV, small_ppo(), settings=path)
    networks = write_run(tmp_path / "own", [[1.0]], network="mine")
    with pytest.raises(UphillError, match="has custom networks, made by 'mine': give it"):
        uphill.train(ENV, settings=networks)


def test_nothing_is_imported_without_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = my_parts(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = write(tmp_path, algo="ppo", algorithm={"surrogate": {"$type": "my_parts:SPO"}})
    assert run_cli("train", ENV, "--settings", path) == 1
    assert "my_parts:SPO, a custom part" in (said := capsys.readouterr().err)
    assert "--allow-import" in said
    found = read_settings(path, ENV, allow_import=True)
    assert isinstance(found.start.algorithm.surrogate, own.SPO)
    wrapped = write(tmp_path, env=ENV, wrappers=["my_wrappers:Mine"])
    with pytest.raises(UphillError, match="imports the module 'my_wrappers': add allow_import"):
        read_settings(wrapped, ENV)
    assert read_settings(wrapped, "Acrobot-v1").others.get("wrappers") is None
    lost = write(tmp_path, wrappers=["my_wrappers:<lambda>"])
    with pytest.raises(UphillError, match="which no file can hold"):
        read_settings(lost, ENV)


def test_training_starts_from_another_run(tmp_path: Path) -> None:
    first = train_small(tmp_path / "a", steps=64, max_episode_steps=30)
    again = uphill.train(ENV, settings=first, seed=3, envs=2, out=tmp_path / "b", quiet=True)
    ours, theirs = again.experiment, first.experiment
    assert encode(ours.composition.optimizer) == encode(theirs.composition.optimizer)
    assert (ours.steps, ours.seed, ours.max_episode_steps) == (64, 3, 30)
    assert ours.settings == f"those of {first.path}, changed by --sampling.num-envs 2"
