"""Collecting trajectories and whole episodes with a policy in environments.

All collectors return the same kind of trajectory: `collect_steps` and `collect_episodes` are part
of a compiled program; `collect_on_host` steps Python environments. Collectors don't learn, and know
no value function: values are computed once, afterwards.
"""
