"""The burst window: when the next request may leave, agreed between all threads and processes of a token.

Slots are booked in order and never before an earlier booking, so waiting is first come, first served, and
one look at the slot ``limit`` places back decides.

The server counts arrivals, and a slot is only when a request leaves. So a slot is moved once it is known that
its request may have arrived later (:meth:`BurstWindow.postpone`), and who is about to leave looks once more
whether its window still has room (:meth:`BurstWindow.has_room`). What holds is therefore about arrivals.

Others may use the same token. How many requests of theirs the server counts shows in its answers
(:meth:`BurstWindow.note_others`). As many are expected of them in the windows to come: who counts only what
they have sent already fills each window to the brim, and the next request of theirs, or of ours, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from pipedrive_assets.clock import CLOCKS_APART_SECONDS, Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

WINDOW_SECONDS = 2.0
"""Length of Pipedrive's rolling window (reference section 2.3)."""

LONGEST_WAIT_SECONDS = 300.0
"""How far ahead anybody books. A slot beyond was booked before the wall clock was set back: it is ignored."""

LONGEST_PAUSE_SECONDS = 86_400.0
"""The longest pause: the server chooses its length, up to this."""

OTHERS_EXPECTED_SECONDS = 10.0
"""How long others are expected to go on as they did; then half as many, and so on."""

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
_STATE = select(
    _windows.c.header_limit, _windows.c.not_before, _windows.c.others, _windows.c.others_seen_at
).where(_windows.c.window_key == bindparam("window_key"))
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
    """What the last answers said: the limit in the header (None: never seen), and a pause, if one is on.

    ``others`` is how many requests per window others with the same token are expected to send; it was seen at
    ``others_seen_at``.
    """

    header_limit: int | None = None
    not_before: float = 0.0
    others: int = 0
    others_seen_at: float = 0.0


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
        now = self._clock.time()
        # A pause beyond the longest comes from a wall clock that was set back since.
        horizon = now + LONGEST_PAUSE_SECONDS + CLOCKS_APART_SECONDS
        not_before = 0.0 if row.not_before > horizon else row.not_before
        # The same age on either side of now, so that a clock that was set back makes them fade as well.
        halvings = min(30, int(abs(now - row.others_seen_at) / OTHERS_EXPECTED_SECONDS))
        return WindowState(row.header_limit, not_before, row.others >> halvings, row.others_seen_at)

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

    def penalize(self, seconds: float, *, limit: int) -> None:
        """Let nobody send for ``seconds`` from now, a day at most; a longer pause already on stays.

        A refusal although the window was kept comes of others: a tenth of ``limit`` more is left to them from
        then on, up to half of it. Refusals during the pause are of requests that had left before it.
        """
        with self._database.begin() as connection:
            state, now = self.state(), self._clock.time()
            until = now + min(seconds, LONGEST_PAUSE_SECONDS)
            changed = replace(state, not_before=max(state.not_before, until))
            if state.not_before <= now:
                changed = replace(changed, others=_more(state.others, limit), others_seen_at=now)
            self._store(connection, changed)

    def learn_limit(self, limit: int) -> None:
        """Remember the limit that an answer's header gave; it replaces the plan's."""
        with self._database.begin() as connection:
            state = self.state()
            if state.header_limit != limit:
                self._store(connection, replace(state, header_limit=limit))

    def note_others(
        self, limit: int, remaining: int, *, slot_at: float, arrived_by: float, late: float, unanswered: int
    ) -> int:
        """Learn from the ``remaining`` of an answer how many requests of others the server has counted.

        The request left at ``slot_at`` and arrived by ``arrived_by``; earlier ones arrived at most ``late``
        seconds after their slots, but for the ``unanswered``. That there are others is believed only if no
        request of ours that the server may have counted explains the figure; how many they are is then told
        from those that it must have counted. A full window hides how many more they would send: half of it is
        left to them, until it shows what they need. Returns how many are expected if there are others, or 0.
        """
        counted = limit - remaining
        with self._database.begin() as connection:
            may_count = unanswered + self._count(slot_at - WINDOW_SECONDS - late, arrived_by)
            unexplained = counted - may_count
            if unexplained <= 0:
                return 0
            state = self.state()
            others = counted - self._count(arrived_by - WINDOW_SECONDS, slot_at)
            if remaining == 0:
                others = max(others, limit // 2 if unexplained > 1 else _more(state.others, limit))
            others = min(limit, others)
            if others >= state.others:
                self._store(connection, replace(state, others=others, others_seen_at=self._clock.time()))
        return others

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
                "others": state.others,
                "others_seen_at": state.others_seen_at,
            },
        )


def _more(others: int, limit: int) -> int:
    """A tenth of the window more for others, as long as that leaves us half of it."""
    return max(others, min(limit // 2, others + max(1, limit // 10)))
