"""``pipedrive_meta.quarantine``: values that did not fit their column, each once."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from pipedrive_assets.warehouse.batch import QuarantinedValue
from pipedrive_assets.warehouse.moments import to_sql
from pipedrive_assets.warehouse.names import meta_table

_TYPES: dict[str, pa.DataType] = {
    "key": pa.string(),
    "column_name": pa.string(),
    "value": pa.string(),
    "reason": pa.string(),
    "observed_at": pa.timestamp("us"),
}


def append(
    connection: duckdb.DuckDBPyConnection, entity: str, values: Sequence[QuarantinedValue], *, run_id: str
) -> None:
    """Record the values that are not yet recorded for the same entity, key and column."""
    if not values:
        return
    rows = [(each.key, each.column, each.value, each.reason, to_sql(each.observed_at)) for each in values]
    columns = zip(_TYPES.items(), zip(*rows, strict=True), strict=True)
    connection.register(
        "quarantined", pa.table({name: pa.array(cells, kind) for (name, kind), cells in columns})
    )
    connection.execute(
        f"""
        INSERT INTO {meta_table("quarantine")}
        SELECT ?, new.key, new.column_name, new.value, min(new.reason), ?, min(new.observed_at)
        FROM quarantined AS new
        WHERE NOT EXISTS (
            SELECT 1
            FROM {meta_table("quarantine")} AS old
            WHERE old.entity = ?
              AND old.key = new.key AND old.column_name = new.column_name AND old.value = new.value
        )
        GROUP BY new.key, new.column_name, new.value
        """,
        [entity, run_id, entity],
    )
    connection.unregister("quarantined")


def count(connection: duckdb.DuckDBPyConnection, entity: str) -> int:
    """How many values of ``entity`` are in quarantine."""
    row = connection.execute(
        f"SELECT count(*) FROM {meta_table('quarantine')} WHERE entity = ?", [entity]
    ).fetchone()
    return int(row[0]) if row else 0
