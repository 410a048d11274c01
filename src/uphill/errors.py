"""The one exception a user's mistake may raise."""


class UphillError(ValueError):
    """One sentence that names the field, the value and the mend.

    The command line prints it and exits with status 1; it never shows a traceback for it.
    """
