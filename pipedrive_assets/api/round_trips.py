"""How late a request may have arrived at the server, told from how long its answer took.

A request leaves at its slot, but the server counts it when it arrives, and all that is known from outside is
that it arrived before its answer began. What every answer of an endpoint takes (the way there, the server's
work, the way back) cannot have delayed one of them; what an answer took longer than the shortest may have.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

_REMEMBERED = 64
"""Answers per endpoint: enough to hold a fast one, few enough to follow a network that has become slower."""


@dataclass(frozen=True, slots=True)
class Trip:
    """One answered request; monotonic seconds.

    ``answered`` is when the answer began. ``warm``: it travelled on a connection that was open before, so
    that nothing but the network and the server took time.
    """

    sent: float
    answered: float
    warm: bool

    @property
    def seconds(self) -> float:
        """From sending to the answer's beginning."""
        return self.answered - self.sent


class RoundTrips:
    """The shortest recent trip of each endpoint; safe to share between threads."""

    def __init__(self) -> None:
        self._recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._lock = threading.Lock()

    def delay(self, endpoint: str, trip: Trip) -> float:
        """Seconds by which the request may have arrived later than the quickest of its kind would have.

        Until a warm connection has shown how quick that is, the whole trip counts.
        """
        with self._lock:
            recent = self._recent[endpoint]
            if trip.warm:
                recent.append(trip.seconds)
            return max(0.0, trip.seconds - min(recent, default=0.0))
