"""Imports a module that the user named: it registers an environment, or holds a custom part or a
wrapper."""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

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
    except SystemExit as error:
        raise UphillError(
            f"The module {module!r} of {wanted!r} ends the program when it is imported, with "
            "sys.exit: put code for running it as a script under `if __name__ == '__main__':`. "
            f"Where that was follows.\n{own_traceback(error)}"
        ) from error
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            raise UphillError(
                f"There is no module {missing!r} to import for {wanted!r}: install it, or run from "
                "the folder that contains it."
            ) from error
        raise UphillError(
            f"The module {module!r} of {wanted!r} could not be imported; its own error follows.\n"
            + own_traceback(error)
        ) from error


def named(name: str, field: str) -> Any:
    """What `module:Name` names, the value of `field`; the module is imported.

    Raises:
        UphillError: if there is no such module, or nothing of that name in it.
    """
    module, _, path = name.partition(":")
    found: Any = imported(module, name)
    for attribute in path.split("."):
        found = getattr(found, attribute, None)
    if found is None:
        raise UphillError(f"{field} is {name}, but the module {module!r} has no {path}.")
    return found
