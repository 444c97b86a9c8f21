"""The server's time, known from its ``Date`` headers, whatever the client's own clock says."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from pipedrive_assets.clock import Clock

_DATE_RESOLUTION_SECONDS = 1.0


class ServerClock:
    """Estimates the server's time, never ahead of it.

    ``Date`` has whole seconds, so one answer says only that the server's clock read between ``Date`` and
    ``Date`` + 1 s at some moment between sending and receiving. Each answer narrows the interval of possible
    offsets; its lower end is used. An answer that contradicts the interval (either clock was set) starts it
    anew. Offsets are kept against the monotonic clock, which nobody sets.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bounds: tuple[float, float] | None = None
        self._lock = threading.Lock()

    def observe(self, date: datetime, *, sent: float, received: float) -> None:
        """Learn from an answer's ``Date``; ``sent`` and ``received`` are monotonic seconds."""
        stamp = date.timestamp()
        low, high = stamp - received, stamp + _DATE_RESOLUTION_SECONDS - sent
        with self._lock:
            if self._bounds is not None:
                narrowed = max(low, self._bounds[0]), min(high, self._bounds[1])
                if narrowed[0] <= narrowed[1]:
                    low, high = narrowed
            self._bounds = low, high

    @property
    def known(self) -> bool:
        """Whether any answer has told the server's time."""
        with self._lock:
            return self._bounds is not None

    def at(self, monotonic: float) -> datetime:
        """The server's time (UTC) at a monotonic moment; by the client's wall clock before any answer."""
        with self._lock:
            bounds = self._bounds
        offset = bounds[0] if bounds is not None else self._clock.time() - self._clock.monotonic()
        return datetime.fromtimestamp(monotonic + offset, UTC)
