"""The request log: what the server saw, so that tests count on its side."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


def fingerprint(token: str) -> str:
    """First 12 hex digits of the token's SHA-256; the token itself is never logged."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request. ``path`` is the template (``/deals/{id}``), ``raw_path`` what was asked."""

    time_server: float
    time_monotonic: float
    day: str
    method: str
    version: str
    path: str
    raw_path: str
    params: dict[str, str]
    status: int
    cost: int
    token_fingerprint: str | None
    fault: str | None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


class RequestLog:
    """All requests since the start or the last ``clear()``, oldest first."""

    def __init__(self) -> None:
        self._records: list[RequestRecord] = []
        self._lock = threading.Lock()

    def append(self, record: RequestRecord) -> None:
        """Add one request."""
        with self._lock:
            self._records.append(record)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._records.clear()

    def __iter__(self) -> Iterator[RequestRecord]:
        with self._lock:
            return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> RequestRecord:
        return self._records[index]

    def for_path(self, path: str, method: str | None = None) -> list[RequestRecord]:
        """Requests of one path template."""
        return [r for r in self if r.path == path and method in (None, r.method)]

    def max_in_window(self, seconds: float = 2.0) -> int:
        """Most requests of one token that arrived within any window of that length, refused ones included."""
        most = 0
        arrivals: dict[str | None, list[float]] = {}
        for record in self:
            times = arrivals.setdefault(record.token_fingerprint, [])
            times.append(record.time_monotonic)
        for times in arrivals.values():
            times.sort()
            first = 0
            for last, at in enumerate(times):
                while times[first] <= at - seconds:
                    first += 1
                most = max(most, last - first + 1)
        return most

    def tokens_by_day(self) -> dict[str, int]:
        """Tokens charged, by day of the server clock."""
        spent: dict[str, int] = {}
        for record in self:
            spent[record.day] = spent.get(record.day, 0) + record.cost
        return spent

    @property
    def tokens(self) -> int:
        """Tokens charged in all."""
        return sum(record.cost for record in self)
