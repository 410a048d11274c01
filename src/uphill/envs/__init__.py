"""Environments: three backends behind one protocol."""
