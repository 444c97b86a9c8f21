"""What the account may spend: tokens a day, requests in two seconds, searches in two seconds.

Reference 2. The two-second windows run on real time, whatever the server clock says; the day follows it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.config import SEARCH_REQUESTS, SandboxConfig

WINDOW_SECONDS = 2.0
ABUSE_REFUSALS, ABUSE_SECONDS, BLOCK_SECONDS = 50, 60.0, 300.0
"""Ignored 429s within a minute that bring the Cloudflare block, and how long it lasts (reference 10)."""

FREE = frozenset({401, 429})


@dataclass
class _Caller:
    """Requests of one token, by monotonic time."""

    requests: deque[float] = field(default_factory=deque)
    searches: deque[float] = field(default_factory=deque)
    refusals: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and why not: ``burst``, ``daily`` or ``blocked``."""

    refused: str | None
    retry_after: int | None = None


class Limits:
    """Token ledger of the company and request windows of its tokens."""

    def __init__(self, config: SandboxConfig, clock: ServerClock) -> None:
        self.config, self.clock = config, clock
        self.budget = config.tokens_per_day
        self.spent: dict[str, int] = {}
        self._exhausted: set[str] = set()
        self._callers: dict[str, _Caller] = {}

    def reset(self) -> None:
        """Forget everything spent, as if nobody had called yet."""
        self.spent.clear()
        self._exhausted.clear()
        self._callers.clear()

    def set_budget(self, tokens: int) -> None:
        """Change the day's budget (a bought top-up, or a smaller plan)."""
        self.budget = tokens
        self._exhausted.clear()

    @property
    def remaining(self) -> int:
        """Tokens left today."""
        day = self.clock.day()
        return 0 if day in self._exhausted else max(0, self.budget - self.spent.get(day, 0))

    def admit(self, token: str, cost: int, *, search: bool) -> Verdict:
        """Book a request in the windows, or refuse it; nothing is charged yet."""
        caller, now = self._callers.setdefault(token, _Caller()), time.monotonic()
        if caller.blocked_until > now:
            return Verdict("blocked")
        _forget(caller.requests, now - WINDOW_SECONDS)
        _forget(caller.searches, now - WINDOW_SECONDS)
        if len(caller.requests) >= self.config.requests_per_window:
            return self._refuse(caller, "burst", now, caller.requests[0])
        if search and len(caller.searches) >= SEARCH_REQUESTS:
            return self._refuse(caller, "burst", now, caller.searches[0])
        if cost > self.remaining:
            self._exhausted.add(self.clock.day())
            return self._refuse(caller, "daily", now, now)
        caller.requests.append(now)
        if search:
            caller.searches.append(now)
        return Verdict(None)

    def _refuse(self, caller: _Caller, reason: str, now: float, oldest: float) -> Verdict:
        _forget(caller.refusals, now - ABUSE_SECONDS)
        caller.refusals.append(now)
        if self.config.abuse_block and len(caller.refusals) > ABUSE_REFUSALS:
            caller.blocked_until = now + BLOCK_SECONDS
            caller.refusals.clear()
        return Verdict(reason, max(1, round(oldest + WINDOW_SECONDS - now)) if reason == "burst" else None)

    def charge(self, cost: int, status: int) -> int:
        """Charge a request by its outcome; returns what it cost (4xx cost, 401, 429 and 5xx do not)."""
        if status in FREE or status >= 500:
            return 0
        day = self.clock.day()
        self.spent[day] = self.spent.get(day, 0) + cost
        return cost

    def headers(self, token: str) -> list[tuple[bytes, bytes]]:
        """The rate headers of an authenticated answer (reference 2.4)."""
        caller, now = self._callers.setdefault(token, _Caller()), time.monotonic()
        _forget(caller.requests, now - WINDOW_SECONDS)
        limit = self.config.requests_per_window
        headers = [
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-remaining", b"%d" % max(0, limit - len(caller.requests))),
            (b"x-ratelimit-reset", b"2" if len(caller.requests) else b"1"),
        ]
        if self.config.daily_headers:
            headers.append((b"x-daily-ratelimit-token-limit", b"%d" % self.budget))
            headers.append((b"x-daily-ratelimit-token-remaining", b"%d" % self.remaining))
        return headers


def _forget(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()
