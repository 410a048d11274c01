"""From an observation to a distribution over actions."""
