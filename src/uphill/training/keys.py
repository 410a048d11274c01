"""The keys of an update. Each is the update's number folded into the seed's key, so results never
depend on where chunks end."""

import jax

from uphill.collecting.lanes import Keys
from uphill.trajectory import Array


def keys_of(key: Keys, num_updates: Array | int) -> tuple[Keys, Keys, Keys]:
    """The keys of one update: for the environment, for acting, for the update itself."""
    key_environment, key_act, key_update = jax.random.split(jax.random.fold_in(key, num_updates), 3)
    return key_environment, key_act, key_update


def acting_keys(keys: Keys, num_updates: Array) -> Keys:
    """The key with which each seed acts in its update."""
    return jax.vmap(lambda key, n: keys_of(key, n)[1])(keys, num_updates)
