"""One kind of record: what is true of it now, and what the lists show of it.

Generated rows are computed when asked for and only edited ones are stored, so that a million records cost
a few integers each. Rows are never changed in place: an edit stores a new dict, and whoever holds the old
one (a list that lags behind) still shows the old state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.shown import Shown

Row = dict[str, Any]
Key = int | str

LIVE, ARCHIVED, DELETED, GONE = range(4)
"""Life of a record: in its list, in the archived list, deleted but still readable, purged."""

PURGE_SECONDS = 30 * 86_400
"""Deleted records stay readable for 30 days (reference 5.2)."""


class Source:
    """Generated records of one kind, numbered from 1; subclasses compute each from its number alone.

    ``times`` gives (add_time, update_time) in epoch milliseconds. ``key`` is the record's id where that is
    not its number. ``parent`` is the value of ``parent_field``, for lists read below another record.
    """

    name: str
    count: int = 0
    id_field: str = "id"
    text_ids: bool = False
    parent_field: str | None = None

    def row(self, n: int) -> Row:
        """The whole record, with every optional field."""
        raise LookupError(f"{self.name} has no generated record {n}")

    def times(self, n: int) -> tuple[int, int | None]:
        """Creation and last change in epoch milliseconds."""
        return 0, None

    def state(self, n: int) -> int:
        """LIVE, ARCHIVED or DELETED."""
        return LIVE

    def key(self, n: int) -> Key:
        """The record's id."""
        return n

    def parent(self, n: int) -> Key | None:
        """Value of ``parent_field``."""
        return None


class Collection:
    """The records of one kind, as they are (``row``, ``states``) and as lists show them (``shown``)."""

    def __init__(
        self, source: Source, clock: ServerClock, *, lag_seconds: float, nulls_first: bool, keep: bool
    ) -> None:
        self.source = source
        self.name = source.name
        self.clock = clock
        self.lag_seconds = lag_seconds
        self.states = bytearray(source.count + 1)
        self.states[0] = GONE
        self._edited: dict[int, Row] = {}
        self._kept: dict[int, Row] = {}
        self._keep = keep
        self._numbers: dict[Key, int] = {}
        self._purges: list[tuple[float, int]] = []
        for n in range(1, source.count + 1):
            state = source.state(n)
            if state != LIVE:
                self.states[n] = state
                if state == DELETED:
                    self._purges.append(((source.times(n)[1] or 0) / 1000 + PURGE_SECONDS, n))
            if source.text_ids:
                self._numbers[source.key(n)] = n
        heapq.heapify(self._purges)
        self.shown = Shown(source, bytearray(self.states), self.generated, nulls_first=nulls_first)

    def generated(self, n: int) -> Row:
        """Record ``n`` as it was generated."""
        row = self._kept.get(n)
        if row is None:
            row = self.source.row(n)
            if self._keep:
                self._kept[n] = row
        return row

    def row(self, n: int) -> Row:
        """Record ``n`` as it is now."""
        return self._edited.get(n) or self.generated(n)

    def number(self, key: Key | None) -> int | None:
        """Number of the record with this id, whatever its state but GONE; None if there is none."""
        if self.source.text_ids:
            n = self._numbers.get(key) if key is not None else None
        else:
            n = key if isinstance(key, int) and 0 < key < len(self.states) else None
        return n if n is not None and self.states[n] != GONE else None

    def is_alive(self, key: Key | None) -> bool:
        """Whether there is a record with this id that is not deleted."""
        n = self.number(key)
        return n is not None and self.states[n] in (LIVE, ARCHIVED)

    def next_number(self) -> int:
        """Number that the next new record gets."""
        return len(self.states)

    def append(self, row: Row, state: int = LIVE) -> int:
        """Store a new record, whose integer id must be ``next_number()``."""
        n = len(self.states)
        self.states.append(state)
        if self.source.text_ids:
            self._numbers[row[self.source.id_field]] = n
        self.write(n, row, state)
        return n

    def write(self, n: int, row: Row, state: int | None = None) -> None:
        """Store a changed record; lists show it once the index lag has passed."""
        state = self.states[n] if state is None else state
        now = self.clock.time()
        self._edited[n] = row
        self.states[n] = state
        if state == DELETED:
            heapq.heappush(self._purges, (now + PURGE_SECONDS, n))
        self.shown.publish(n, row, state, now + self.lag_seconds, now)

    def settle(self) -> None:
        """Let due writes appear in lists, and purge what was deleted 30 days ago."""
        now = self.clock.time()
        self.shown.settle(now)
        while self._purges and self._purges[0][0] <= now:
            _, n = heapq.heappop(self._purges)
            if self.states[n] == DELETED:
                self.states[n] = GONE
                self.shown.publish(n, self.row(n), GONE, now, now)

    def numbers(self, states: Iterable[int] = (LIVE,)) -> list[int]:
        """Numbers of all records in one of these states, ascending."""
        wanted = frozenset(states)
        return [n for n, state in enumerate(self.states) if n and state in wanted]

    def children(self, parent: Key) -> list[int]:
        """Numbers of the live records below ``parent``, ascending."""
        field = self.source.parent_field
        if field is None:
            return []
        found = [n for n in self.shown.below(parent) if self.states[n] == LIVE]
        late = [n for n, row in self._edited.items() if row.get(field) == parent and self.states[n] == LIVE]
        return sorted({*found, *late})
