"""``pipedrive_meta.positions``: how far each scan has come, append-only; the newest row of a scan counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import orjson

from pipedrive_assets.warehouse.batch import Position
from pipedrive_assets.warehouse.moments import from_sql, to_sql
from pipedrive_assets.warehouse.names import meta_table


def append(
    connection: duckdb.DuckDBPyConnection, entity: str, position: Position, *, run_id: str, now: datetime
) -> None:
    """Record ``position`` as the newest of its scan."""
    # Numbered, because two batches can be committed within one tick of the clock.
    connection.execute(
        f"""
        INSERT INTO {meta_table("positions")}
        SELECT ?, ?, ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
        FROM {meta_table("positions")}
        WHERE entity = ? AND stream = ? AND query_hash = ?
        """,
        [
            entity,
            position.stream,
            position.query_hash,
            None if position.token is None else orjson.dumps(dict(position.token)).decode(),
            to_sql(position.last_update_time),
            position.last_id,
            to_sql(position.t0),
            position.catalog_version,
            position.rows,
            position.pages,
            position.finished,
            run_id,
            now,
            entity,
            position.stream,
            position.query_hash,
        ],
    )


def unfinished(connection: duckdb.DuckDBPyConnection, entity: str) -> dict[tuple[str, str], Position]:
    """Where to resume each scan whose last word is not that it finished, by stream and query hash."""
    found = connection.execute(
        f"""
        SELECT
            stream, query_hash, token, last_update_time, last_id, t0, catalog_version, "rows", pages,
            finished, run_id
        FROM {meta_table("positions")}
        WHERE entity = ?
        QUALIFY row_number() OVER (PARTITION BY stream, query_hash ORDER BY number DESC) = 1 AND NOT finished
        """,
        [entity],
    ).fetchall()
    return {(row[0], row[1]): _position(row) for row in found}


def _position(row: tuple[Any, ...]) -> Position:
    (
        stream,
        query_hash,
        token,
        last_update_time,
        last_id,
        t0,
        catalog_version,
        rows,
        pages,
        finished,
        run_id,
    ) = row
    return Position(
        stream=stream,
        query_hash=query_hash,
        token=None if token is None else orjson.loads(token),
        last_update_time=from_sql(last_update_time),
        last_id=last_id,
        t0=from_sql(t0),
        catalog_version=catalog_version,
        rows=rows,
        pages=pages,
        finished=finished,
        run_id=run_id,
    )
