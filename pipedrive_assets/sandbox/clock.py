"""The server's clock: real time plus an offset, or frozen; everything the sandbox dates comes from it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate


def parse_instant(text: str) -> float:
    """Seconds since the epoch of an ISO instant; one without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class ServerClock:
    """A clock that tests can move; ``Date`` headers, record times and the daily reset follow it."""

    def __init__(self, now: str | None = None, *, frozen: bool = False) -> None:
        self._offset = parse_instant(now) - time.time() if now else 0.0
        self._frozen: float | None = None
        if frozen:
            self.freeze()

    def time(self) -> float:
        """Seconds since the epoch by the server."""
        return time.time() + self._offset if self._frozen is None else self._frozen

    def milliseconds(self) -> int:
        """Whole milliseconds since the epoch."""
        return int(self.time() * 1000)

    def set(self, instant: str | float) -> None:
        """Jump to an instant (ISO text or epoch seconds), keeping frozen or running."""
        target = parse_instant(instant) if isinstance(instant, str) else instant
        if self._frozen is None:
            self._offset = target - time.time()
        else:
            self._frozen = target

    def advance(self, seconds: float) -> None:
        """Move forward (or back, if negative)."""
        self.set(self.time() + seconds)

    def freeze(self) -> None:
        """Stand still at the present instant."""
        self._frozen = self.time()

    def unfreeze(self) -> None:
        """Run on from the instant at which the clock stood."""
        if self._frozen is not None:
            stood, self._frozen = self._frozen, None
            self._offset = stood - time.time()

    def http_date(self) -> str:
        """The ``Date`` header of an answer given now."""
        return formatdate(int(self.time()), usegmt=True)

    def day(self) -> str:
        """The day whose token budget requests now spend (UTC, reference 2.1)."""
        return datetime.fromtimestamp(self.time(), UTC).strftime("%Y-%m-%d")
