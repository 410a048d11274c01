"""Holds what jobs send while they run, until it is fetched, and tells them when to end. A Ray
actor: a separate process that imports nothing heavy."""

import asyncio


class Post:
    """Keeps the last line of each job, and the last parcel."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], str] = {}
        self._parcels: dict[tuple[str, int], bytes] = {}
        self._begun: set[tuple[str, int]] = set()
        self._is_over = asyncio.Event()

    def tell(self, job: str, attempt: int, line: str) -> None:
        self._begun.add((job, attempt))
        self._lines[job, attempt] = line

    def keep(self, job: str, attempt: int, parcel: bytes) -> None:
        self._parcels[job, attempt] = parcel

    def news(self) -> tuple[dict[tuple[str, int], str], dict[tuple[str, int], bytes]]:
        """What came since this was asked last."""
        found = self._lines, self._parcels
        self._lines, self._parcels = {}, {}
        return found

    async def over(self) -> None:
        """Returns once all jobs are to end: what a job asks when it begins."""
        await self._is_over.wait()

    async def end(self) -> set[tuple[str, int]]:
        """Have all jobs end, also those that are yet to begin; the attempts that have begun."""
        self._is_over.set()
        return self._begun
