"""What runs an environment that is no compiled world: Gymnasium and EnvPool.

Code that is not ours is called here alone, and what it returns is checked here.
"""
