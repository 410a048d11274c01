"""The doctor knows a fault by its name, and leaves the healthy alone."""

import functools
import json
import re
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import broken_environments as zoo
import uphill
from counting_world import CountingWorld
from uphill.cli import main
from uphill.cli.commands.train import environment_in, parse_train
from uphill.cli.parsing import take_env_kwargs
from uphill.doctor import Examination, Finding, Name, examine
from uphill.doctor.command import training_command
from uphill.doctor.constants import constant_actions
from uphill.doctor.facts import Training
from uphill.doctor.numbers import complaint, exact_bytes
from uphill.doctor.play import Limits
from uphill.doctor.repeats import spread_choices
from uphill.doctor.report import speed
from uphill.doctor.subject import subject_of
from uphill.doctor.training import train_briefly
from uphill.envs.alterations import Alterations
from uphill.envs.make import ENVPOOL_IS_FASTER, choose
from uphill.envs.worlds.cartpole import CartPole
from uphill.errors import UphillError
from uphill.parts import SGD

EXAMINE = sys.modules["uphill.doctor.examine"]
LEARNING = sys.modules["uphill.doctor.rules.learning"]
AGES = 3600.0

# What is wrong, its name, how grave it is, and what must be said of it.
ZOO: list[tuple[type[zoo.Healthy], Name, str, str]] = [
    (zoo.RaisesInReset, "reset-raises", "problem", "OSError: the track is flooded"),
    (zoo.RaisesInStep, "step-raises", "problem", "At step 3 of episode 1, step raised OSError"),
    (zoo.RaisesAtAnExtreme, "step-raises", "problem", "ZeroDivisionError"),
    (zoo.Hangs, "hangs", "problem", "step did not return within 1 s"),
    (zoo.HangsComputing, "hangs", "problem", "step did not return within 1 s"),
    (zoo.Exits, "step-raises", "problem", "SystemExit: no simulator"),
    (zoo.ThreeValues, "wrong-return", "problem", "a tuple of 3"),
    (
        zoo.TwoEnds,
        "wrong-return",
        "problem",
        "array([False, False]) as terminated, which",
    ),
    (zoo.TextEnd, "wrong-return", "problem", "'no' as terminated, which is neither True nor"),
    (zoo.WrongShape, "observation-shape", "problem", "(1,)"),
    (zoo.WrongStructure, "observation-shape", "problem", "a dict with the keys ['place']"),
    (zoo.WrongType, "observation-dtype", "advice", "float64, its space says float32"),
    (zoo.NaNObservation, "observation-not-finite", "problem", "nan at step 7 of episode"),
    (zoo.OutsideItsSpace, "observation-outside-space", "problem", "bounds are -0.5 to 0.5"),
    (zoo.TextReward, "reward-not-a-number", "problem", "'much'"),
    (zoo.InfiniteReward, "reward-not-finite", "problem", "-inf at step 7 of episode"),
    (zoo.ForgetsItsGenerator, "gymnasium-checker", "advice", "random number generator"),
    (zoo.OldSignatures, "old-signatures", "note", "a step of four values"),
    (zoo.Prints, "prints", "advice", "“moving by"),
    (zoo.Endless, "episode-never-ends", "problem", "steps, and it has no time limit"),
    (zoo.NoTimeLimit, "no-time-limit", "advice", "no time limit"),
    (zoo.TimeLimitAsTermination, "time-limit-as-termination", "advice", "at step 15"),
    (zoo.BothFlags, "terminated-and-truncated", "advice", "both True"),
    (zoo.UnseededReset, "reset-not-repeatable", "advice", "different first observations"),
    (zoo.UnseededStep, "step-not-repeatable", "advice", "the same seed"),
    (zoo.SeesNothing, "observation-constant", "problem", "the agent sees nothing"),
    (zoo.DeadSensor, "observation-constant", "advice", "1 of 5 numbers never changed"),
    (zoo.DuplicateSensor, "observation-duplicate", "advice", "observation[2] says what observ"),
    (zoo.HugeObservation, "observation-scale", "advice", "to 1,670,"),
    (zoo.UnequalObservation, "observation-scale", "advice", "(observation[1])"),
    (zoo.Deaf, "actions-change-nothing", "problem", "Whatever was done in 64 situations"),
    (zoo.TwoActionsAlike, "action-without-effect", "advice", "1 and 2 did the same"),
    (zoo.DeadThrottle, "action-without-effect", "advice", "action[1] changed nothing"),
    (zoo.DeadSwitch, "action-without-effect", "advice", "action[1] changed nothing"),
    (zoo.NoReward, "reward-constant", "problem", "Every reward was 0"),
    (zoo.NothingToGain, "reward-constant", "problem", "Every reward was 1"),
    (zoo.AlwaysTheSameSum, "reward-constant", "problem", "Every episode earned 210,"),
    (zoo.FarGoal, "sparse-reward", "advice", "as the constant action 2 showed"),
    (zoo.HugeReward, "reward-scale", "advice", "huge"),
    (zoo.TinyReward, "reward-scale", "advice", "tiny"),
    (zoo.RareReward, "sparse-reward", "advice", "58 of 60 episodes of random play earned 0"),
    (zoo.WritesOver, "observation-overwritten", "advice", "the same array again and again"),
    (zoo.HiddenGoal, "reward-unseen-cause", "advice", "Steps that looked alike"),
    (zoo.HiddenCell, "reward-unseen-cause", "advice", "Steps that looked alike"),
    (zoo.Cells, "observation-categories", "advice", "observation['grid'] were 0 to 8"),
]
TRAINED: list[tuple[type[zoo.Healthy], Name, str, str]] = [
    (zoo.WrongKind, "observation-dtype", "problem", "float32, its space says int64"),
    (zoo.Speaks, "cannot-train", "problem", "Text"),
    (zoo.TextActions, "cannot-train", "problem", "Text"),
    (zoo.BoundlessActions, "cannot-train", "problem", "infinite bounds"),
    (zoo.Lottery, "no-better-than-random", "advice", "After 4,"),
    (zoo.AlwaysRight, "constant-as-good", "advice", "Always the action 2 earned 20"),
]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything, little training counts, and no clock decides what is seen."""
    monkeypatch.setattr(EXAMINE, "_RANDOM", Limits(episodes=60, steps=2000, seconds=AGES))
    for name in ("_CALL", "_TRAINING", "_CONSTANT", "_REPEAT", "_EFFECT"):
        monkeypatch.setattr(EXAMINE, f"{name}_SECONDS", AGES)
    monkeypatch.setattr("uphill.doctor.training.SECONDS", AGES)
    monkeypatch.setattr(LEARNING, "FEWEST_STEPS", 2000)


@functools.cache
def seen(kind: type[zoo.Healthy], steps: int = 0) -> Examination:
    return examine(f"Zoo/{kind.__name__}-v0", backend="gymnasium", steps=steps, quiet=True)


def grave(examination: Examination) -> list[Finding]:
    return [finding for finding in examination.findings if finding.severity != "note"]


@pytest.mark.parametrize(
    ("kind", "name", "severity", "words"),
    [*ZOO, *TRAINED],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_broken_environment_is_diagnosed_by_name(
    kind: type[zoo.Healthy],
    name: Name,
    severity: str,
    words: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "hangs":
        monkeypatch.setattr(EXAMINE, "_CALL_SECONDS", 1.0)
    is_trained = any(kind is row[0] for row in TRAINED)
    examination = seen(kind, 4000 if is_trained else 0)
    assert capfd.readouterr() == ("", "")
    found = {finding.name: finding for finding in examination.findings}
    assert name in found
    assert found[name].severity == severity
    assert words in found[name].seen
    # One fault is one finding: what follows from it is none, or a note.
    assert {finding.name for finding in grave(examination)} <= {name}


def test_every_finding_is_in_the_zoo_and_in_the_docs() -> None:
    names = set(get_args(Name))
    assert {name for _, name, _, _ in [*ZOO, *TRAINED]} == names
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    listed = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert sorted(listed) == sorted(names)


def test_healthy_environments_have_no_finding() -> None:
    assert seen(zoo.Healthy).findings == ()
    assert seen(zoo.CannotClose).findings == ()
    for env in ("LunarLander-v3", "CarRace-v0"):
        examination = examine(env, steps=0, quiet=True)
        assert grave(examination) == []
        assert examination.command == f"uphill train {env} --algo ppo"


def test_cartpole_by_the_command_line_is_healthy(capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["doctor", "CartPole-v1", "--backend", "gymnasium", "--steps", "4096", "--json"]
    assert main(argv) == 0
    printed = capfd.readouterr()
    assert printed.out.count("\n") == 1
    result = json.loads(printed.out)
    assert list(result) == ["env", "backend", "facts", "findings", "command"]
    assert (result["env"], result["backend"], result["findings"]) == (
        "CartPole-v1",
        "gymnasium",
        [],
    )
    assert result["command"] == "uphill train CartPole-v1 --backend gymnasium --algo ppo"
    facts = result["facts"]
    # What random play of CartPole earns is known: about 22 steps an episode.
    low, high = facts["random"]["ci95"]
    assert low < 22.3 < high
    assert max(x["returns"]["mean"] for x in facts["constant"]) < 11
    assert facts["trained"]["stochastic"]["mean"] > high
    assert facts["trained"]["steps"] >= 4096
    assert facts["repeats_with_seed"] is True
    assert facts["microseconds_per_step"] * facts["steps_per_second"] == pytest.approx(1e6)


def test_people_read_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "Zoo/HugeReward-v0", "--steps", "0", "--quiet"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    for part in (
        *("Zoo/HugeReward-v0: backend gymnasium, since", "3 choices (Discrete)", "20 steps"),
        *("ADVICE  reward-scale", "  → Train with --normalize-rewards", "read the advice"),
        "uphill train Zoo/HugeReward-v0 --algo ppo",
    ):
        assert part in printed.out


def test_a_callable_is_examined_and_the_answer_is_python() -> None:
    examination = examine(zoo.HugeReward, steps=0, quiet=True)
    expected = "uphill.train(HugeReward, uphill.ppo(), max_episode_steps=1000)"
    assert examination.command == expected
    assert str(examination).endswith(examination.command)
    assert "ADVICE  reward-scale" in str(examination)
    assert len(repr(examination)) < 2000


def test_the_command_is_one_that_train_understands() -> None:
    for kind in (zoo.HugeReward, zoo.UnequalObservation, zoo.FarGoal, zoo.Endless):
        words = seen(kind).command.split()[2:]
        argv, env_kwargs = take_env_kwargs(words)
        env = environment_in(argv)
        assert env == f"Zoo/{kind.__name__}-v0"
        options, algorithm, _ = parse_train(argv, env)
        assert algorithm.normalize_rewards
        assert algorithm.normalize_observations
        assert bool(algorithm.entropy.value) == (kind is zoo.FarGoal)
        assert env_kwargs == {}
        assert options.max_episode_steps == (1000 if kind is zoo.Endless else None)


def test_what_cannot_be_examined_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    for argv, status, sentence in (
        (["CartPole-v2"], 1, "did you mean CartPole-v1"),
        (["Zoo/Healthy-v0", "--env.colour", "red"], 1, "does not take colour"),
        (["Zoo/NoLicence-v0"], 1, "could not be made: RuntimeError: no licence (broken_env"),
        (["Zoo/Healthy-v0", "--seed", "-1"], 1, "seed is -1: use 0 or more"),
        (["Zoo/Healthy-v0", "--steps", "-1"], 1, "steps is -1: use 0 or more"),
        (["Zoo/Healthy-v0", "--nonsense"], 2, "--nonsense"),
        ([], 2, "ENV"),
    ):
        assert main(["doctor", *argv]) == status
        printed = capfd.readouterr()
        assert sentence in " ".join(printed.err.split())
        assert "Traceback" not in printed.err
        assert status == 2 or printed.err.count("\n") == 1
        assert not printed.out


def test_a_compiled_world_of_ones_own_is_examined() -> None:
    examination = examine(CountingWorld(longest=3), steps=0, quiet=True)
    assert examination.facts.max_episode_steps == 4
    assert examination.command.startswith("uphill.train(CountingWorld(), uphill.ppo(")


def test_a_worlds_time_limit_may_be_longer_and_is_told_once() -> None:
    examination = examine(CartPole(20, 19.0), max_episode_steps=60, steps=0, quiet=True)
    assert examination.facts.max_episode_steps == 60
    facts = replace(examination.facts, choice=choose("CartPole-v1", alterations=Alterations(5000)))
    assert training_command(facts, ()).endswith("--algo ppo --max-episode-steps 5000")
    for lack in ("no-time-limit", "episode-never-ends"):
        command = training_command(facts, [Finding(lack, "advice", "", "")])
        assert re.findall(r"--max-episode-steps \d+", command) == ["--max-episode-steps 1000"]


def test_one_episode_of_random_play_is_no_comparison() -> None:
    """It has no spread: any two means would differ."""
    facts = examine(CountingWorld(longest=3), steps=0, quiet=True).facts
    higher = np.full(20, -199.0)
    facts = replace(facts, training=Training("ppo", 4096, 1.0, 4096.0, higher, higher))

    def has_learned_against(*returns: float) -> bool:
        n = len(returns)
        ends = {"terminated": np.ones(n, bool), "truncated": np.zeros(n, bool)}
        of_each = {"returns": np.array(returns), "lengths": np.ones(n, int), **ends}
        random = replace(facts.random, **of_each)
        return LEARNING.has_learned(replace(facts, random=random))

    assert not has_learned_against(-200.0)
    assert has_learned_against(-200.0, -200.0)
    # The variance of a sample is over n − 1: that of ±0.36 has a standard error of 0.36.
    assert not has_learned_against(-199.9 - 0.361, -199.9 + 0.361)
    assert has_learned_against(-199.9 - 0.359, -199.9 + 0.359)


def test_a_brief_training_says_what_was_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops in its last finite state, which would look as if nothing was learned."""
    leaps = uphill.ppo(optimizer=SGD(learning_rate=1e38, max_grad_norm=None))
    monkeypatch.setattr("uphill.doctor.training.brief_ppo", lambda: leaps)
    subject = subject_of(choose(CountingWorld(longest=3)), AGES)
    with pytest.raises(UphillError, match=r"^Learning diverged in update \d+ \(seed 0\): "):
        train_briefly(subject, 0, 4096)


def test_a_callable_is_examined() -> None:
    examination = examine(zoo.NoTimeLimit, steps=0, quiet=True)
    assert examination.result()["env"] == "NoTimeLimit"
    assert [finding.name for finding in grave(examination)] == ["no-time-limit"]
    with pytest.raises(UphillError, match="has no observation_space and no action_space"):
        examine(zoo.NoSpaces, quiet=True)


def test_a_pool_is_examined_as_one_environment() -> None:
    examination = examine("CartPole-v1", backend="envpool", steps=0, quiet=True)
    assert examination.findings == ()
    assert examination.facts.through == "EnvPool"
    returns = examination.facts.random.returns
    assert abs(returns.mean() - 22.3) < 4 * returns.std() / np.sqrt(len(returns))


def test_whoever_used_the_alarm_gets_it_back() -> None:
    from uphill.doctor.watch import TookTooLong, Watch

    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    left = signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with Watch(0.05) as watch, pytest.raises(TookTooLong):
            watch.call(threading.Event().wait, 5)
        threading.Event().wait(0.5)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


def test_in_another_thread_nothing_is_cut_short() -> None:
    found: list[Any] = []
    worker = threading.Thread(target=lambda: found.append(seen(zoo.Healthy).findings))
    worker.start()
    worker.join()
    assert found == [()]


def test_an_environment_of_nested_observations_has_named_numbers() -> None:
    from uphill.doctor.numbers import flatten, number_names

    space = gymnasium.spaces.Dict(
        {
            "b": gymnasium.spaces.Tuple(
                [gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(0, 1, ())]
            ),
            "a": gymnasium.spaces.MultiBinary([2, 1]),
        }
    )
    space.seed(0)
    sample = space.sample()
    assert number_names(space) == [
        *("observation['b'][0]", "observation['b'][1]"),
        *("observation['a'][0, 0]", "observation['a'][1, 0]"),
    ] or number_names(space)[0].startswith("observation['a']")
    parts = {"observation['b'][0]": sample["b"][0], "observation['b'][1]": sample["b"][1]}
    parts |= {f"observation['a'][{k}, 0]": sample["a"][k, 0] for k in range(2)}
    vector = flatten(space, sample)
    assert vector.tolist() == [float(parts[name]) for name in number_names(space)]


def test_what_a_step_costs_says_which_backend_suits() -> None:
    facts = seen(zoo.Healthy).facts

    def said(backend: Any, reason: str, seconds: float) -> str | None:
        choice = replace(facts.choice, backend=backend, reason=reason)
        steps = len(facts.random.rewards)
        random = replace(facts.random, seconds=seconds * steps)
        return speed(replace(facts, choice=choice, random=random))

    missing = f"EnvPool is not installed; {ENVPOOL_IS_FASTER}"
    for backend, reason, seconds, words in (
        ("gymnasium", "EnvPool does not have it", 3e-3, "one step takes 3 ms in Python: is_async="),
        ("gymnasium", "EnvPool does not have it", 2e-5, "one step takes 20 µs in Python, which is"),
        ("gymnasium", missing, 2e-5, "pip install 'uphill[envpool]'"),
        ("envpool", "EnvPool has it in C++", 1e-4, "EnvPool's in C++"),
        ("compiled", "it is one of Uphill's compiled worlds", 1e-4, "training compiles it"),
    ):
        sentence = said(backend, reason, seconds)
        assert sentence is not None
        assert words in sentence


# --- whole numbers that floats don't hold, and actions of several parts --------------------------

FAR = 2**60 + 1


def test_far_whole_numbers_stay_exact() -> None:
    discrete = spaces.Discrete(5, start=FAR)
    assert [int(x) for _, x in constant_actions(discrete, 0)] == [FAR + k for k in range(5)]
    assert spread_choices(spaces.Discrete(2**62, start=-(2**61)), 3) == [-(2**61), -1, 2**61 - 1]
    box = spaces.Box(FAR, FAR + 2, (1,), np.int64)
    named = {name: int(x[0]) for name, x in constant_actions(box, 0)}
    assert named == {f"[{FAR + k}]": FAR + k for k in range(3)}
    unsigned = spaces.Box(0, 2**64 - 1, (1,), np.uint64)
    assert {int(x[0]) for _, x in constant_actions(unsigned, 0)} == {0, 2**63 - 1, 2**64 - 1}
    many = spaces.MultiDiscrete([2], start=[FAR])
    assert {int(x[0]) for _, x in constant_actions(many, 0)} == {FAR, FAR + 1}
    assert exact_bytes(discrete, FAR) != exact_bytes(discrete, FAR + 1)
    for space, value in (
        (discrete, np.int64(FAR + 5)),
        (box, np.array([FAR - 1])),
        (spaces.Discrete(20_000), np.int64(20_000)),
    ):
        found = complaint(space, value)
        assert found is not None
        assert found[0] == "observation-outside-space"
        assert str(np.ravel(value)[0]) in found[1]
    assert complaint(discrete, np.int64(FAR + 4)) is None


def test_actions_of_several_parts_are_played_and_compared() -> None:
    space = spaces.Dict(
        go=spaces.Tuple((spaces.Discrete(2, start=3), spaces.Box(-1, 1, (1,)))),
        mode=spaces.MultiBinary(1),
    )
    actions = constant_actions(space, 0)
    assert all(space.contains(action) for _, action in actions)
    assert actions[0][0] == "{go: (3, [0]), mode: [0]}"
    assert len({name for name, _ in actions}) == len(actions) == 3
    assert constant_actions(spaces.Dict(a=spaces.Text(3)), 0) == []
    examination = examine(TwoParts, steps=0, quiet=True)
    (finding,) = examination.findings
    assert finding.name == "action-without-effect"
    assert finding.seen.startswith("action['idle'] changed nothing")


class TwoParts(zoo.Healthy):
    action_space = spaces.Dict(push=spaces.Discrete(3), idle=spaces.Discrete(2))

    def move(self, action: Any) -> None:
        super().move(action["push"])

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        *answer, _, info = super().step(action)
        return (*answer, self.t >= 20, info)


def test_why_it_can_not_be_trained_on_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: Any) -> None:
        raise UphillError(
            "It raised OSError in making it; its own error follows.\nIn a file\nOSError: in use"
        )

    monkeypatch.setattr(EXAMINE, "train_briefly", taken)
    finding = next(x for x in seen(zoo.Healthy, 4000).findings if x.name == "cannot-train")
    assert finding.seen == "It raised OSError in making it: OSError: in use"


def test_spaces_are_told_whole_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EXAMINE, "_RANDOM", Limits(episodes=4, steps=80, seconds=AGES))
    monkeypatch.setattr(EXAMINE, "_CONSTANT_SECONDS", 0.0)  # no constant action is played
    kitchen = {f"sensor number {k}": spaces.Box(-1, 1, (k + 1,)) for k in range(6)}

    class Kitchen(zoo.Healthy):
        observation_space = spaces.Dict(
            **kitchen,
            camera=spaces.Box(0, 255, (9, 8, 3), np.uint8),
            dice=spaces.MultiDiscrete([6, 6]),
            lights=spaces.MultiBinary(3),
        )
        time_limit = 20

        def observation(self) -> Any:
            return self.observation_space.sample()

    said = str(examine(Kitchen, steps=0, quiet=True))
    before, _, _ = said.partition("uphill.train(")
    assert max(map(len, before.splitlines())) <= 80
    words = " ".join(before.split())
    for part in (
        *("sensor number 5: 6 numbers (Box of float32), −1 to 1", "dice: choices among 6, 6"),
        *("camera: image of 9 × 8 × 3 (Box of uint8), 0 to 255", "lights: 3 yes or no (MultiB"),
    ):
        assert part in words


def test_noise_is_no_unseen_cause_and_a_seen_goal_is_seen() -> None:
    for kind in (zoo.Lottery, zoo.Healthy, zoo.FarGoal, zoo.DuplicateSensor):
        names = {finding.name for finding in seen(kind).findings}
        assert "reward-unseen-cause" not in names


def test_the_command_tells_categories() -> None:
    command = seen(zoo.Cells).command
    assert command.endswith("--algo ppo --observation-categories 9")
    assert parse_train(command.split()[2:], "Zoo/Cells-v0")[1].observation_categories == 9
