"""Holds what jobs send while they run, until it is fetched. A Ray actor: a separate process that
imports nothing heavy."""


class Post:
    """Keeps the last line of each job, and the last parcel."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], str] = {}
        self._parcels: dict[tuple[str, int], bytes] = {}

    def tell(self, job: str, attempt: int, line: str) -> None:
        self._lines[job, attempt] = line

    def keep(self, job: str, attempt: int, parcel: bytes) -> None:
        self._parcels[job, attempt] = parcel

    def news(self) -> tuple[dict[tuple[str, int], str], dict[tuple[str, int], bytes]]:
        """What came since this was asked last."""
        found = self._lines, self._parcels
        self._lines, self._parcels = {}, {}
        return found
