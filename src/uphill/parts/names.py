"""The list of our parts, by kind: what flags, experiment.json and refusals know by name."""

GRADIENT_OPTIMIZERS = ("Adam", "RMSProp", "SGD", "Optax")

NAMES: dict[str, tuple[str, ...]] = {
    "Sampling": ("Steps", "Episodes"),
    "Estimator": (
        *("TotalReturn", "RewardToGo", "DiscountedRewardToGo", "NStep", "TDResidual", "GAE"),
        "ActionValue",
    ),
    "Baseline": (
        *("NoBaseline", "BatchMean", "RunningMean", "TimeMean", "LeaveOneOut", "ConstantValue"),
        "ValueFunction",
    ),
    "Surrogate": ("ScoreFunction", "ImportanceRatio", "ClippedRatio", "KLPenalty"),
    "GradientOptimizer": GRADIENT_OPTIMIZERS,
    "Optimizer": (*GRADIENT_OPTIMIZERS, "NaturalGradient", "TrustRegion"),
    "Schedule": (),  # ours are written as texts
}
