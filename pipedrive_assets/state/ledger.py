"""The token ledger: what an account has spent today, and what requests under way may still cost.

A request reserves its price before it leaves and settles when the answer is there. What is reserved counts
as spent, so no interleaving of threads and processes can promise the same token twice. Two ceilings hold:
our own spending stays within the budget, and all spending the server reports, ours and that of others,
within the limit the server reports. A budget set by hand therefore limits us, not our neighbours.

Days are the server's (reference section 2.1). A request under way at midnight may be charged to either day,
so what is still open from yesterday counts against today too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, literal, select, update

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.process import ProcessId
from pipedrive_assets.state.reclaim import Reclaimed, reclaim
from pipedrive_assets.state.reopen import reopen
from pipedrive_assets.state.server_clock import day_of, learn_offset, reset_after, server_offset
from pipedrive_assets.state.spend import SpendLine, charge, drop_spend, spend_between

_days, _entries, _limits = tables.ledger_days, tables.reservations, tables.ledger_limits
_one = select(literal(1).label("one")).subquery()
# Statements are built once: composing one takes SQLAlchemy ten times as long as running it.
_DAY = select(
    _days.c.own_spent,
    _days.c.server_limit,
    _days.c.server_spent,
    _days.c.exhausted,
    _limits.c.header_limit,
    select(func.coalesce(func.sum(_entries.c.tokens), 0))
    .where(
        _entries.c.account == bindparam("account"),
        _entries.c.reclaimed_tokens.is_(None),
        _entries.c.day <= bindparam("day"),
    )
    .scalar_subquery()
    .label("reserved"),
).select_from(
    _one.outerjoin(
        _days, and_(_days.c.account == bindparam("account"), _days.c.day == bindparam("day"))
    ).outerjoin(_limits, _limits.c.account == bindparam("account"))
)
_ENTRY = select(_entries).where(_entries.c.reservation_id == bindparam("reservation"))
_DROP_ENTRY = delete(_entries).where(_entries.c.reservation_id == bindparam("reservation"))
_RESERVE = insert(_entries)
_LATEST_DAY = select(func.max(_entries.c.day)).where(
    _entries.c.account == bindparam("account"), _entries.c.reclaimed_tokens.is_(None)
)
_UNANSWERED = select(func.count()).where(
    _entries.c.account == bindparam("account"),
    _entries.c.reclaimed_tokens.is_(None),
    _entries.c.slot_at > bindparam("after"),
    _entries.c.slot_at <= bindparam("until"),
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens set aside for one request that leaves at ``slot_at`` (epoch seconds)."""

    reservation_id: str
    tokens: int
    day: str
    slot_at: float


@dataclass(frozen=True, slots=True)
class DayState:
    """One account and day: all figures in tokens, None where no header has said."""

    day: str
    own_spent: int
    reserved: int
    header_limit: int | None
    server_limit: int | None
    server_spent: int | None
    exhausted: bool
    server_now: float

    @property
    def resets_at(self) -> datetime:
        """When the next budget begins (UTC)."""
        return reset_after(self.day)

    @property
    def seconds_to_reset(self) -> float:
        """Time until then, by the server's clock."""
        return max(0.0, self.resets_at.timestamp() - self.server_now)

    def available(self, budget: int, held_back: int = 0) -> int:
        """Tokens a further request may reserve, never negative.

        ``held_back`` must be left to others whichever ceiling binds, the budget or the account's limit.
        """
        if self.exhausted:
            return 0
        free = budget - self.own_spent
        if self.server_limit is not None and self.server_spent is not None:
            free = min(free, self.server_limit - self.server_spent)
        return max(0, free - held_back - self.reserved)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a lane may spend in the day at hand: ``budget`` tokens, of which ``held_back`` are for others."""

    budget: int
    held_back: int = 0

    @property
    def own(self) -> int:
        """Tokens that are the lane's own."""
        return self.budget - self.held_back


BudgetRule = Callable[[DayState], Allowance]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a reservation was not made: what its lane was allowed, and the day as it was."""

    allowed: Allowance
    state: DayState


@dataclass(frozen=True, slots=True)
class Observation:
    """Daily token headers of one answer (reference section 2.4); None where a header was missing."""

    limit: int | None = None
    remaining: int | None = None


class TokenLedger:
    """The ledger of one account; every method is one transaction, or part of the caller's."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self.account = account

    def day(self, at: float | None = None) -> DayState:
        """The day that a moment (this host's epoch seconds, now by default) belongs to at the server."""
        with self._database.read() as connection:
            return self._day(connection, self._clock.time() if at is None else at)

    def reserve(
        self,
        tokens: int,
        endpoint: str,
        lane: Lane,
        *,
        entity: str = "",
        slot_at: float,
        lifetime: float,
        budget: BudgetRule | None,
        refusable: bool = True,
    ) -> Reservation | Refusal:
        """Set ``tokens`` aside for a request at ``slot_at``, unless the day's budget has no room for them.

        ``lifetime`` is how many seconds after its slot the request can at most be under way; past it the
        reservation is taken for lost. Without a ``budget`` only an exhausted day refuses; what is not
        ``refusable`` is let through even then, to ask whether there are tokens again.
        """
        with self._database.begin() as connection:
            if refusable:
                refusal = self._refusal(connection, slot_at, tokens, budget)
                if refusal is not None and self.reclaim().reservations:
                    refusal = self._refusal(connection, slot_at, tokens, budget)
                if refusal is not None:
                    return refusal
            day = day_of(slot_at + self._offset(connection))
            reservation = Reservation(uuid4().hex, tokens, day, slot_at)
            owner = ProcessId.current()
            connection.execute(
                _RESERVE,
                {
                    "reservation_id": reservation.reservation_id,
                    "account": self.account,
                    "day": day,
                    "tokens": tokens,
                    "endpoint": endpoint,
                    "lane": lane.value,
                    "entity": entity,
                    "host": owner.host,
                    "pid": owner.pid,
                    "started": owner.started,
                    "slot_at": slot_at,
                    "expires_at": slot_at + lifetime,
                },
            )
            return reservation

    def move(self, reservation_id: str, slot_at: float, *, lifetime: float) -> None:
        """Let a reserved request leave at another time; it stays on its day's account until it settles."""
        with self._database.begin() as connection:
            connection.execute(
                update(_entries)
                .where(_entries.c.reservation_id == reservation_id)
                .values(slot_at=slot_at, expires_at=slot_at + lifetime)
            )

    def settle(
        self,
        reservation_id: str,
        *,
        charged: int,
        seen: Observation | None = None,
        server_time: datetime | None = None,
    ) -> None:
        """Replace a reservation by what the request cost, on the day of the answer's ``Date``.

        A second settlement of the same reservation changes nothing; one that had been reclaimed is corrected.
        """
        now = self._clock.time()
        with self._database.begin() as connection:
            if server_time is not None:
                self.learn_server_time(server_time)
            entry = connection.execute(_ENTRY, {"reservation": reservation_id}).one_or_none()
            answered_on = None if server_time is None else day_of(server_time.timestamp())
            if entry is not None:
                connection.execute(_DROP_ENTRY, {"reservation": reservation_id})
                line = SpendLine(entry.day, entry.endpoint, Lane(entry.lane), 1, charged, entry.entity)
                if entry.reclaimed_tokens:
                    charge(self._database, connection, self.account, line.refunded(entry.reclaimed_tokens))
                charge(self._database, connection, self.account, line.on(answered_on or entry.day))
            if seen is not None:
                day = answered_on or day_of(now + self._offset(connection))
                self._observe(connection, day, seen, now)

    def reopen(
        self, seen: Observation, *, server_time: datetime | None = None, keep_own: bool = False
    ) -> None:
        """Believe an answer that shows tokens although the day had none left; without such, do nothing.

        With ``keep_own`` our own spending stays counted whatever the server says: a budget set by hand is
        ours to keep, and nobody else forgives what was spent of it.
        """
        with self._database.begin() as connection:
            moment = self._clock.time() + self._offset(connection)
            day = day_of(moment if server_time is None else server_time.timestamp())
            reopen(
                connection, self.account, day, limit=seen.limit, remaining=seen.remaining, keep_own=keep_own
            )

    def unanswered(self, *, after: float, until: float) -> int:
        """How many requests left between two moments (epoch seconds) and have no answer yet."""
        with self._database.read() as connection:
            count: int = connection.execute(
                _UNANSWERED, {"account": self.account, "after": after, "until": until}
            ).scalar_one()
        return count

    def cancel(self, reservation_id: str) -> None:
        """Give back the tokens of a request that was never sent."""
        with self._database.begin() as connection:
            connection.execute(_DROP_ENTRY, {"reservation": reservation_id})

    def reclaim(self) -> Reclaimed:
        """Clear away reservations whose process is gone or whose time is over, each exactly once."""
        with self._database.begin() as connection:
            return reclaim(self._database, connection, self.account, self._clock.time())

    def server_time(self) -> datetime:
        """What time it is at the server (UTC), by the last ``Date`` seen; before that, this host's."""
        with self._database.read() as connection:
            return datetime.fromtimestamp(self._clock.time() + self._offset(connection), UTC)

    def learn_server_time(self, server_time: datetime) -> None:
        """Note what an answer that has just come in says about the server's clock."""
        with self._database.begin() as connection:
            learn_offset(
                self._database,
                connection,
                self.account,
                ProcessId.current().host,
                server_time=server_time,
                now=self._clock.time(),
            )

    def spend(self, day: str, *, days: int = 1) -> tuple[SpendLine, ...]:
        """What was settled on a day, by endpoint, lane and entity, dearest first.

        With ``days`` above 1 also on the days before it; every line names its own.
        """
        first = (date.fromisoformat(day) - timedelta(days=days - 1)).isoformat()
        with self._database.read() as connection:
            return spend_between(connection, self.account, first, day)

    def absorb(self, provisional: TokenLedger) -> None:
        """Take over what was booked under another name before the account was known."""
        if provisional.account == self.account:
            return
        with self._database.begin() as connection:
            for line in drop_spend(connection, provisional.account):
                charge(self._database, connection, self.account, line)
            for row in connection.execute(select(_days).where(_days.c.account == provisional.account)).all():
                if row.server_limit is not None and row.server_spent is not None:
                    seen = Observation(row.server_limit, row.server_limit - row.server_spent)
                    self._observe(connection, row.day, seen, row.observed_at)
            connection.execute(delete(_days).where(_days.c.account == provisional.account))
            connection.execute(
                update(_entries).where(_entries.c.account == provisional.account).values(account=self.account)
            )
            host = ProcessId.current().host
            offset = server_offset(connection, provisional.account, host)
            now = self._clock.time()
            if offset:
                self.learn_server_time(datetime.fromtimestamp(now + offset - 0.5).astimezone())

    def _offset(self, connection: Connection) -> float:
        return server_offset(connection, self.account, ProcessId.current().host)

    def _refusal(
        self, connection: Connection, slot_at: float, tokens: int, budget: BudgetRule | None
    ) -> Refusal | None:
        """Why there is no room on the day of ``slot_at``, or on the next one if others have slots there.

        Around midnight a request may leave late, and a slow answer may set the known clock back: either way
        it is charged to the new day.
        """
        state = self._day(connection, slot_at)
        refusal = _refusal(state, tokens, budget)
        latest: str | None = connection.scalar(_LATEST_DAY, {"account": self.account})
        if refusal is None and latest is not None and latest > state.day:
            refusal = _refusal(self._day(connection, slot_at, latest), tokens, budget)
        return refusal

    def _day(self, connection: Connection, at: float, day: str | None = None) -> DayState:
        server_now = at + self._offset(connection)
        day = day_of(server_now) if day is None else day
        row = connection.execute(_DAY, {"account": self.account, "day": day}).one()
        return DayState(
            day=day,
            own_spent=row.own_spent or 0,
            reserved=row.reserved,
            header_limit=row.header_limit,
            server_limit=row.server_limit,
            server_spent=row.server_spent,
            exhausted=bool(row.exhausted),
            server_now=server_now,
        )

    def _observe(self, connection: Connection, day: str, seen: Observation, now: float) -> None:
        """Note the daily headers; answers overtake each other, so within a day spending only grows."""
        if seen.limit is None and seen.remaining is None:
            return
        known = connection.execute(_DAY, {"account": self.account, "day": day}).one()
        if seen.limit is not None and seen.limit != known.header_limit:
            values = {"account": self.account, "header_limit": seen.limit, "observed_at": now}
            self._database.upsert(connection, _limits, values)
        if seen.remaining is None:
            return
        limit = known.header_limit if seen.limit is None else seen.limit
        spent = known.server_spent if limit is None else max(known.server_spent or 0, limit - seen.remaining)
        # More tokens bought in the course of the day are the one thing that reopens it.
        raised = limit is not None and known.server_limit is not None and limit > known.server_limit
        exhausted = seen.remaining <= 0 or (bool(known.exhausted) and not raised)
        self._database.upsert(
            connection,
            _days,
            {
                "account": self.account,
                "day": day,
                "own_spent": 0,
                "server_limit": limit,
                "server_spent": spent,
                "observed_at": now,
                "exhausted": exhausted,
            },
            keep=("own_spent",),
        )


def _refusal(state: DayState, tokens: int, budget: BudgetRule | None) -> Refusal | None:
    if budget is None:
        return Refusal(Allowance(0), state) if state.exhausted else None
    allowed = budget(state)
    fits = allowed.own > 0 and tokens <= state.available(allowed.budget, allowed.held_back)
    return None if fits else Refusal(allowed, state)
