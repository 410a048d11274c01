"""The loop: compiled chunks inside, Python outside; and the evaluation of what was learned.

Nothing is written or shown here: `sessions` does that with what the loop yields.
"""
