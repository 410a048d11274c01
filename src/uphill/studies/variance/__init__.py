"""How noisy and how biased each estimator of the gradient is: `uphill variance`.

The policy stays as it is: gradients are measured, and none is followed.
"""
