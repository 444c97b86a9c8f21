"""The burst window: when the next request may leave, agreed between all threads and processes of a token.

Slots are booked in order and never before an earlier booking, so waiting is first come, first served, and
one look at the slot ``limit`` places back decides.

The server counts arrivals, and a slot is only when a request leaves. So a slot is moved once it is known that
its request may have arrived later (:meth:`BurstWindow.postpone`), and who is about to leave looks once more
whether its window still has room (:meth:`BurstWindow.has_room`). What holds is therefore about arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

WINDOW_SECONDS = 2.0
"""Length of Pipedrive's rolling window (reference section 2.3)."""

LONGEST_WAIT_SECONDS = 300.0
"""How far ahead anybody books. A slot beyond was booked before the wall clock was set back: it is ignored."""

LONGEST_PAUSE_SECONDS = 3600.0
"""The same for pauses, whose length the server chooses."""

_ROUNDING_SECONDS = 1e-5
"""Slots that are a window apart to the microsecond must not seem to be nearer."""

PRUNE_EVERY = 32
"""Bookings between two clearings of slots that are long past."""

_windows, _slots = tables.windows, tables.window_slots
_latest = (
    select(_slots.c.slot_at)
    .where(_slots.c.window_key == bindparam("window_key"), _slots.c.slot_at <= bindparam("horizon"))
    .order_by(_slots.c.slot_at.desc())
    .limit(1)
)
# Statements are built once: composing one takes SQLAlchemy ten times as long as running it.
_STATE = select(_windows.c.header_limit, _windows.c.not_before).where(
    _windows.c.window_key == bindparam("window_key")
)
_LATEST = select(
    _latest.scalar_subquery().label("last"),
    _latest.offset(bindparam("places_back")).scalar_subquery().label("full_since"),
)
_COUNT = select(func.count()).where(
    _slots.c.window_key == bindparam("window_key"),
    _slots.c.slot_at > bindparam("after"),
    _slots.c.slot_at <= bindparam("until"),
)
_BOOK = insert(_slots)
_POSTPONE = (
    update(_slots)
    .where(
        _slots.c.slot_id
        == select(func.min(_slots.c.slot_id))
        .where(_slots.c.window_key == bindparam("of_window"), _slots.c.slot_at == bindparam("booked"))
        .scalar_subquery()
    )
    .values(slot_at=bindparam("until"))
)
_PRUNE = delete(_slots).where(
    _slots.c.window_key == bindparam("window_key"),
    (_slots.c.slot_at < bindparam("past")) | (_slots.c.slot_at > bindparam("horizon")),
)


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
        self._bookings = 0
        self.window_key = window_key

    def state(self) -> WindowState:
        """Learned limit and pause."""
        with self._database.read() as connection:
            row = connection.execute(_STATE, {"window_key": self.window_key}).one_or_none()
        if row is None:
            return WindowState()
        # A pause beyond any Retry-After comes from a wall clock that was set back since.
        stepped = row.not_before > self._clock.time() + LONGEST_PAUSE_SECONDS
        return WindowState(row.header_limit, 0.0 if stepped else row.not_before)

    def next_slot(self, limit: int, *, margin: float, occupied: int = 0) -> float:
        """When a further request may leave: ``limit`` of them per window, widened by ``margin`` seconds.

        ``occupied`` places are taken by requests that left before the window and may arrive within it; one
        place always remains, or a server that answers nothing would never be asked again. Pauses are not
        looked at; they are in :meth:`state`.
        """
        now = self._clock.time()
        with self._database.read() as connection:
            row = connection.execute(
                _LATEST,
                {
                    "window_key": self.window_key,
                    "horizon": now + LONGEST_WAIT_SECONDS,
                    "places_back": max(1, limit - occupied) - 1,
                },
            ).one()
        slot_at = now if row.last is None else max(now, row.last)
        return slot_at if row.full_since is None else max(slot_at, row.full_since + WINDOW_SECONDS + margin)

    def has_room(self, slot_at: float, limit: int, *, margin: float, occupied: int = 0) -> bool:
        """Whether a booked slot still stands, now that others may have been postponed into its window."""
        after = slot_at - WINDOW_SECONDS - margin + _ROUNDING_SECONDS
        return self._count(after, slot_at) <= max(1, limit - occupied)

    def book(self, slot_at: float) -> None:
        """Take a slot that :meth:`next_slot` gave within the same transaction."""
        with self._database.begin() as connection:
            if self._bookings % PRUNE_EVERY == 0:
                now = self._clock.time()
                bounds = {"past": now - 10 * WINDOW_SECONDS, "horizon": now + LONGEST_WAIT_SECONDS}
                connection.execute(_PRUNE, {"window_key": self.window_key, **bounds})
            self._bookings += 1
            connection.execute(_BOOK, {"window_key": self.window_key, "slot_at": slot_at})

    def give_back(self, slot_at: float) -> None:
        """Return one slot that will not be used; those booked behind it keep their time."""
        with self._database.begin() as connection:
            slot_id = connection.scalar(
                select(func.min(_slots.c.slot_id)).where(
                    _slots.c.window_key == self.window_key, _slots.c.slot_at == slot_at
                )
            )
            connection.execute(delete(_slots).where(_slots.c.slot_id == slot_id))

    def postpone(self, slot_at: float, until: float) -> None:
        """Move one slot whose request may have arrived as late as ``until``; never to an earlier moment."""
        if until > slot_at:
            with self._database.begin() as connection:
                connection.execute(
                    _POSTPONE, {"of_window": self.window_key, "booked": slot_at, "until": until}
                )

    def penalize(self, seconds: float) -> None:
        """Let nobody send for ``seconds`` from now; a longer pause already on stays."""
        with self._database.begin() as connection:
            state = self.state()
            until = max(state.not_before, self._clock.time() + seconds)
            self._store(connection, WindowState(state.header_limit, until))

    def learn_limit(self, limit: int) -> None:
        """Remember the limit that an answer's header gave; it replaces the plan's."""
        with self._database.begin() as connection:
            state = self.state()
            if state.header_limit != limit:
                self._store(connection, WindowState(limit, state.not_before))

    def count_strangers(self, limit: int, remaining: int, *, after: float, until: float) -> int:
        """Book slots for requests of others with the same token, told from the ``remaining`` of an answer.

        Every request of ours that the server may have counted for it has its slot between ``after`` and
        ``until``, so a smaller remainder means that somebody else sends too. Returns how many slots it took.
        """
        with self._database.begin() as connection:
            strangers = min(limit, limit - remaining - self._count(after, until))
            if strangers > 0:
                slot_at = min(self._clock.time(), until)
                connection.execute(_BOOK, [{"window_key": self.window_key, "slot_at": slot_at}] * strangers)
            return max(0, strangers)

    def _count(self, after: float, until: float) -> int:
        with self._database.read() as connection:
            bounds = {"window_key": self.window_key, "after": after, "until": until}
            count: int = connection.execute(_COUNT, bounds).scalar_one()
        return count

    def _store(self, connection: Connection, state: WindowState) -> None:
        self._database.upsert(
            connection,
            _windows,
            {
                "window_key": self.window_key,
                "header_limit": state.header_limit,
                "not_before": state.not_before,
            },
        )
