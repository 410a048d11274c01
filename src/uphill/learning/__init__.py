"""One update: from a trajectory to a better learner.

Nothing here knows an environment, and nothing of a part but what its base class promises.
"""
