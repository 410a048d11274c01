"""How much algorithms depend on tuning, measured over several environments.

Nothing is trained here: each algorithm in each environment is a sweep (`sweeps`). What is computed
from the scores is in `theory` and `views`.
"""
