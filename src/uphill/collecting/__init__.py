"""Collecting: from a policy and environments to trajectories and whole episodes.

Nothing is learned here, and no value function is known: values are computed once, afterwards.
"""
