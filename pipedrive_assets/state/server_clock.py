"""What time it is at the server, told from the ``Date`` of its answers.

The day of the token budget is the server's. A laptop whose clock is an hour off would otherwise spend
tomorrow's budget today.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, select

from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

TOLERANCE_SECONDS = 1.5
"""``Date`` has whole seconds and an answer takes time to arrive; less than this is no news."""

_OFFSET = select(tables.server_clocks.c.offset_seconds).where(
    tables.server_clocks.c.account == bindparam("account"), tables.server_clocks.c.host == bindparam("host")
)


def server_offset(connection: Connection, account: str, host: str) -> float:
    """Seconds to add to this host's clock to get the server's; zero until an answer has been seen."""
    offset: float | None = connection.scalar(_OFFSET, {"account": account, "host": host})
    return offset or 0.0


def learn_offset(
    database: Database, connection: Connection, account: str, host: str, *, server_time: datetime, now: float
) -> None:
    """Correct the offset when ``server_time``, just received, contradicts it; ``now`` is this host's time.

    Kept per host, because hosts that share a store do not share a clock.
    """
    # The server was at most this second's end when it wrote the header, on average half a second in.
    seen = server_time.timestamp() + 0.5 - now
    if abs(seen - server_offset(connection, account, host)) <= TOLERANCE_SECONDS:
        return
    database.upsert(
        connection,
        tables.server_clocks,
        {"account": account, "host": host, "offset_seconds": seen, "learned_at": now},
    )


def day_of(epoch_seconds: float) -> str:
    """The budget day (UTC, ISO date) of a moment on the server's clock (reference section 2.1)."""
    return datetime.fromtimestamp(epoch_seconds, UTC).date().isoformat()


def reset_after(day: str) -> datetime:
    """The midnight (UTC) at which the budget of ``day`` is replaced by the next one."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
