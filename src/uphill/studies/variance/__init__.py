"""How noisy and how biased each estimator of the gradient is."""
