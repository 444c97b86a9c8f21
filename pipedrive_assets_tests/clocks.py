"""A clock that moves only when told, or when somebody sleeps on it."""

from __future__ import annotations


class ManualClock:
    """Seconds pass by :meth:`sleep` and :meth:`advance`; ``slept`` lists the sleeps that took time."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now
        self.slept: list[float] = []

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - 1_700_000_000.0

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self._now += seconds

    def advance(self, seconds: float) -> None:
        self._now += seconds
