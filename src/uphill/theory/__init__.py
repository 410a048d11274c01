"""The mathematics, as functions of arrays: no environment, no network, no state, no I/O.

Data types follow the inputs, so the same code is verified in float64 and trained in float32. Each
function is tested against its definition; `parts` choose among them.
"""
