"""Environments: three backends behind one protocol, and what our own worlds look like.

Nothing here knows a policy, or why anybody acts; `make` says which backend runs what.
"""
