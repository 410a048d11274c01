"""The evaluations of a training run: at regular intervals, and at its end."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from uphill.envs.make import EnvironmentChoice
from uphill.policies.actor import Actor
from uphill.training.evaluate import Evaluator, Returns, evaluate_actors

EVALUATION_EPISODES = 20
"""Episodes of each evaluation while training (`--eval-every`)."""


class Evaluations:
    """Evaluates all seeds, with programs that are compiled when they are needed, or in advance."""

    def __init__(
        self,
        choice: EnvironmentChoice,
        seeds: Sequence[int],
        episodes: int,
        say: Callable[[str], None],
    ) -> None:
        self._choice, self._seeds, self._episodes, self._say = choice, seeds, episodes, say
        self._evaluator: Evaluator | None = None
        self._final: Future[Evaluator] | None = None
        self.seconds = self.each = 0.0
        """of all evaluations while it trained, and of one that has nothing to compile"""
        self.since: float | None = None
        """when the one that is under way began, by `time.monotonic`"""

    def now(self, actors: Actor) -> list[float]:
        """The mean return of each seed's deterministic policy, while it trains."""
        self.since = started = time.monotonic()
        if self._evaluator is None:
            self._evaluator = self._made(EVALUATION_EPISODES)
        compiled = self._evaluator.compile_seconds
        try:
            return [float(x) for x in self._evaluator.returns(actors)[0].mean(1)]
        finally:
            self.since, seconds = None, time.monotonic() - started
            self.seconds += seconds
            self.each = seconds - (self._evaluator.compile_seconds - compiled)

    def prepare(self, actors: Actor, helper: ThreadPoolExecutor) -> None:
        """Have a thread compile the evaluation at the end; Python's environments need no program
        for it."""
        if self._choice.backend == "compiled":
            self._final = helper.submit(self._compiled, actors)

    def final(self, actors: Actor) -> Returns:
        """The returns of the final policies."""
        if self._final is not None:
            return self._final.result().returns(actors)
        return evaluate_actors(self._choice, actors, self._seeds, self._episodes, self._say)

    def close(self) -> None:
        """Stop the environments of evaluations while training."""
        if self._evaluator is not None:
            self._evaluator.close()

    def _made(self, episodes: int) -> Evaluator:
        return Evaluator(self._choice, self._seeds, episodes, self._say)

    def _compiled(self, actors: Actor) -> Evaluator:
        evaluator = self._made(self._episodes)
        evaluator.compile(actors)
        return evaluator
