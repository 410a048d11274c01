"""The command line, as tests call it."""

from typing import Any

from uphill.cli import main
from uphill.cli.commands.train import environment_in, parse_train

SMALL = [
    *("--policy.hidden", "8", "--baseline.network.hidden", "8", "--envs", "4"),
    *("--sampling.num-steps", "8", "--num-epochs", "2", "--num-minibatches", "2"),
    *("--normalize-observations", "--steps", "100", "--episodes", "4"),
]


TRAIN = ["train", "CartPole-v1", *SMALL]


def run_cli(*argv: Any) -> int:
    return main([str(word) for word in argv])


def parsed(*argv: str) -> Any:
    """The options and the algorithm of a `train` command, without training."""
    env = environment_in(list(argv))
    assert env is not None
    return parse_train(list(argv), env)
