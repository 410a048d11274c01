"""How noisy and how biased each estimator of the gradient is: `uphill variance`.

The policy stays fixed: gradients are measured, but not followed.
"""
