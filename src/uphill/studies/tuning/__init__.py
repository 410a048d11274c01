"""The search for settings: proposals by Optuna, each trained over several seeds.

Nothing is trained here: trials are settings of a sweep (`sweeps`).
"""
