"""Clocks that do not make a test wait."""

from __future__ import annotations

import time

from pipedrive_assets.sandbox.clock import ServerClock


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


class SkippingClock:
    """The machine's clock, but sleeping takes no time: for tests against a real server that also retries."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        return time.time() + self._skipped

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self._skipped += seconds


class FollowingClock:
    """A client's clock that goes as the server's, also where a test moves that; its sleeps are real."""

    def __init__(self, server: ServerClock) -> None:
        self._server = server

    def time(self) -> float:
        return self._server.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class ShiftedClock:
    """A client's clock that is wrong by a fixed number of seconds; its sleeps are real."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return time.time() + self._seconds

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))
