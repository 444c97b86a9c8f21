"""What was spent, for people to read: requests and tokens by day, endpoint, lane and entity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.lanes import Lane


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Settled requests of one endpoint, lane and entity on one day; no entity: an empty name."""

    day: str
    endpoint: str
    lane: Lane
    requests: int
    tokens: int
    entity: str = ""

    def on(self, day: str) -> SpendLine:
        """The same on another day."""
        return replace(self, day=day)

    def refunded(self, tokens: int) -> SpendLine:
        """The line that cancels one request of ``tokens``."""
        return replace(self, requests=-1, tokens=-tokens)


def charge(database: Database, connection: Connection, account: str, line: SpendLine) -> None:
    """Add a line to its day: to the total that the budget is held against, and to the breakdown."""
    database.upsert(
        connection,
        tables.ledger_days,
        {"account": account, "day": line.day, "own_spent": line.tokens, "exhausted": False},
        add=("own_spent",),
        keep=("exhausted",),
    )
    database.upsert(
        connection,
        tables.ledger_spend,
        {
            "account": account,
            "day": line.day,
            "endpoint": line.endpoint,
            "lane": line.lane.value,
            "entity": line.entity,
            "requests": line.requests,
            "tokens": line.tokens,
        },
        add=("requests", "tokens"),
    )


def spend_between(connection: Connection, account: str, first: str, last: str) -> tuple[SpendLine, ...]:
    """The lines of the days from ``first`` to ``last``, both included, dearest first."""
    spend = tables.ledger_spend
    rows = connection.execute(
        select(spend)
        .where(spend.c.account == account, spend.c.day.between(first, last))
        .order_by(spend.c.tokens.desc(), spend.c.day, spend.c.endpoint, spend.c.lane, spend.c.entity)
    ).all()
    return tuple(_line(row) for row in rows)


def drop_spend(connection: Connection, account: str) -> tuple[SpendLine, ...]:
    """Remove and return every line of an account."""
    spend = tables.ledger_spend
    rows = connection.execute(select(spend).where(spend.c.account == account)).all()
    connection.execute(delete(spend).where(spend.c.account == account))
    return tuple(_line(row) for row in rows)


def _line(row: Row[Any]) -> SpendLine:
    return SpendLine(row.day, row.endpoint, Lane(row.lane), row.requests, row.tokens, row.entity)
