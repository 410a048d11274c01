"""Environments: three backends behind one protocol, and the pictures of our own worlds.

Nothing here knows of policies or learning; `make` chooses the backend for an environment.
"""
