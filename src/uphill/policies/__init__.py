"""From an observation to a distribution over actions: encodings, networks, actions, the policy.

Nothing is learned here, and no environment is stepped: spaces are all that is known of one.
"""
