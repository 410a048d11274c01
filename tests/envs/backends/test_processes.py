"""Environments in processes of their own: as those in this one, and every end of one told."""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import python_envs
from uphill.envs.backends.gymnasium import HostEnvironment, make_vector
from uphill.envs.make import choose, make_env
from uphill.errors import UphillError

TESTS = Path(__file__).parents[2]


def apart(env, step_timeout=None, num_envs=2, **env_kwargs) -> HostEnvironment:
    choice = choose(env, "auto", env_kwargs, is_async=True, step_timeout=step_timeout)
    return make_env(choice, num_envs)[0]


def play(env: HostEnvironment, num_steps: int = 1) -> None:
    for _ in range(num_steps):
        env.step(np.zeros(env.num_envs, int))


def assert_ended(env: HostEnvironment) -> None:
    assert not any(process.is_alive() for process in env._vector.processes)
    assert env._vector.closed


def test_trap_19_processes_start_by_spawn_and_step_as_the_environments_in_this_one():
    kinds = [("UphillTestLimited-v0", {"length": 3}), (python_envs.OldGym, {"end": 4})]
    for env, env_kwargs in kinds:
        there, here = apart(env, **env_kwargs), make_env(choose(env, "auto", env_kwargs), 2)[0]
        assert there.max_episode_steps == here.max_episode_steps
        assert there.reward_threshold == here.reward_threshold
        assert {type(process).__name__ for process in there._vector.processes} == {"SpawnProcess"}
        np.testing.assert_array_equal(there.reset(), here.reset())
        for t in range(6):
            action = np.array([t % 2, 1])
            for ours, theirs in zip(there.step(action), here.step(action), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        there.close()
        assert_ended(there)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("exit", r"ended itself in step with status 9 \(os\._exit\?\): raise an error there inst"),
        ("SIGKILL", r"was killed in step \(SIGKILL: by hand, or since memory ran out\): free some"),
        ("SIGSEGV", r"crashed in step \(SIGSEGV: Segmentation fault\): fix the environment, or"),
    ],
)
def test_a_process_that_ends_is_named_with_the_reason(end, words):
    env = apart("UphillTestFatal-v0", end=end)
    env.reset()
    play(env)
    found = r"^UphillTestFatal-v0, at step 2 of each environment, lost environment [01] of 2 \(pro"
    with pytest.raises(UphillError, match=rf"{found}cess \d+\).*: it {words}") as caught:
        play(env)
    assert_ended(env)
    own = re.findall(r'^  File "(.*)", line \d+, in (.*)$', str(caught.value), re.MULTILINE)
    expected = [(python_envs.__file__, "step")] if end == "SIGSEGV" else []
    assert own == expected
    env.close()


@pytest.mark.parametrize(
    ("end", "steps", "what"), [("hang", 2, "step"), ("hang in reset", 3, "reset")]
)
def test_what_takes_too_long_is_ended_and_named_with_where_it_was(end, steps, what):
    env = apart("UphillTestFatal-v0", step_timeout=3600.0, end=end)
    env.reset()
    play(env, steps - 1)
    env._vector.step_timeout = 0.2  # as long as it may take, whatever the machine
    found = rf"at step {steps} of each environment, did not return from {what} within 0\.2 s in env"
    with pytest.raises(
        UphillError, match=rf"{found}ironment 0 of 2 \(process \d+\), nor did 1 m"
    ) as caught:
        play(env)
    assert "step_timeout" in str(caught.value)
    assert str(caught.value).endswith("_wait_for_the_simulator" if end == "hang" else "reset")
    assert_ended(env)


def test_time_in_which_this_process_was_stopped_does_not_count(monkeypatch):
    """As after Ctrl-Z: a clock that jumps is not the environments' fault."""
    env = apart("UphillTestCounting-v0", step_timeout=100.0)
    env.reset()
    clock = iter(range(0, 10**9, 3600))
    monkeypatch.setattr("uphill.envs.backends.processes.time.monotonic", lambda: next(clock))
    play(env, 3)
    monkeypatch.undo()
    env.close()
    assert_ended(env)


def test_one_that_is_killed_from_outside_is_named():
    env = apart("UphillTestCounting-v0")
    env.reset()
    victim = env._vector.processes[1]
    victim.kill()
    victim.join()
    with pytest.raises(
        UphillError, match=rf"lost environment 1 of 2 \(process {victim.pid}\): it w"
    ):
        play(env)
    assert_ended(env)


def test_what_prints_and_leaves_threads_is_stepped_and_ended(monkeypatch, capfd):
    monkeypatch.setattr("uphill.envs.backends.processes._GRACE", 0.2)
    env = apart("UphillTestFatal-v0", end="noise", num_envs=1)
    env.reset()
    play(env, 2)
    env.close()
    assert_ended(env)
    assert capfd.readouterr().out.count("x") == 2_000_000


def test_processes_end_with_the_environment_even_while_an_answer_is_due():
    env = apart("UphillTestCounting-v0")
    env.reset()
    env._vector.step_async(np.zeros(2, int))
    processes = env._vector.processes
    del env
    gc.collect()
    for process in processes:
        process.join()
    assert not any(process.is_alive() for process in processes)


def test_an_environment_that_another_process_cannot_make_is_told():
    parent = os.getpid()

    def only_here():
        assert os.getpid() == parent
        return python_envs.Counting()

    apart = r"^only_here could not be made in a separate process: it raised AssertionError in mak"
    with pytest.raises(UphillError, match=apart) as caught:
        make_vector(only_here, 2, is_async=True, name="only_here")
    assert str(caught.value).count("assert os.getpid() == parent") == 1
    with pytest.raises(UphillError, match=r"raised ConnectionRefusedError in making it(.|\n)*lice"):
        make_vector(partial(python_envs.Fatal, "raise"), 1, is_async=True, name="Fatal")


TRAINS_AND_SAYS_SO = """
import os, signal, sys
from uphill.envs.backends.processes import Processes
import python_envs

if __name__ == "__main__":
    vector = Processes(python_envs.Counting, 2)
    vector.reset(seed=3)
    print(*[process.pid for process in vector.processes], flush=True)
    sys.stdin.read()
    vector.step([0, 0])
    vector.close()
    print("whole", flush=True)
"""


@pytest.mark.parametrize("end", ["Ctrl-C", "SIGKILL"])
def test_signals_of_the_terminal_are_for_this_process_and_workers_end_with_it(tmp_path, end):
    script = tmp_path / "trains.py"
    script.write_text(TRAINS_AND_SAYS_SO)
    command = [sys.executable, str(script)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environ, text=True, **pipes) as trains:
        assert trains.stdout is not None
        workers = [int(pid) for pid in trains.stdout.readline().split()]
        assert len(workers) == 2
        if end == "SIGKILL":
            trains.kill()
            _, said = trains.communicate()
        else:
            for pid in workers:
                os.kill(pid, signal.SIGINT)
            shown, said = trains.communicate()
            assert shown == "whole\n"
    for pid in workers:
        while is_running(pid):
            time.sleep(0.01)
    assert "Traceback" not in said


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_time_limit_needs_what_can_be_ended():
    def made(**keywords):
        return choose("UphillTestCounting-v0", **keywords)

    with pytest.raises(UphillError, match=r"^step_timeout is 3, but only .*: add is_async=True\.$"):
        made(step_timeout=3.0)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(
            UphillError, match=r"^step_timeout is .*: use a number above 0, or leave"
        ):
            made(is_async=True, step_timeout=wrong)
    with pytest.raises(
        UphillError, match=r"runs with compiled, .*backend='gymnasium' and is_async="
    ):
        choose("CartPole-v1", is_async=True, step_timeout=3.0)
    mended = choose("CartPole-v1", "gymnasium", is_async=True, step_timeout=3.0)
    assert (mended.step_timeout, mended.is_async) == (3.0, True)
