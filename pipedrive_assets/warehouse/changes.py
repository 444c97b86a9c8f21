"""``pipedrive_meta.schema_changes``: what the API or the catalog has come to hold that it did not before."""

from __future__ import annotations

from datetime import datetime

import duckdb

from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.warehouse.names import meta_table

logger = get_logger(__name__)

UNKNOWN_KEY = "unknown_key"
"""Kind of change: the API sent a property that the catalog has no column for."""


def record(
    connection: duckdb.DuckDBPyConnection,
    entity: str,
    kind: str,
    name: str,
    detail: str,
    *,
    run_id: str,
    now: datetime,
) -> None:
    """Append one change."""
    log_event(logger, "schema_changed", entity=entity, kind=kind, property=name, detail=detail)
    connection.execute(
        f"INSERT INTO {meta_table('schema_changes')} VALUES (?, ?, ?, ?, ?, ?)",
        [entity, kind, name, detail, run_id, now],
    )


def record_unknown_keys(
    connection: duckdb.DuckDBPyConnection,
    entity: str,
    known: tuple[str, ...],
    *,
    run_id: str,
    now: datetime,
) -> None:
    """Append the keys of ``incoming._extra`` that were never seen before, with their JSON type.

    ``_extra`` also holds values that did not fit their column; those names are in ``known``.
    """
    keys = connection.execute(
        f"""
        SELECT item.key, min(item.type)
        FROM incoming, json_each(incoming._extra) AS item
        WHERE incoming._extra IS NOT NULL
          AND item.key NOT IN (SELECT unnest(?::VARCHAR[]))
          AND item.key NOT IN (SELECT name FROM {meta_table("schema_changes")} WHERE entity = ? AND kind = ?)
        GROUP BY item.key
        ORDER BY item.key
        """,
        [list(known), entity, UNKNOWN_KEY],
    ).fetchall()
    for key, kind in keys:
        record(connection, entity, UNKNOWN_KEY, key, kind, run_id=run_id, now=now)
