"""One update: from a trajectory to a better learner.

Nothing here knows of environments, or more about a part than its base class defines.
"""
