"""The backends for environments that are not compiled worlds: Gymnasium and EnvPool.

Foreign code is called only here, and what it returns is checked here.
"""
