"""Small entities and batches for the warehouse's tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipedrive_assets.catalog.spec import (
    Column,
    ColumnType,
    CustomFields,
    EntitySpec,
    Paging,
    PerParent,
    Reference,
    Stream,
    Tier,
    Version,
)
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.warehouse import Batch, Warehouse, arrow_schema

START = datetime(2025, 3, 1, tzinfo=UTC)


def entity(
    name: str, key: tuple[str, ...], update_column: str | None = None, **columns: ColumnType
) -> EntitySpec:
    return EntitySpec(
        name=name,
        description=name,
        group="test",
        tier=Tier.CORE,
        key=key,
        columns=tuple(Column(column, kind, column) for column, kind in columns.items()),
        streams=(),
        update_column=update_column,
    )


DEALS = replace(
    entity(
        "deals",
        ("id",),
        "update_time",
        id=ColumnType.INTEGER,
        title=ColumnType.TEXT,
        value=ColumnType.NUMBER,
        won=ColumnType.BOOLEAN,
        close_date=ColumnType.DATE,
        label_ids=ColumnType.JSON,
        products_count=ColumnType.INTEGER,
        update_time=ColumnType.TIMESTAMP,
    ),
    custom_fields=CustomFields.NESTED,
)
FOLLOWERS = entity(
    "deal_followers",
    ("deal_id", "user_id"),
    deal_id=ColumnType.INTEGER,
    user_id=ColumnType.INTEGER,
    add_time=ColumnType.TIMESTAMP,
)
NOTES = replace(
    entity(
        "deal_notes",
        ("id",),
        "update_time",
        id=ColumnType.INTEGER,
        deal_id=ColumnType.INTEGER,
        update_time=ColumnType.TIMESTAMP,
    ),
    streams=(
        Stream("live", Version.V2, "/deals/{id}/notes", Paging.CURSOR, 500, 10, fan=PerParent("deals", "id")),
    ),
    references=(Reference("deal_id", "deals"),),
)
LEADS = entity("leads", ("id",), "update_time", id=ColumnType.TEXT, update_time=ColumnType.TIMESTAMP)


def at(seconds: float) -> datetime:
    """A moment (aware UTC) some seconds after the tests' epoch."""
    return START + timedelta(seconds=seconds)


def table(spec: EntitySpec, *rows: Mapping[str, Any]) -> pa.Table:
    """Rows as the parser builds them; what a row leaves out is NULL, observed at ``at(0)``."""
    whole = []
    for row in rows:
        full = {"_observed_at": START, "_is_deleted": False, **row}
        naive = {
            name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
            for name, value in full.items()
        }
        whole.append(naive)
    return pa.Table.from_pylist(whole, schema=arrow_schema(spec))


def batch(spec: EntitySpec, *rows: Mapping[str, Any], run_id: str = "run-1", **parts: Any) -> Batch:
    return Batch(spec=spec, rows=table(spec, *rows), run_id=run_id, source="manual", **parts)


def open_warehouse(path: Path, *, lock_timeout: float = 20.0, clock: Clock | None = None) -> Warehouse:
    return Warehouse(
        str(path), lock_timeout=lock_timeout, memory_limit_mb=256, threads=1, clock=clock or SystemClock()
    )


def stored(warehouse: Warehouse, spec: EntitySpec) -> list[dict[str, Any]]:
    """All rows of an entity, by key."""
    order = ", ".join(spec.key)
    rows: list[dict[str, Any]] = warehouse.query(
        f"SELECT * FROM pipedrive.{spec.name} ORDER BY {order}"
    ).to_pylist()
    return rows
