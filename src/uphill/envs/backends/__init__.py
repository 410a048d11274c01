"""The backends for environments that are not compiled worlds: Gymnasium and EnvPool.

Training calls foreign code only here, and what it returns is checked here.
"""
