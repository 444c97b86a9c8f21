"""Going on with a day that had no tokens left, once an answer has shown that there are some.

The server has begun another day than ours, or forgiven some spending. What it does not count any more is not
held against us either, unless the budget is one that we have set ourselves.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from pipedrive_assets.state import tables

_days = tables.ledger_days


def reopen(
    connection: Connection,
    account: str,
    day: str,
    *,
    limit: int | None,
    remaining: int | None,
    keep_own: bool,
) -> None:
    """Take the word of an answer's headers (None: missing) for a day that is exhausted; else do nothing."""
    if remaining is None or remaining <= 0:
        return
    same_day = (_days.c.account == account) & (_days.c.day == day)
    known = connection.execute(select(_days).where(same_day)).one_or_none()
    if known is None or not known.exhausted:
        return
    limit = known.server_limit if limit is None else limit
    spent = None if limit is None else max(0, limit - remaining)
    connection.execute(
        update(_days)
        .where(same_day)
        .values(
            exhausted=False,
            server_spent=spent,
            own_spent=known.own_spent if spent is None or keep_own else min(known.own_spent, spent),
        )
    )
