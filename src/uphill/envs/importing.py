"""A user's own module, imported since the user named it: it registers an environment, or has a part
of an algorithm."""

import importlib
import os
import sys
from types import ModuleType

from uphill.envs.backends.checks import own_traceback
from uphill.errors import UphillError


def imported(module: str, wanted: str) -> ModuleType:
    """The module, imported for `wanted`, which is `module:…`.

    Raises:
        UphillError: if there is none of that name, or it can't be imported.
    """
    # A console script does not search the folder it is run from; `python script.py` does.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            raise UphillError(
                f"There is no module {missing!r} to import for {wanted!r}: install it, or run from "
                "the folder that it lies in."
            ) from error
        raise UphillError(
            f"The module {module!r} of {wanted!r} could not be imported; its own error follows.\n"
            + own_traceback(error)
        ) from error
