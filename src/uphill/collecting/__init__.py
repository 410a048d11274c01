"""Collecting: from a policy and environments to trajectories and whole episodes.

The same trajectory from all collectors: `collect_steps` and `collect_episodes` are part of a
compiled program; `collect_on_host` steps Python environments. Nothing is learned here, and no value
function is known: values are computed once, afterwards.
"""
