"""``pipedrive_meta.closed_streams``: lists that the account's plan or rights do not open; append-only.

Without it a stream without coverage could be either closed or not synced yet.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.warehouse.names import meta_table

logger = get_logger(__name__)


def mark(
    connection: duckdb.DuckDBPyConnection,
    entity: str,
    stream: str,
    *,
    closed: bool,
    reason: str,
    run_id: str,
    now: datetime,
) -> None:
    """Record that ``stream`` is closed or open again; nothing where its newest row says so already."""
    if (stream in load_closed(connection, entity)) == closed:
        return
    log_event(logger, "stream_marked", entity=entity, stream=stream, closed=closed, reason=reason)
    # Numbered, because two rows can be recorded within one tick of the clock.
    connection.execute(
        f"""
        INSERT INTO {meta_table("closed_streams")}
        SELECT ?, ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?
        FROM {meta_table("closed_streams")}
        WHERE entity = ? AND stream = ?
        """,
        [entity, stream, closed, reason, run_id, now, entity, stream],
    )


def load_closed(connection: duckdb.DuckDBPyConnection, entity: str) -> set[str]:
    """Streams of ``entity`` whose newest row says that they are closed."""
    try:
        found = connection.execute(
            f"""
            SELECT stream
            FROM {meta_table("closed_streams")}
            WHERE entity = ?
            QUALIFY row_number() OVER (PARTITION BY stream ORDER BY number DESC) = 1 AND closed
            """,
            [entity],
        ).fetchall()
    except duckdb.CatalogException:
        return set()  # a warehouse of version 1, which only the next write upgrades
    return {stream for (stream,) in found}
