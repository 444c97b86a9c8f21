"""Reservations that nobody will settle: their process was killed, or their time is over.

Before its slot a request has not left, so its tokens go back. After it the request may have reached the
server, so they count as spent, unless what the server has reported long since leaves no room for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.process import ProcessId
from pipedrive_assets.state.spend import SpendLine, charge

OBSERVED_AFTER_SECONDS = 60.0
"""A header this much younger than the slot includes the request, however slowly it connected."""

REMEMBERED_SECONDS = 2 * 86_400.0
"""How long a reclaimed reservation is kept, in case its answer comes after all."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What a sweep found: reservations cleared, tokens given back, tokens counted as spent."""

    reservations: int = 0
    returned: int = 0
    counted: int = 0


def reclaim(database: Database, connection: Connection, account: str, now: float) -> Reclaimed:
    """Clear the account's lost reservations within the caller's transaction, so each is cleared once."""
    entries = tables.reservations
    rows = connection.execute(
        select(entries).where(entries.c.account == account, entries.c.reclaimed_tokens.is_(None))
    ).all()
    observer = ProcessId.current()
    owners = {owner: owner.known_dead(observer) for owner in {_owner(row) for row in rows}}
    lost = [row for row in rows if row.expires_at <= now or owners[_owner(row)]]
    counted_total = 0
    for row in lost:
        counted = _counted(connection, row, now)
        counted_total += counted
        connection.execute(
            update(entries)
            .where(entries.c.reservation_id == row.reservation_id)
            .values(reclaimed_tokens=counted)
        )
        if counted:
            line = SpendLine(row.day, row.endpoint, Lane(row.lane), 1, counted, row.entity)
            charge(database, connection, account, line)
    connection.execute(
        delete(entries).where(
            entries.c.account == account,
            entries.c.reclaimed_tokens.is_not(None),
            entries.c.expires_at < now - REMEMBERED_SECONDS,
        )
    )
    return Reclaimed(len(lost), sum(row.tokens for row in lost) - counted_total, counted_total)


def _counted(connection: Connection, row: Row[Any], now: float) -> int:
    """Tokens of a lost reservation that must be taken for spent."""
    if row.slot_at > now:
        return 0
    days = tables.ledger_days
    day = connection.execute(
        select(days).where(days.c.account == row.account, days.c.day == row.day)
    ).one_or_none()
    if day is None or day.server_spent is None:
        return int(row.tokens)
    if day.observed_at > row.slot_at + OBSERVED_AFTER_SECONDS:
        unexplained: int = max(0, day.server_spent - day.own_spent)
        return min(int(row.tokens), unexplained)
    return int(row.tokens)


def _owner(row: Row[Any]) -> ProcessId:
    return ProcessId(row.host, row.pid, row.started)
