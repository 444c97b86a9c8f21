"""Faults on command: which requests they meet, and what they do to them.

A fault either replaces the answer (status, hang, reset) or spoils the true one (truncation, odd values).
Each firing is remembered with the request that it met and the place of that request in its list.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal[
    "status", "html", "invalid_json", "truncate", "reset", "hang", "success_false", "no_rate_headers",
    "repeat_cursor", "extra_key", "bad_value",
]  # fmt: skip

Place = Literal["only", "first", "middle", "last"]
"""Which page of its list a request asks for; ``only`` is first and last at once."""

STATUSES = (400, 401, 402, 403, 404, 405, 408, 410, 415, 422, 429, 500, 501, 502, 503, 504, *range(520, 528))


@dataclass
class Fault:
    """One rule. ``path`` is a regular expression searched in the raw path (``/api/v2/deals``).

    ``nth`` fires on the nth matching request only (1 is the first), ``probability`` on a seeded part of them,
    ``count`` limits the firings. ``after`` lets that many matching requests pass first. ``column`` and
    ``value`` serve ``bad_value`` and ``extra_key``; ``seconds`` is how long a ``hang`` lasts.
    """

    kind: Kind
    path: str = ".*"
    method: str | None = None
    status: int = 500
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    seconds: float = 30.0
    column: str = "sandbox_extra"
    value: Any = "unexpected"
    nth: int | None = None
    after: int = 0
    probability: float = 1.0
    count: int | None = None
    place: Place | None = None
    seen: int = 0
    fired: int = 0

    def __post_init__(self) -> None:
        if self.kind == "status" and self.status not in STATUSES:
            raise ValueError(f"status {self.status} is none of {STATUSES}")

    @property
    def replaces(self) -> bool:
        """Whether the fault stands in for the answer instead of spoiling it."""
        return self.kind in ("status", "html", "reset", "hang")


@dataclass(frozen=True, slots=True)
class Firing:
    """One request that met a fault, and the fault's status; ``place`` is None where it asked for no list."""

    kind: Kind
    status: int
    method: str
    path: str
    params: Mapping[str, str]
    place: Place | None


class Faults:
    """The active faults, asked in the order in which they were added; ``firings`` outlives them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._faults: list[Fault] = []
        self.firings: list[Firing] = []
        self._lock = threading.Lock()

    def add(self, kind: Kind, **rule: Any) -> Fault:
        """Add a fault; see ``Fault`` for the rule's fields."""
        fault = Fault(kind, **rule)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def list(self) -> list[dict[str, Any]]:
        """The faults with how often each was met and fired."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def next(
        self, method: str, path: str, params: Mapping[str, str], place_of: Callable[[], Place | None]
    ) -> Fault | None:
        """The fault that this request meets, if any; it counts as fired.

        ``place_of`` is asked only where the answer matters, since it has to read the list.
        """
        with self._lock:
            matching = [fault for fault in self._faults if _matches(fault, method, path)]
        if not matching:
            return None
        place = place_of()
        with self._lock:
            for fault in matching:
                if fault.place not in (None, place):
                    continue
                fault.seen += 1
                if self._fires(fault):
                    fault.fired += 1
                    self.firings.append(Firing(fault.kind, fault.status, method, path, dict(params), place))
                    return fault
        return None

    def _fires(self, fault: Fault) -> bool:
        if fault.seen <= fault.after or (fault.nth is not None and fault.seen != fault.nth):
            return False
        if fault.count is not None and fault.fired >= fault.count:
            return False
        return fault.probability >= 1.0 or self._random.random() < fault.probability


def _matches(fault: Fault, method: str, path: str) -> bool:
    return fault.method in (None, method) and re.search(fault.path, path) is not None
