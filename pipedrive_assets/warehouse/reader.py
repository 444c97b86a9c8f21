"""Reading: the questions other rooms ask of the tables, and the one statement a user may run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import duckdb
import pyarrow as pa

from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse.moments import to_sql
from pipedrive_assets.warehouse.names import CATALOG_ALIAS, data_table, identifier, identifiers

_EXPLAIN = re.compile(
    r"""
    (?: \s | --[^\n]*\n | /\*.*?\*/ )*
    EXPLAIN \b (?P<analyze> \s+ANALYZE\b )? \s* (?P<options> \([\w\s,]*\) )?
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ACTING = frozenset(
    {
        "checkpoint",
        "disable_logging",
        "disable_profiling",
        "enable_logging",
        "enable_profiling",
        "force_checkpoint",
        "json_execute_serialized_sql",
        "query",
        "truncate_duckdb_logs",
        "write_log",
    }
)
"""Functions a SELECT can call that write files, change settings, or run a text as SQL unseen."""


def has_table(connection: duckdb.DuckDBPyConnection, entity: str) -> bool:
    """Whether the entity was ever synced into this warehouse."""
    try:
        connection.execute(f"SELECT 1 FROM {data_table(entity)} LIMIT 0")
    except duckdb.CatalogException:
        return False
    return True


def row_count(connection: duckdb.DuckDBPyConnection, entity: str) -> int:
    """Rows of the entity's table, tombstones included."""
    return _number(connection, f"SELECT count(*) FROM {data_table(entity)}")


def parent_ids(
    connection: duckdb.DuckDBPyConnection,
    parent: EntitySpec,
    *,
    since: datetime | None,
    until: datetime | None,
    positive_column: str | None,
    children: tuple[str, str] | None,
) -> list[int | str]:
    """Sorted keys of the parents that last changed in ``[since, until)``; see ``Warehouse.parent_ids``."""
    conditions = ["_is_deleted IS NOT TRUE"]
    values: list[object] = []
    if parent.update_column is not None:
        changed_at = f"CAST({identifier(parent.update_column)} AS TIMESTAMP)"
        if since is not None:
            conditions.append(f"{changed_at} >= ?")
            values.append(to_sql(since))
        if until is not None:
            # A time that was never set belongs to the part that is open to the past.
            unset = f" OR {changed_at} IS NULL" if since is None else ""
            conditions.append(f"({changed_at} < ?{unset})")
            values.append(to_sql(until))
    (key,) = parent.key
    if positive_column is not None:
        # A counter that was not sent says nothing about the children.
        nonzero = f"{identifier(positive_column)} IS DISTINCT FROM 0"
        if children is not None:
            child, column = data_table(children[0]), identifier(children[1])
            nonzero += (
                f" OR {identifier(key)} IN (SELECT {column} FROM {child} WHERE _is_deleted IS NOT TRUE)"
            )
        conditions.append(f"({nonzero})")
    found = connection.execute(
        f"""
        SELECT {identifier(key)}
        FROM {data_table(parent.name)}
        WHERE {" AND ".join(conditions)}
        ORDER BY 1
        """,
        values,
    ).fetchall()
    return [row[0] for row in found]


def query(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object]) -> pa.Table:
    """Run one reading statement; the warehouse is its default catalog, so ``pipedrive.deals`` is found.

    EXPLAIN counts only before a statement that reads: ``EXPLAIN ANALYZE COPY`` would write its file. Files
    may be read (``read_csv``), not written.
    """
    explain = _EXPLAIN.match(sql)
    reading = sql[explain.end() :] if explain else sql
    _check_reads(connection, reading)
    if explain:  # put together anew, so that what was checked is what is explained
        sql = f"EXPLAIN{explain['analyze'] or ''} {explain['options'] or ''} {reading}"
    connection.execute(f"USE {CATALOG_ALIAS}")
    return connection.execute(sql, parameters).to_arrow_table()


def _check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    # Only SELECT has a serialized form, and the text is parsed without being run. DuckDB's own
    # extract_statements() opens the files of PRAGMA import_database to tell what it is.
    row = connection.execute(
        """
        SELECT
            tree ->> '$.error_type',
            tree ->> '$.error_message',
            json_array_length(tree, '$.statements'),
            list_distinct(tree ->> '$..function_name')
        FROM (SELECT json_serialize_sql(?) AS tree)
        """,
        [sql],
    ).fetchone()
    problem, message, statements, functions = row or (None, None, 0, ())
    if problem == "parser":
        raise PipedriveWarehouseException(" ".join(message.split()))
    if problem is not None or statements != 1:
        raise PipedriveWarehouseException(
            "give one statement that reads (SELECT, FROM, WITH, DESCRIBE, SUMMARIZE, SHOW, or EXPLAIN of one)"
        )
    acting = sorted(_ACTING.intersection(name.lower() for name in functions))
    if acting:
        raise PipedriveWarehouseException(f"a query only reads: {', '.join(acting)}() is not open to it")


def preview(connection: duckdb.DuckDBPyConnection, entity: str, rows: int) -> pa.Table:
    """The ``rows`` rows of the entity that came in last."""
    return connection.execute(
        f"SELECT * EXCLUDE (_row_hash) FROM {data_table(entity)} ORDER BY _synced_at DESC, 1 LIMIT ?", [rows]
    ).to_arrow_table()


def duplicate_keys(connection: duckdb.DuckDBPyConnection, spec: EntitySpec) -> int:
    """How many keys have more than one row; more than zero is a defect of ours."""
    key = identifiers(spec.key)
    return _number(
        connection,
        f"""
        SELECT count(*)
        FROM (SELECT 1 FROM {data_table(spec.name)} GROUP BY {key} HAVING count(*) > 1)
        """,
    )


def null_counts(connection: duckdb.DuckDBPyConnection, entity: str, columns: Sequence[str]) -> dict[str, int]:
    """NULLs by column, among the rows that are not deleted."""
    if not columns:
        return {}
    counts = ", ".join(f"count(*) - count({identifier(name)})" for name in columns)
    row = connection.execute(
        f"SELECT {counts} FROM {data_table(entity)} WHERE _is_deleted IS NOT TRUE"
    ).fetchone()
    return dict(zip(columns, row or (0,) * len(columns), strict=True))


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
