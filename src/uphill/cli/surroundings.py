"""Errors of other libraries that are no faults of theirs, nor of ours: a full disk behind stdout,
an environment variable with a wrong value. Each as one sentence."""

import errno
import os
import traceback

_READERS = {"JAX_": "jax", "MPL": "matplotlib"}
"""What variables begin with, and the library that reads them."""


def sentence_of(error: Exception) -> str | None:
    """What to do about such an error; None for any other one."""
    if isinstance(error, OSError):
        if error.errno != errno.ENOSPC or error.filename is not None:
            return None
        return "The output could not be written, since its disk is full: free some space there."
    innermost = list(traceback.walk_tb(error.__traceback__))[-1][0]
    module, said = innermost.f_globals.get("__name__", ""), str(error)
    library = module.partition(".")[0]
    for name, value in os.environ.items():
        is_read = any(name.startswith(x) and library == y for x, y in _READERS.items())
        is_named = f"'{value}'" in said or f'"{value}"' in said
        # Where no device of such a platform is, JAX may say nothing.
        is_platform = name == "JAX_PLATFORMS" and module.endswith("xla_bridge")
        if is_read and (is_named or is_platform):
            return (
                f"The environment variable {name} is {value!r}, which {library} refuses: correct "
                f"it, or `unset {name}`."
            )
    return None
