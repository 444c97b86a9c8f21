"""The merge: which rows of a batch are new, changed, unchanged or stale, and how they get into the table.

SQL's MERGE has no key to lean on here: it inserts two new rows of one id both, lets a later older row win,
and never updates where a time is NULL. So a batch is deduplicated by key and compared with the table by key
and row hash first; the counts come from there; then the changed rows are deleted, and new and changed ones
inserted. All of it runs in the caller's transaction, on a connection that has the batch registered as
``incoming``.

Of two rows of one key the one with the later update time is newer. Where they are equal, or where one of
them has no time (never set, or one that could not be read), the row seen later is: what Pipedrive answered
last is not thrown away because its time is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from pipedrive_assets.catalog.spec import ColumnType, EntitySpec
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse.batch import Batch, MergeCounts, ReplacedParents
from pipedrive_assets.warehouse.moments import to_sql
from pipedrive_assets.warehouse.names import data_table, identifier, identifiers
from pipedrive_assets.warehouse.schema import arrow_schema, row_columns

_POSITION = "_position"
_ALWAYS = "TIMESTAMP '-infinity'"
# When and by whom a row was seen is no part of what it says.
_NOT_HASHED = ("_observed_at", "_deleted_at")


def incoming_rows(batch: Batch) -> pa.Table:
    """The batch's rows with their position, checked: same columns as ``arrow_schema``, no NULL in the key.

    Raises ``PipedriveWarehouseException`` for a batch that breaks this contract.
    """
    wanted = arrow_schema(batch.spec)
    got = set(batch.rows.column_names)
    if got != set(wanted.names):
        raise PipedriveWarehouseException(
            f"batch of {batch.spec.name}: columns missing {sorted(set(wanted.names) - got)}, "
            f"not expected {sorted(got - set(wanted.names))}"
        )
    for name in batch.spec.key:
        if batch.rows.column(name).null_count:
            raise PipedriveWarehouseException(f"batch of {batch.spec.name}: key column {name} has NULLs")
    rows = batch.rows.select(wanted.names).cast(wanted)
    return rows.append_column(_POSITION, pa.array(range(rows.num_rows), pa.int64()))


def classify(
    connection: duckdb.DuckDBPyConnection, spec: EntitySpec, *, table_exists: bool = True
) -> MergeCounts:
    """Compare ``incoming`` with the table and leave a temporary table ``verdict``: one row for each key.

    ``verdict`` has the key, the position of the newest row of that key, its hash and what becomes of it.
    """
    key = identifiers(spec.key)
    # Within a batch "the row seen later" is no order yet: a row without a time can lie between two that
    # have one. It takes the newest time that was seen before it.
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE staged AS
        WITH seen AS (
            SELECT
                {_POSITION},
                {key},
                {_changed_at(spec, "incoming")} AS changed_at,
                {_observed_at("incoming")} AS observed_at,
                {_row_hash(spec)} AS row_hash
            FROM incoming
        ), ranked AS (
            SELECT
                *,
                coalesce(
                    changed_at,
                    max(changed_at) OVER (
                        PARTITION BY {key} ORDER BY observed_at, {_POSITION}
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    ),
                    {_ALWAYS}
                ) AS ranked_at
            FROM seen
        )
        SELECT * EXCLUDE (ranked_at)
        FROM ranked
        QUALIFY row_number() OVER (
            PARTITION BY {key} ORDER BY ranked_at DESC, observed_at DESC, {_POSITION} DESC
        ) = 1
        """
    )
    if table_exists:
        stored_at = _changed_at(spec, "stored")
        source = (
            f"staged LEFT JOIN {data_table(spec.name)} AS stored ON {_same_key(spec, 'staged', 'stored')}"
        )
        fate = f"""
            CASE
                WHEN stored.{identifier(spec.key[0])} IS NULL THEN 'created'
                WHEN stored._row_hash = staged.row_hash THEN 'unchanged'
                WHEN staged.changed_at < {stored_at} THEN 'stale'
                WHEN staged.changed_at > {stored_at} THEN 'updated'
                WHEN staged.observed_at < {_observed_at("stored")} THEN 'stale'
                ELSE 'updated'
            END
        """
    else:
        source, fate = "staged", "'created'"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE verdict AS
        SELECT staged.{_POSITION}, {identifiers(spec.key, prefix="staged.")}, staged.row_hash, {fate} AS fate
        FROM {source}
        """
    )
    counts = connection.execute("SELECT fate, count(*) FROM verdict GROUP BY fate").fetchall()
    return MergeCounts(**dict(counts))


def write(
    connection: duckdb.DuckDBPyConnection,
    spec: EntitySpec,
    counts: MergeCounts,
    *,
    source: str,
    run_id: str,
    now: datetime,
) -> None:
    """Put the new and changed rows of ``incoming`` into the table, as ``verdict`` and its ``counts`` say."""
    if not counts.written:
        return
    table = data_table(spec.name)
    if counts.updated:
        connection.execute(
            f"""
            DELETE FROM {table} AS stored
            WHERE EXISTS (
                SELECT 1 FROM verdict WHERE fate = 'updated' AND {_same_key(spec, "verdict", "stored")}
            )
            """
        )
    columns = [name for name, _ in row_columns(spec)]
    connection.execute(
        f"""
        INSERT INTO {table} ({identifiers(columns)}, _synced_at, _source, _run_id, _row_hash)
        SELECT {identifiers(columns, prefix="incoming.")}, ?, ?, ?, verdict.row_hash
        FROM incoming
        JOIN verdict USING ({_POSITION})
        WHERE verdict.fate IN ('created', 'updated')
        """,
        [now, source, run_id],
    )


def count_gone(connection: duckdb.DuckDBPyConnection, spec: EntitySpec, replaces: ReplacedParents) -> int:
    """How many stored children the replaced parents no longer have."""
    if not replaces.parent_ids:
        return 0
    with_parents = _register_parents(connection, replaces)
    row = connection.execute(
        f"SELECT count(*) FROM {data_table(spec.name)} AS stored WHERE {_gone(spec, with_parents)}",
        [to_sql(replaces.observed_at)],
    ).fetchone()
    return int(row[0]) if row else 0


def bury_gone(
    connection: duckdb.DuckDBPyConnection,
    spec: EntitySpec,
    replaces: ReplacedParents,
    *,
    source: str,
    run_id: str,
    now: datetime,
) -> None:
    """Turn the children that ``count_gone`` counts into tombstones, as seen when the lists were read."""
    with_parents = _register_parents(connection, replaces)
    observed_at = to_sql(replaces.observed_at)
    tombstone = _row_hash(spec, {"_is_deleted": "true", "_deleted_reason": "'gone'"})
    connection.execute(
        f"""
        UPDATE {data_table(spec.name)} AS stored
        SET _is_deleted = true, _deleted_at = ?, _deleted_reason = 'gone', _observed_at = ?,
            _synced_at = ?, _source = ?, _run_id = ?, _row_hash = {tombstone}
        WHERE {_gone(spec, with_parents)}
        """,
        [observed_at, observed_at, now, source, run_id, observed_at],
    )


def bury_children_of_deleted(
    connection: duckdb.DuckDBPyConnection,
    child: EntitySpec,
    parent: EntitySpec,
    *,
    source: str,
    run_id: str,
    now: datetime,
) -> int:
    """Turn the live children of deleted parents into tombstones of the parent's time; how many there were.

    A child seen after its parent's deletion goes too: with the parent deleted nobody would ask for it again.
    """
    column = child.parent_column
    if column is None or len(parent.key) != 1:
        raise PipedriveWarehouseException(f"{child.name} does not hang below {parent.name} by one column")
    tombstone = _row_hash(child, {"_is_deleted": "true", "_deleted_reason": "'gone'"})
    buried = connection.execute(
        f"""
        UPDATE {data_table(child.name)} AS stored
        SET _is_deleted = true, _deleted_at = coalesce(_parent_deleted_at, ?), _deleted_reason = 'gone',
            _observed_at = greatest(stored._observed_at, _parent_observed_at),
            _synced_at = ?, _source = ?, _run_id = ?, _row_hash = {tombstone}
        FROM (
            SELECT
                {identifier(parent.key[0])} AS _parent_key,
                _deleted_at AS _parent_deleted_at,
                _observed_at AS _parent_observed_at
            FROM {data_table(parent.name)}
            WHERE _is_deleted
        ) AS deleted_parents
        WHERE stored.{identifier(column)} = _parent_key AND stored._is_deleted IS NOT TRUE
        """,
        [now, now, source, run_id],
    ).fetchone()
    return int(buried[0]) if buried else 0


def _register_parents(connection: duckdb.DuckDBPyConnection, replaces: ReplacedParents) -> str:
    ids: list[Any] = list(replaces.parent_ids)
    connection.register("replaced_parents", pa.table({"id": pa.array(ids)}))
    return f"{identifier(replaces.parent_column)} IN (SELECT id FROM replaced_parents)"


def _gone(spec: EntitySpec, with_parents: str) -> str:
    # A child seen later than the lists were read (by a webhook, say) is not gone.
    return f"""
        stored.{with_parents}
        AND stored._is_deleted IS NOT TRUE
        AND {_observed_at("stored")} <= ?
        AND NOT EXISTS (SELECT 1 FROM verdict WHERE {_same_key(spec, "verdict", "stored")})
    """


def _same_key(spec: EntitySpec, left: str, right: str) -> str:
    return " AND ".join(f"{left}.{identifier(name)} = {right}.{identifier(name)}" for name in spec.key)


def _changed_at(spec: EntitySpec, table: str) -> str:
    if spec.update_column is None:
        return "CAST(NULL AS TIMESTAMP)"
    return f"CAST({table}.{identifier(spec.update_column)} AS TIMESTAMP)"


def _observed_at(table: str) -> str:
    return f"coalesce({table}._observed_at, {_ALWAYS})"


def _row_hash(spec: EntitySpec, replaced: Mapping[str, str] | None = None) -> str:
    """SQL for the hash of what a row says; ``replaced`` gives other SQL for some columns."""
    given = replaced or {}
    # NULL and false both say "not deleted".
    given = {"_is_deleted": "coalesce(_is_deleted, false)"} | dict(given)
    parts = (
        # JSON is hashed as its text: the engine may hash the two types differently.
        given.get(
            name, f"CAST({identifier(name)} AS VARCHAR)" if kind is ColumnType.JSON else identifier(name)
        )
        for name, kind in row_columns(spec)
        if name not in _NOT_HASHED
    )
    return f"hash({', '.join(parts)})"
