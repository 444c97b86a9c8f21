"""``pipedrive_meta.coverage``: which intervals of update time are held; append-only, merged on read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import duckdb

from pipedrive_assets.warehouse.batch import CoverageSpan
from pipedrive_assets.warehouse.intervals import Interval, IntervalSet
from pipedrive_assets.warehouse.moments import from_sql, to_sql
from pipedrive_assets.warehouse.names import meta_table


def append(
    connection: duckdb.DuckDBPyConnection,
    entity: str,
    spans: Iterable[CoverageSpan],
    *,
    run_id: str,
    now: datetime,
) -> None:
    """Record ``spans``; an empty one (``since`` not before ``until``) says nothing and is left out."""
    for stream, since, until in spans:
        if since is None or since < until:
            connection.execute(
                f"INSERT INTO {meta_table('coverage')} VALUES (?, ?, ?, ?, ?, ?)",
                [entity, stream, to_sql(since), to_sql(until), run_id, now],
            )


def load(
    connection: duckdb.DuckDBPyConnection, entity: str, *, run_id: str | None = None
) -> dict[str, IntervalSet]:
    """Coverage of ``entity`` by stream; with ``run_id`` only what that run recorded."""
    intervals: dict[str, list[Interval]] = {}
    for stream, since, until in connection.execute(
        f"""
        SELECT DISTINCT stream, from_ts, to_ts
        FROM {meta_table("coverage")}
        WHERE entity = ? AND (?::VARCHAR IS NULL OR run_id = ?)
        """,
        [entity, run_id, run_id],
    ).fetchall():
        intervals.setdefault(stream, []).append(Interval(from_sql(since), from_sql(until)))
    return {stream: IntervalSet(each) for stream, each in sorted(intervals.items())}
