"""The training loop, with compiled chunks inside and Python outside; and evaluation.

Nothing is written or shown here: `sessions` does that with what the loop yields.
"""
