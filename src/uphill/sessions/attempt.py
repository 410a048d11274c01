"""Work on one of several runs: when it fails, the others go on."""

from types import TracebackType

from uphill.errors import UphillError
from uphill.runs.files import NotWrittenError


class Attempt:
    """A `with` block that may fail with an `UphillError`: `fault` is what it says, and empty if all
    went well. A file that can't be written is no fault of the run, and would fail the others, too:
    that error is raised on.
    """

    fault = ""

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, _: TracebackType | None
    ) -> bool:
        if not isinstance(error, UphillError) or isinstance(error, NotWrittenError):
            return False
        self.fault = str(error)
        return True
