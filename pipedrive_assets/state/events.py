"""What happened to an account that people may want to be told: one line per event, newest last.

Whoever changes a state records the event in the transaction of the change, so that none is lost and none is
told that did not happen. Nothing reads them to decide about requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

KEPT_SECONDS = 30 * 86_400.0
"""How long events stay, unless told otherwise."""

_events = tables.events
_RECORD = insert(_events)
_SINCE = (
    select(_events)
    .where(_events.c.account == bindparam("account"), _events.c.at >= bindparam("moment"))
    .order_by(_events.c.event_id)
)
_PRUNE = delete(_events).where(
    _events.c.account == bindparam("of_account"), _events.c.at < bindparam("before")
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``at`` in epoch seconds, ``event_id`` grows with each event of the store."""

    event_id: int
    at: float
    name: str
    detail: Mapping[str, Any]


class EventLog:
    """The events of one account; times are this host's epoch seconds."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account

    def record(self, name: str, detail: Mapping[str, Any] | None = None, *, at: float | None = None) -> None:
        """Add an event; ``detail`` is plain JSON without secrets, ``at`` is now unless given.

        Joins the caller's transaction if there is one. What is older than thirty days goes on the way:
        events are rare, and a log that nobody prunes would grow for ever.
        """
        moment = self._clock.time() if at is None else at
        with self._database.begin() as connection:
            connection.execute(_PRUNE, {"of_account": self._account, "before": moment - KEPT_SECONDS})
            values = {"account": self._account, "at": moment, "name": name}
            connection.execute(_RECORD, {**values, "detail": json.dumps(dict(detail or {}), sort_keys=True)})

    def since(self, moment: float, *names: str) -> tuple[Event, ...]:
        """Events at or after ``moment`` in the order in which they were recorded; ``names`` selects some."""
        with self._database.read() as connection:
            rows = connection.execute(_SINCE, {"account": self._account, "moment": moment}).all()
        return tuple(_event(row) for row in rows if not names or row.name in names)

    def prune(self, *, before: float) -> int:
        """Forget events older than ``before``; returns how many there were."""
        with self._database.begin() as connection:
            gone = connection.execute(_PRUNE, {"of_account": self._account, "before": before})
            return int(gone.rowcount)


def _event(row: Row[Any]) -> Event:
    return Event(row.event_id, row.at, row.name, json.loads(row.detail))
