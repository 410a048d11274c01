"""What an algorithm's parts and numbers need of each other."""

from typing import Any

from uphill.parts.checks import (
    check_choice,
    check_count,
    check_parts,
    check_positive,
    check_probabilities,
    check_schedule,
    check_static,
    require,
)

ADVANTAGE_SCALES = ("none", "batch", "minibatch")
MEANS_OVER = ("steps", "episodes")


def check_composition(algorithm: Any) -> None:
    """Raises:
    UphillError: unless the parts and numbers of an algorithm fit together; it names the field.
    """
    check_parts(algorithm)
    check_count(num_epochs=algorithm.num_epochs, num_minibatches=algorithm.num_minibatches)
    check_choice(ADVANTAGE_SCALES, scale_advantages=algorithm.scale_advantages)
    check_choice(MEANS_OVER, mean_over=algorithm.mean_over)
    check_schedule(entropy=algorithm.entropy)
    if algorithm.observation_categories is not None:
        check_count(observation_categories=algorithm.observation_categories)
        require(
            algorithm.observation_categories > 1,
            "observation_categories",
            algorithm.observation_categories,
            "a single category carries no information, so use at least 2",
        )
    if algorithm.uniform_mixture is not None:
        check_probabilities(uniform_mixture=algorithm.uniform_mixture)
    _check_needs(algorithm)
    _check_scales(algorithm)
    _check_reuse(algorithm)
    _check_whole_batch(algorithm)
    for part in (
        algorithm.sampling,
        algorithm.estimator,
        algorithm.baseline,
        algorithm.surrogate,
        algorithm.optimizer,
    ):
        check_static(part)
        part.check(algorithm)
    _check_minibatches(algorithm)


def _check_needs(algorithm: Any) -> None:
    """What the parts declare that they need from each other."""
    estimator, baseline, sampling = algorithm.estimator, algorithm.baseline, algorithm.sampling
    baseline.check_whole()
    check_count(num_envs=sampling.num_envs)
    if (each := sampling.quota) is None:
        each = sampling.num_rows(None)
        check_count(window=each)
    else:
        check_count(quota=each)
    require(
        sampling.num_envs * each < 2**31,
        "num_envs",
        sampling.num_envs,
        f"with {each:,} of each, a batch has 2³¹ rows or more, so use fewer",
    )
    require(
        baseline.has_value or not estimator.needs_value,
        "estimator",
        type(estimator).__name__,
        "it bootstraps from a value function, so use ValueFunction as the baseline or "
        "RewardToGo as the estimator",
    )
    if algorithm.sampling.has_whole_episodes:
        return
    require(
        not estimator.needs_episodes,
        "estimator",
        type(estimator).__name__,
        "it must see whole episodes, which a window cuts, so use Episodes as the sampling",
    )
    require(
        not baseline.needs_episodes,
        "baseline",
        type(baseline).__name__,
        "a window does not begin where episodes do, so their time is not known; use Episodes "
        "as the sampling",
    )
    require(
        algorithm.mean_over == "steps",
        "mean_over",
        repr(algorithm.mean_over),
        "a window of fixed length holds no fixed number of episodes, so use steps, or Episodes "
        "as the sampling",
    )


def _check_scales(algorithm: Any) -> None:
    require(
        not (algorithm.normalize_rewards and algorithm.normalize_returns),
        "normalize_returns",
        True,
        "normalized rewards already give normalized returns, so choose one of the two",
    )
    require(
        algorithm.sampling.has_whole_episodes or not algorithm.normalize_returns,
        "normalize_returns",
        True,
        "a window cuts off later rewards, so use normalize_rewards, or Episodes as the sampling",
    )


def _check_reuse(algorithm: Any) -> None:
    """Only a ratio corrects for a policy that differs from the behaviour policy."""
    for name, part in (("num_epochs", "epoch"), ("num_minibatches", "minibatch")):
        require(
            algorithm.surrogate.is_ratio or getattr(algorithm, name) == 1,
            name,
            getattr(algorithm, name),
            f"after the first {part} the batch is no longer the policy's own, so use 1 or "
            "ClippedRatio as the surrogate",
        )
    require(
        algorithm.num_epochs > 1 or not algorithm.recompute_advantages,
        "recompute_advantages",
        True,
        "a single epoch already uses new advantages, so leave it out, or use more epochs",
    )
    if algorithm.target_kl is not None:
        check_positive(target_kl=algorithm.target_kl)
        require(
            not algorithm.optimizer.needs_whole_batch,
            "target_kl",
            algorithm.target_kl,
            f"{type(algorithm.optimizer).__name__} takes one step, and bounds it itself, so leave "
            "it out, and set the optimizer's max_kl",
        )
        require(
            algorithm.num_epochs * algorithm.num_minibatches > 1,
            "target_kl",
            algorithm.target_kl,
            "a single step on a batch can't be stopped, so leave it out, or use more epochs",
        )


def _check_whole_batch(algorithm: Any) -> None:
    """The requirements of an optimiser that takes one step on the whole batch."""
    if not algorithm.optimizer.needs_whole_batch:
        return
    name = type(algorithm.optimizer).__name__
    require(
        not algorithm.baseline.is_joint,
        "optimizer",
        name,
        "it moves the policy alone, so give the value function an optimizer of its own",
    )
    for field in ("num_epochs", "num_minibatches"):
        require(
            getattr(algorithm, field) == 1,
            field,
            getattr(algorithm, field),
            f"{name} takes one step on the whole batch, so use 1",
        )


def _check_minibatches(algorithm: Any) -> None:
    if algorithm.num_minibatches == 1:
        return
    require(
        not algorithm.sampling.has_whole_episodes,
        "num_minibatches",
        algorithm.num_minibatches,
        "episodes have no fixed number of steps to split, so use 1, or Steps as the sampling",
    )
    size = algorithm.sampling.most_transitions(None)
    near = _near_divisor(size, algorithm.num_minibatches)
    require(
        size % algorithm.num_minibatches == 0,
        "num_minibatches",
        algorithm.num_minibatches,
        f"it does not divide the batch of {algorithm.sampling.num_envs} environments × "
        f"{size // algorithm.sampling.num_envs} steps = {size}; use {near}, or change one of these",
    )


def _near_divisor(size: int, number: int) -> int:
    """The divisor of `size` that is nearest to a number; 1, if the search takes too long."""
    start = min(size, number)
    around = ((start - d, start + d) for d in range(min(start, 10**5)))
    return next((k for pair in around for k in pair if size % k == 0), 1)
