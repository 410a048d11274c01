"""The only exception that a user's mistake raises."""


class UphillError(ValueError):
    """One sentence that names the field, the value and how to fix it.

    The command line prints it and exits with status 1; it never shows its traceback.
    """
