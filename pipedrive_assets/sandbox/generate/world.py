"""The made-up company: its sizes, its calendar, and dice that fall the same way for the same seed.

Every generated value is a function of (seed, kind, number), so any record can be computed alone and in any
order, and two records that mention each other agree.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipedrive_assets.sandbox.config import SandboxConfig

DAY_MS = 86_400_000
FIRST_INSTANT = datetime(2023, 1, 1, tzinfo=UTC)


def _month_starts(until_ms: int) -> list[int]:
    starts = []
    year, month = FIRST_INSTANT.year, FIRST_INSTANT.month
    while (at := int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000) <= until_ms:
        starts.append(at)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return starts


@dataclass
class World:
    """What all generators share. ``now_ms`` is the server's time at the start, in whole seconds."""

    config: SandboxConfig
    now_ms: int
    sizes: dict[str, int] = field(init=False)
    start_ms: int = field(init=False)
    months: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = dict(self.config.sizes)
        self.now_ms -= self.now_ms % 1000
        self.start_ms = min(int(FIRST_INSTANT.timestamp()) * 1000, self.now_ms - 400 * DAY_MS)
        self.months = _month_starts(self.now_ms)

    def dice(self, kind: int, n: int) -> int:
        """A number of 62 random bits for record ``n`` of a kind; equal on every call and machine."""
        return hash((self.config.seed, kind, n)) & 0x3FFF_FFFF_FFFF_FFFF

    def uuid(self, kind: int, n: int) -> str:
        """A version-4-shaped UUID for record ``n`` of a kind."""
        bits = (self.dice(kind, n) << 64) | (self.dice(kind + 1_000, n) << 2)
        return str(uuid.UUID(int=bits & (2**128 - 1), version=4))

    def hexadecimal(self, kind: int, n: int) -> str:
        """32 hex digits for record ``n`` of a kind."""
        return self.uuid(kind, n).replace("-", "")

    def times(self, kind: int, n: int, *, nullable: bool = True) -> tuple[int, int | None]:
        """Creation and last change: spread since 2023, with the awkward instants mixed in.

        Three in forty share their second with others (an import), one in 53 changed exactly on a month's
        first second, and, where ``nullable``, one in 89 has no update time.
        """
        span = self.now_ms - self.start_ms
        roll = self.dice(kind, n)
        add = self.start_ms + (roll % (span // 1000)) * 1000
        update: int | None = add + ((roll >> 31) % ((self.now_ms - add) // 1000 + 1)) * 1000
        if nullable and n % 89 == 7:
            update = None
        elif n % 40 in (11, 12, 13):
            update = self.start_ms + span * (1 + (n // 40) % 23) // 24 // 1000 * 1000
            add = min(add, update)
        elif n % 53 == 5:
            place = bisect_left(self.months, add)
            update = self.months[place] if place < len(self.months) else update
        return add, update

    def recently_deleted(self, kind: int, n: int) -> tuple[int, int | None]:
        """Times of a record that was deleted within the last 28 days."""
        add, _ = self.times(kind, n, nullable=False)
        deleted = self.now_ms - (self.dice(kind, n) % (28 * 86_400)) * 1000
        return min(add, deleted), deleted
