"""From an observation to a distribution over actions: encodings, networks, actions, the policy.

Nothing is learned here, and no environment is stepped: of an environment only its spaces are known.
"""
