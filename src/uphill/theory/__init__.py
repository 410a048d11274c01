"""The mathematics of arrays: no environment, no network, no state, no I/O.

Data types follow the inputs, so the same code is proven in float64 and trained in float32. What is
tested against its definition stands here; `parts` choose among it.
"""
