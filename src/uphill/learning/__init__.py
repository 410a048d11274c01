"""Learning: collect a trajectory, update from it, again."""
