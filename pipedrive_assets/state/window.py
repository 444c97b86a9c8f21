"""The burst window: when the next request may leave, agreed between all threads and processes of a token.

Slots are booked in order and never before an earlier booking, so waiting is first come, first served, and
one look at the slot ``limit`` places back decides: the requests of any window never exceed its limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

WINDOW_SECONDS = 2.0
"""Length of Pipedrive's rolling window (reference section 2.3)."""

STEPPED_CLOCK_SECONDS = 3600.0
"""A slot this far ahead was booked before the wall clock was set back; it would block everybody for hours."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the last answers said: the limit in the header (None: never seen), and a pause, if one is on."""

    header_limit: int | None = None
    not_before: float = 0.0


class BurstWindow:
    """The slots of one window, keyed by token fingerprint; times are this host's epoch seconds."""

    def __init__(self, database: Database, clock: Clock, window_key: str) -> None:
        self._database = database
        self._clock = clock
        self.window_key = window_key

    def state(self) -> WindowState:
        """Learned limit and pause."""
        with self._database.read() as connection:
            return self._state(connection)

    def next_slot(self, limit: int, *, margin: float) -> float:
        """When a further request may leave: ``limit`` of them per window, widened by ``margin`` seconds."""
        with self._database.read() as connection:
            return self._next_slot(connection, limit, margin)

    def book(self, slot_at: float) -> None:
        """Take a slot that :meth:`next_slot` gave within the same transaction, and forget those long past."""
        slots = tables.window_slots
        now = self._clock.time()
        with self._database.begin() as connection:
            connection.execute(
                delete(slots).where(
                    slots.c.window_key == self.window_key,
                    (slots.c.slot_at < now - 10 * WINDOW_SECONDS)
                    | (slots.c.slot_at > now + STEPPED_CLOCK_SECONDS),
                )
            )
            connection.execute(insert(slots).values(window_key=self.window_key, slot_at=slot_at))

    def give_back(self, slot_at: float) -> None:
        """Return one slot that will not be used; those booked behind it keep their time."""
        slots = tables.window_slots
        with self._database.begin() as connection:
            slot_id = connection.scalar(
                select(func.min(slots.c.slot_id)).where(
                    slots.c.window_key == self.window_key, slots.c.slot_at == slot_at
                )
            )
            connection.execute(delete(slots).where(slots.c.slot_id == slot_id))

    def penalize(self, seconds: float) -> None:
        """Let nobody send for ``seconds`` from now; a longer pause already on stays."""
        with self._database.begin() as connection:
            state = self._state(connection)
            until = max(state.not_before, self._clock.time() + seconds)
            self._store(connection, WindowState(state.header_limit, until))

    def learn_limit(self, limit: int) -> None:
        """Remember the limit that an answer's header gave; it replaces the plan's."""
        with self._database.begin() as connection:
            state = self._state(connection)
            if state.header_limit != limit:
                self._store(connection, WindowState(limit, state.not_before))

    def count_strangers(self, limit: int, remaining: int, *, margin: float) -> int:
        """Book slots for requests of others with the same token, told from the ``remaining`` of an answer.

        Our own count covers whatever the server may count (and a little more, since a request arrives after
        its slot), so a smaller remainder means that somebody else sends too. Returns how many slots it took.
        """
        slots = tables.window_slots
        now = self._clock.time()
        with self._database.begin() as connection:
            own = connection.scalar(
                select(func.count()).where(
                    slots.c.window_key == self.window_key,
                    slots.c.slot_at > now - WINDOW_SECONDS - 2 * margin,
                    slots.c.slot_at <= now,
                )
            )
            strangers = min(limit, limit - remaining - (own or 0))
            if strangers > 0:
                rows = [{"window_key": self.window_key, "slot_at": now}] * strangers
                connection.execute(insert(slots), rows)
            return max(0, strangers)

    def _state(self, connection: Connection) -> WindowState:
        windows = tables.windows
        row = connection.execute(
            select(windows.c.header_limit, windows.c.not_before).where(
                windows.c.window_key == self.window_key
            )
        ).one_or_none()
        if row is None:
            return WindowState()
        # A pause beyond any Retry-After comes from a wall clock that was set back since.
        stepped = row.not_before > self._clock.time() + STEPPED_CLOCK_SECONDS
        return WindowState(row.header_limit, 0.0 if stepped else row.not_before)

    def _store(self, connection: Connection, state: WindowState) -> None:
        self._database.upsert(
            connection,
            tables.windows,
            {
                "window_key": self.window_key,
                "header_limit": state.header_limit,
                "not_before": state.not_before,
            },
        )

    def _next_slot(self, connection: Connection, limit: int, margin: float) -> float:
        slots = tables.window_slots
        now = self._clock.time()
        latest = (
            select(slots.c.slot_at)
            .where(slots.c.window_key == self.window_key, slots.c.slot_at <= now + STEPPED_CLOCK_SECONDS)
            .order_by(slots.c.slot_at.desc())
        )
        last = connection.scalar(latest.limit(1))
        full_since = connection.scalar(latest.limit(1).offset(limit - 1))
        candidates = [now, self._state(connection).not_before]
        if last is not None:
            candidates.append(last)
        if full_since is not None:
            candidates.append(full_since + WINDOW_SECONDS + margin)
        return max(candidates)
