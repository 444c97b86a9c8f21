"""Time and sleeping as an argument, so that tests can hold the clock still."""

from __future__ import annotations

import time
from typing import Protocol

CLOCKS_APART_SECONDS = 300.0
"""By how much the clocks of hosts may differ that share a state store. A moment that is further ahead than
anybody sets one was set before a clock went back."""


class Clock(Protocol):
    """What the rest of the package may know of time."""

    def time(self) -> float:
        """Seconds since the epoch, by this machine's wall clock."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for at least ``seconds``; zero or less returns at once."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``."""
        if seconds > 0:
            time.sleep(seconds)
