"""Tables and their columns: DDL from the catalog, Arrow schemas for the parser, versions of the metadata."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pyarrow as pa

from pipedrive_assets.catalog.spec import ColumnType, EntitySpec
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse import changes
from pipedrive_assets.warehouse.column_types import ARROW_TYPES, SQL_TYPES
from pipedrive_assets.warehouse.names import (
    CATALOG_ALIAS,
    DATA_SCHEMA,
    META_SCHEMA,
    data_table,
    identifier,
    meta_table,
)

_OBSERVED: tuple[tuple[str, ColumnType], ...] = (
    ("_extra", ColumnType.JSON),
    ("_is_deleted", ColumnType.BOOLEAN),
    ("_deleted_at", ColumnType.TIMESTAMP),
    ("_deleted_reason", ColumnType.TEXT),
    ("_merged_into", ColumnType.INTEGER),
    ("_observed_at", ColumnType.TIMESTAMP),
)
"""What the parser says of a row besides the API's own properties."""

_STORED: tuple[tuple[str, str], ...] = (
    ("_synced_at", "TIMESTAMP"),
    ("_source", "VARCHAR"),
    ("_run_id", "VARCHAR"),
    ("_row_hash", "UBIGINT"),
)
"""What the merge adds to a row, in this order."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"CREATE TABLE {meta_table('account')} (company_id BIGINT, company_name VARCHAR, "
        "company_domain VARCHAR, recorded_at TIMESTAMP)",
        f"CREATE TABLE {meta_table('coverage')} (entity VARCHAR, stream VARCHAR, from_ts TIMESTAMP, "
        "to_ts TIMESTAMP, run_id VARCHAR, recorded_at TIMESTAMP)",
        f"CREATE TABLE {meta_table('positions')} (entity VARCHAR, stream VARCHAR, query_hash VARCHAR, "
        "number BIGINT, token JSON, last_update_time TIMESTAMP, last_id VARCHAR, t0 TIMESTAMP, "
        'catalog_version VARCHAR, "rows" BIGINT, pages BIGINT, finished BOOLEAN, run_id VARCHAR, '
        "recorded_at TIMESTAMP)",
        f"CREATE TABLE {meta_table('quarantine')} (entity VARCHAR, key VARCHAR, column_name VARCHAR, "
        "value VARCHAR, reason VARCHAR, run_id VARCHAR, observed_at TIMESTAMP)",
        f"CREATE TABLE {meta_table('schema_changes')} (entity VARCHAR, kind VARCHAR, name VARCHAR, "
        "detail VARCHAR, run_id VARCHAR, recorded_at TIMESTAMP)",
        f"CREATE TABLE {meta_table('sync_runs')} (entity VARCHAR, run_id VARCHAR, mode VARCHAR, "
        "source VARCHAR, status VARCHAR, reason VARCHAR, since TIMESTAMP, until TIMESTAMP, "
        "started_at TIMESTAMP, finished_at TIMESTAMP, fetched BIGINT, created BIGINT, updated BIGINT, "
        "unchanged BIGINT, stale BIGINT, tombstoned BIGINT, quarantined BIGINT, pages BIGINT, "
        "requests BIGINT, tokens BIGINT, retries BIGINT, seconds DOUBLE, peak_rss_mb DOUBLE, "
        "dry_run BOOLEAN, coverage_before JSON, coverage_after JSON, error_samples JSON, details JSON, "
        "recorded_at TIMESTAMP)",
    ),
    (
        f"CREATE TABLE {meta_table('closed_streams')} (entity VARCHAR, stream VARCHAR, number BIGINT, "
        "closed BOOLEAN, reason VARCHAR, run_id VARCHAR, recorded_at TIMESTAMP)",
    ),
)
"""Statements that lead from each version of ``pipedrive_meta`` to the next; only ever appended to."""

VERSION = len(_MIGRATIONS)


def row_columns(spec: EntitySpec) -> tuple[tuple[str, ColumnType], ...]:
    """Columns of a row as the parser builds it, in the table's order."""
    columns = tuple((column.name, column.type) for column in spec.columns)
    if spec.custom_fields is not None and "custom_fields" not in dict(columns):
        columns += (("custom_fields", ColumnType.JSON),)
    return columns + _OBSERVED


def arrow_schema(spec: EntitySpec) -> pa.Schema:
    """Schema of ``Batch.rows``: JSON columns are text, timestamps naive UTC in microseconds."""
    return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in row_columns(spec)])


def table_columns(spec: EntitySpec) -> tuple[tuple[str, str], ...]:
    """Name and SQL type of each column of ``pipedrive.<entity>``."""
    return tuple((name, SQL_TYPES[kind]) for name, kind in row_columns(spec)) + _STORED


def version_of(connection: duckdb.DuckDBPyConnection, target: str) -> int:
    """Version of the attached warehouse, 0 for one that is empty; a newer one is refused."""
    try:
        row = connection.execute(f"SELECT max(version) FROM {meta_table('version')}").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        return 0
    version = int(row[0] or 0) if row else 0
    if version > VERSION:
        raise PipedriveWarehouseException(
            f"{target} was written by a newer pipedrive-assets (warehouse version {version}, this one knows "
            f"{VERSION}); upgrade the package. Nothing was changed"
        )
    return version


def refuse_strangers(connection: duckdb.DuckDBPyConnection, target: str) -> None:
    """Raise ``PipedriveWarehouseException`` if a database that is no warehouse has tables in our schemas.

    Tables of a user's own in other schemas are welcome. But another loader may call its schema `pipedrive`
    too, and its tables would be taken for ours and altered.
    """
    found = connection.execute(
        """
        SELECT table_schema || '.' || table_name
        FROM information_schema.tables
        WHERE table_catalog = ? AND table_schema IN (?, ?)
        ORDER BY ALL
        """,
        [CATALOG_ALIAS, META_SCHEMA, DATA_SCHEMA],
    ).fetchall()
    if found:
        few = ", ".join(name for (name,) in found[:3])
        raise PipedriveWarehouseException(
            f"{target} has tables that another program made where ours would be ({few}"
            f"{' …' if len(found) > 3 else ''}); nothing was changed. Set PIPEDRIVE_WAREHOUSE to another file"
        )


def migrate(connection: duckdb.DuckDBPyConnection, version: int, now: datetime) -> None:
    """Bring ``pipedrive_meta`` from ``version`` to the newest; to be called in a transaction."""
    if version == 0:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {CATALOG_ALIAS}.{META_SCHEMA}")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {CATALOG_ALIAS}.{DATA_SCHEMA}")
        connection.execute(f"CREATE TABLE {meta_table('version')} (version INTEGER, recorded_at TIMESTAMP)")
    for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"INSERT INTO {meta_table('version')} VALUES (?, ?)", [number, now])


def stored_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """SQL type by column by entity, of every table in ``pipedrive``."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        """
        SELECT table_name, column_name, data_type
        FROM information_schema.columns
        WHERE table_catalog = ? AND table_schema = ?
        ORDER BY table_name, ordinal_position
        """,
        [CATALOG_ALIAS, DATA_SCHEMA],
    ).fetchall():
        tables.setdefault(table, {})[column] = kind
    return tables


def ensure_table(
    connection: duckdb.DuckDBPyConnection, spec: EntitySpec, stored: dict[str, str] | None, now: datetime
) -> None:
    """Create the table of ``spec``, or add the columns the catalog has gained and retype those it changed.

    ``stored`` is the table's entry of ``stored_columns``. A column the catalog has lost stays. Raises
    ``PipedriveWarehouseException`` where stored values do not fit a column's new type.
    """
    table = data_table(spec.name)
    wanted = table_columns(spec)
    if stored is None:
        columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in wanted)
        connection.execute(f"CREATE TABLE {table} ({columns})")
        return
    for name, kind in wanted:
        if name not in stored:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {identifier(name)} {kind}")
            changes.record(connection, spec.name, "column_added", name, kind, run_id="", now=now)
        elif stored[name] != kind:
            try:
                connection.execute(f"ALTER TABLE {table} ALTER {identifier(name)} SET DATA TYPE {kind}")
            except (duckdb.ConversionException, duckdb.CatalogException) as error:
                raise PipedriveWarehouseException(
                    f"{DATA_SCHEMA}.{spec.name}.{name} holds {stored[name]} values that are no {kind}; "
                    "rename the table and sync the entity in full"
                ) from error
            changes.record(
                connection, spec.name, "column_retyped", name, f"{stored[name]} -> {kind}", run_id="", now=now
            )
