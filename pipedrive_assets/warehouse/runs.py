"""``pipedrive_meta.sync_runs``: one row for each finished sync of an entity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import duckdb
import orjson

from pipedrive_assets.warehouse.moments import from_sql, to_sql
from pipedrive_assets.warehouse.names import identifiers, meta_table

JSON_COLUMNS = ("coverage_before", "coverage_after", "error_samples")
SCALAR_COLUMNS = (
    "entity",
    "run_id",
    "mode",
    "source",
    "status",
    "reason",
    "since",
    "until",
    "started_at",
    "finished_at",
    "fetched",
    "created",
    "updated",
    "unchanged",
    "stale",
    "tombstoned",
    "quarantined",
    "pages",
    "requests",
    "tokens",
    "retries",
    "seconds",
    "peak_rss_mb",
    "dry_run",
)


def append(connection: duckdb.DuckDBPyConnection, result: Mapping[str, Any], *, now: datetime) -> None:
    """Record ``result``; a field without a column of its own goes into ``details``."""
    known = {*SCALAR_COLUMNS, *JSON_COLUMNS}
    row = {name: _scalar(result.get(name)) for name in SCALAR_COLUMNS}
    row |= {name: _json(result.get(name, ())) for name in JSON_COLUMNS}
    row["details"] = _json({name: value for name, value in result.items() if name not in known})
    row["recorded_at"] = now
    marks = ", ".join("?" for _ in row)
    connection.execute(
        f"INSERT INTO {meta_table('sync_runs')} ({identifiers(row)}) VALUES ({marks})", list(row.values())
    )


def recent(connection: duckdb.DuckDBPyConnection, limit: int) -> list[dict[str, Any]]:
    """The last ``limit`` runs, newest first: moments aware UTC, JSON parsed, details spread out again."""
    names = (*SCALAR_COLUMNS, *JSON_COLUMNS, "details", "recorded_at")
    found = connection.execute(
        f"""
        SELECT {identifiers(names)}
        FROM {meta_table("sync_runs")}
        ORDER BY recorded_at DESC, started_at DESC
        LIMIT ?
        """,
        [limit],
    ).fetchall()
    runs = []
    for values in found:
        run = dict(zip(names, values, strict=True))
        run = {name: from_sql(each) if isinstance(each, datetime) else each for name, each in run.items()}
        run |= {name: orjson.loads(run[name]) for name in JSON_COLUMNS}
        run |= orjson.loads(run.pop("details"))
        runs.append(run)
    return runs


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return to_sql(value) if isinstance(value, datetime) else value


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: Any) -> Any:
    # A result's spans and samples are models, where the caller did not dump them.
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else str(value)
