"""The built-in parts, by kind: the names in flags, experiment.json and error messages."""

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
    "Schedule": (),  # built-in schedules are written as texts
}
