"""What is raised, what people were told of it, and what they have yet to be told: shared by all daemons.

A condition is told when it begins and when it is over, and in between only if it becomes worse. The
transaction that notices a change also queues its messages, so that of two observers exactly one tells. There
is a message for each channel; it waits until its channel has taken it, over restarts too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

QUIET_SECONDS = 3600.0
"""A condition that comes and goes is told once in this time, or twice if it becomes worse."""
KEPT_SECONDS = 30 * 86_400
"""How long messages are kept, and conditions that are over."""
CLAIM_SECONDS = 120.0
"""After this a message is taken for not delivered: whoever claimed it is dead, since sending takes less.

A claim that ends later than this from now was made by a clock that has been set back, and holds no longer.
"""

_alerts, _messages = tables.alerts, tables.alert_messages


class Severity(StrEnum):
    """How bad it is: a warning is to be looked at, something critical has stopped work."""

    WARNING = "warning"
    CRITICAL = "critical"


class Kind(StrEnum):
    """What a message tells."""

    RAISED = "raised"
    RECOVERED = "recovered"


_RANK = {"": 0, Severity.WARNING.value: 1, Severity.CRITICAL.value: 2}


@dataclass(frozen=True, slots=True)
class Observation:
    """A condition as it is now; ``since`` in epoch seconds.

    Within one ``occasion``, if that is not empty, it is told once at most, whatever time has passed.
    """

    condition: str
    raised: bool
    severity: Severity
    since: float
    detail: str
    occasion: str = ""


@dataclass(frozen=True, slots=True)
class AlertState:
    """One condition as last observed; times in epoch seconds.

    ``told_severity`` is what people were told of this raising, empty if nothing; ``told_at`` is when a
    message about the condition last arrived anywhere.
    """

    condition: str
    severity: Severity
    raised: bool
    since: float
    detail: str
    told_severity: str = ""
    told_at: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel; ``delivered_at`` is None while it waits."""

    message_id: int
    channel: str
    condition: str
    kind: Kind
    severity: Severity
    since: float
    detail: str
    queued_at: float
    delivered_at: float | None
    attempts: int
    error: str


class AlertStore:
    """The alerts of one account; every method is one transaction."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account

    def observe(self, seen: Iterable[Observation], channels: Sequence[str]) -> tuple[AlertState, ...]:
        """Take note of conditions and queue what is to be told; returns those that changed.

        A condition that is not among ``seen`` stays as it was.
        """
        changed: list[AlertState] = []
        with self._database.begin() as connection:
            known = {row.condition: row for row in self._load(connection)}
            for each in seen:
                before = known.get(each.condition)
                after = self._next(connection, each, before, channels)
                if after is None:
                    continue
                if before is None or before.raised != after.raised or before.severity != after.severity:
                    changed.append(after)
                values = asdict(after)
                del values["told_at"]
                self._database.upsert(connection, _alerts, {"account": self._account, **values})
            self._prune(connection)
        return tuple(changed)

    def states(self) -> tuple[AlertState, ...]:
        """Every condition that was raised within a month, those raised now first."""
        with self._database.read() as connection:
            found = self._load(connection)
        return tuple(sorted(found, key=lambda each: (not each.raised, -each.since)))

    def forget(self, conditions: Iterable[str]) -> None:
        """Drop conditions that are no longer worth showing; what is still to be told of them is told."""
        with self._database.begin() as connection:
            self._forget(connection, list(conditions))

    def unwatch(self, conditions: Iterable[str]) -> None:
        """Drop conditions that nobody watches any more, with what was still to be told of them."""
        names = list(conditions)
        with self._database.begin() as connection:
            self._forget(connection, names)
            connection.execute(
                delete(_messages).where(
                    _messages.c.account == self._account,
                    _messages.c.condition.in_(names),
                    _messages.c.delivered_at.is_(None),
                )
            )

    def adopt(self, provisional: str) -> None:
        """Take over what was noted under another name before the account was known."""
        with self._database.begin() as connection:
            own = select(_alerts.c.condition).where(_alerts.c.account == self._account)
            connection.execute(
                delete(_alerts).where(_alerts.c.account == provisional, _alerts.c.condition.in_(own))
            )
            for table in (_alerts, _messages):
                connection.execute(
                    update(table).where(table.c.account == provisional).values(account=self._account)
                )

    def claim(self, channel: str) -> Message | None:
        """The next message for a channel, for the caller alone for ``CLAIM_SECONDS``; None if there is none.

        Of one condition the messages come in order. What has failed before comes after what has not, so that
        a message no server takes holds up no other.
        """
        now = self._clock.time()
        with self._database.begin() as connection:
            waiting = connection.execute(
                select(_messages)
                .where(
                    _messages.c.account == self._account,
                    _messages.c.channel == channel,
                    _messages.c.delivered_at.is_(None),
                )
                .order_by(_messages.c.message_id)
            ).all()
            first = {row.condition: row for row in reversed(waiting)}
            free = [row for row in first.values() if not now < row.claimed_until <= now + CLAIM_SECONDS]
            if not free:
                return None
            row = min(free, key=lambda each: (each.attempts, each.message_id))
            connection.execute(
                update(_messages)
                .where(_messages.c.message_id == row.message_id)
                .values(claimed_until=now + CLAIM_SECONDS, attempts=row.attempts + 1)
            )
        return Message(
            message_id=row.message_id,
            channel=row.channel,
            condition=row.condition,
            kind=Kind(row.kind),
            severity=Severity(row.severity),
            since=row.since,
            detail=row.detail,
            queued_at=row.queued_at,
            delivered_at=None,
            attempts=row.attempts + 1,
            error=row.error,
        )

    def delivered(self, message: Message) -> None:
        """The channel has taken a claimed message."""
        self._close(message, delivered_at=self._clock.time(), error="")

    def failed(self, message: Message, error: str) -> None:
        """The channel has not taken a claimed message; it stays due."""
        self._close(message, delivered_at=None, error=error)

    def messages(self, *, waiting: bool = False, limit: int = 50) -> tuple[Message, ...]:
        """The last messages, newest first; with ``waiting`` only those that are not delivered."""
        columns = [each for each in _messages.c if each.name not in ("account", "occasion", "claimed_until")]
        query = select(*columns).where(_messages.c.account == self._account)
        if waiting:
            query = query.where(_messages.c.delivered_at.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_messages.c.message_id.desc()).limit(limit)).all()
        return tuple(
            Message(**{**row._mapping, "kind": Kind(row.kind), "severity": Severity(row.severity)})
            for row in rows
        )

    def _next(
        self,
        connection: Connection,
        seen: Observation,
        before: AlertState | None,
        channels: Sequence[str],
    ) -> AlertState | None:
        """The state after an observation, its messages queued; None where there is nothing to remember."""
        was_raised = before is not None and before.raised
        if not seen.raised:
            if before is None or not was_raised:
                return before
            return self._recovered(connection, before)
        told = before.told_severity if before is not None and was_raised else ""
        since = before.since if before is not None and was_raised else seen.since
        state = AlertState(seen.condition, seen.severity, True, since, seen.detail, told)
        worse = _RANK[seen.severity] > _RANK[told]
        if not worse or not channels or self._told_lately(connection, seen):
            return state
        self._drop_waiting(connection, seen.condition)
        for channel in channels:
            self._queue(connection, state, Kind.RAISED, channel, seen.occasion)
        return replace(state, told_severity=seen.severity.value)

    def _recovered(self, connection: Connection, before: AlertState) -> AlertState:
        """Tell that it is over wherever the last that was told, or is being told, is its beginning."""
        self._drop_waiting(connection, before.condition)
        last = (
            select(func.max(_messages.c.message_id))
            .where(_messages.c.account == self._account, _messages.c.condition == before.condition)
            .group_by(_messages.c.channel)
        )
        channels = connection.scalars(
            select(_messages.c.channel)
            .where(_messages.c.message_id.in_(last), _messages.c.kind == Kind.RAISED.value)
            .order_by(_messages.c.channel)
        ).all()
        for channel in channels:
            self._queue(connection, before, Kind.RECOVERED, channel, "")
        return replace(before, raised=False, since=self._clock.time(), told_severity="")

    def _told_lately(self, connection: Connection, seen: Observation) -> bool:
        now = self._clock.time()
        recent = _messages.c.queued_at > now - QUIET_SECONDS
        same = _messages.c.occasion == seen.occasion
        as_bad = [name for name, rank in _RANK.items() if rank >= _RANK[seen.severity]]
        found = connection.scalar(
            select(func.count()).where(
                _messages.c.account == self._account,
                _messages.c.condition == seen.condition,
                _messages.c.kind == Kind.RAISED.value,
                _messages.c.severity.in_(as_bad),
                # By a clock that was ahead and has been set back, no message was told yet.
                _messages.c.queued_at <= now,
                or_(recent, same) if seen.occasion else recent,
            )
        )
        return bool(found)

    def _drop_waiting(self, connection: Connection, condition: str) -> None:
        """Take back messages of a beginning that has become worse or is over, unless one is on its way."""
        now = self._clock.time()
        connection.execute(
            delete(_messages).where(
                _messages.c.account == self._account,
                _messages.c.condition == condition,
                _messages.c.kind == Kind.RAISED.value,
                _messages.c.delivered_at.is_(None),
                or_(_messages.c.claimed_until <= now, _messages.c.claimed_until > now + CLAIM_SECONDS),
            )
        )

    def _forget(self, connection: Connection, conditions: list[str]) -> None:
        connection.execute(
            delete(_alerts).where(_alerts.c.account == self._account, _alerts.c.condition.in_(conditions))
        )

    def _prune(self, connection: Connection) -> None:
        """Drop what is long over, and old messages.

        Not those of what is still raised: who heard of its beginning must hear its end.
        """
        oldest = self._clock.time() - KEPT_SECONDS
        connection.execute(
            delete(_alerts).where(
                _alerts.c.account == self._account, _alerts.c.raised.is_(False), _alerts.c.since < oldest
            )
        )
        raised = select(_alerts.c.condition).where(_alerts.c.account == self._account, _alerts.c.raised)
        connection.execute(
            delete(_messages).where(
                _messages.c.account == self._account,
                _messages.c.queued_at < oldest,
                _messages.c.condition.not_in(raised),
            )
        )

    def _queue(
        self, connection: Connection, state: AlertState, kind: Kind, channel: str, occasion: str
    ) -> None:
        connection.execute(
            insert(_messages),
            {
                "account": self._account,
                "channel": channel,
                "condition": state.condition,
                "kind": kind.value,
                "severity": state.severity.value,
                "since": state.since,
                "detail": state.detail,
                "occasion": occasion,
                "queued_at": self._clock.time(),
                "claimed_until": 0.0,
                "delivered_at": None,
                "attempts": 0,
                "error": "",
            },
        )

    def _close(self, message: Message, *, delivered_at: float | None, error: str) -> None:
        with self._database.begin() as connection:
            connection.execute(
                update(_messages)
                .where(_messages.c.message_id == message.message_id)
                .values(claimed_until=0.0, delivered_at=delivered_at, error=error)
            )

    def _load(self, connection: Connection) -> list[AlertState]:
        told_at = (
            select(func.max(_messages.c.delivered_at))
            .where(
                _messages.c.account == _alerts.c.account,
                _messages.c.condition == _alerts.c.condition,
            )
            .scalar_subquery()
        )
        columns = [column for column in _alerts.c if column.name != "account"]
        rows = connection.execute(
            select(*columns, told_at.label("told_at")).where(_alerts.c.account == self._account)
        ).all()
        return [AlertState(**{**row._mapping, "severity": Severity(row.severity)}) for row in rows]
