"""The largest weights, by which learning that diverges is seen."""

import numpy as np
import pytest

from small_runs import small_ppo
from uphill.parts import GAE
from uphill.runs.divergence import divergence_of, largest_weights
from uphill.training.trainer import Trainer


def test_what_an_estimator_learns_is_watched_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm = small_ppo()
    with Trainer("CartPole-v1", algorithm, (0,), 100) as trainer:
        learners = trainer.fresh_learners()
    first = largest_weights(algorithm, learners, 1)
    assert len(first) == 2
    monkeypatch.setattr(GAE, "networks", lambda self, state: np.full((1, 3), 5e6))
    now = largest_weights(algorithm, learners, 1)
    assert now == (*first, (5e6,))
    found = divergence_of(0, first, now, 10)  # of a run from before estimators were watched
    assert found is not None
    assert found.network == "action-value function"
