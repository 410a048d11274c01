"""Which flag is meant by one that there is not."""

import pytest

from command_line import parsed
from uphill.cli.errors import WrongCommandLine


def said(*argv: str) -> str:
    with pytest.raises(WrongCommandLine) as raised:
        parsed("CartPole-v1", *argv)
    return str(raised.value)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("--lr 1e-3", "--optimizer.learning-rate"),
        ("--lr=1e-3", "--optimizer.learning-rate"),
        ("--learning-rate 1e-3", "--optimizer.learning-rate"),
        ("--learning_rate 1e-3", "--optimizer.learning-rate"),
        ("--algo trpo --lr 0.01", "--optimizer.max-kl"),
        ("--total-timesteps 1000", "--steps"),
        ("--n-envs 4", "--envs"),
        ("--num_envs 4", "--envs"),
        ("--n-steps 64", "--sampling.num-steps"),
        ("--gamma 0.9", "--estimator.gamma"),
        ("--gae-lambda 0.9", "--estimator.lam"),
        ("--ent-coef 0.01", "--entropy"),
        ("--vf-coef 0.5", "--baseline.coefficient"),
        ("--clip-range 0.1", "--surrogate.epsilon"),
        ("--n-epochs 4", "--num-epochs"),
        (
            "--batch-size 64",
            "--num-minibatches (the number of minibatches, not their size)",
        ),
        ("--verbose 1", "--quiet (the opposite)"),
        ("--max-grad-norm 1", "--optimizer.max-grad-norm"),
        ("--net-arch 64 64", "--policy.hidden"),
        ("--hidden 64", "--policy.hidden"),
        ("--alg ppo", "--algo"),
        ("--agent ppo", "--algo"),
        ("--stps 5", "--steps"),
        ("--optimizer.learnig-rate 1", "--optimizer.learning-rate"),
        ("--surrogat clipped-ratio", "--surrogate"),
        ("--tensorboard-log x", "--log"),
        ("--no-baseline.shares-trunk", "--baseline.no-shares-trunk"),
        ("--no-normalize-obs", "--no-normalize-observations"),
        ("--baseline.share-trunk", "--baseline.shares-trunk"),
    ],
)
def test_one_flag_is_suggested_and_it_is_one_that_there_is(words: str, flag: str) -> None:
    (typed,) = [word for word in words.split() if word[:2] == "--" and word != "--algo"]
    assert said(*words.split()) == (
        f"There is no flag {typed.partition('=')[0]}: did you mean {flag}?"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--sampling.per-env 2",
            "There is no flag --sampling.per-env here: --sampling.per-env goes with --sampling "
            "episodes, which --algo reinforce or vpg has.",
        ),
        (
            "--algo reinforce --gae-lambda 0.9",
            "There is no flag --gae-lambda here: --estimator.lam goes with --estimator gae, which "
            "--algo a2c, ppo, npg or trpo has.",
        ),
        (
            "--surrogate.target 0.01",
            "There is no flag --surrogate.target here: --surrogate.target goes with --surrogate "
            "kl-penalty.",
        ),
        (
            "--env-id Acrobot-v1",
            "There is no flag --env-id: ENV stands by itself, as in `uphill train ENV`.",
        ),
        ("--tau 1", "There is no flag --tau: `uphill train CartPole-v1 --help` shows all."),
        (
            "--use-sde",
            "There is no flag --use-sde: state-dependent exploration is not included, since it "
            "gained nothing (docs/defaults.md).",
        ),
    ],
)
def test_where_a_setting_is_to_be_had(words: str, sentence: str) -> None:
    assert said(*words.split()) == sentence
