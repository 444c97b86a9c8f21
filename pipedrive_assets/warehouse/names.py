"""The one place where a name becomes SQL text."""

from __future__ import annotations

from collections.abc import Iterable

CATALOG_ALIAS = "warehouse"
"""Name under which the warehouse is attached; no schema may be called so, else names are ambiguous."""
DATA_SCHEMA = "pipedrive"
META_SCHEMA = "pipedrive_meta"


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier; ``ValueError`` for what no engine can store."""
    if not name or "\0" in name:
        raise ValueError(f"{name!r} cannot be a SQL identifier")
    return '"' + name.replace('"', '""') + '"'


def identifiers(names: Iterable[str], *, prefix: str = "") -> str:
    """``names`` quoted and comma-separated, each behind ``prefix`` (a table alias and its dot)."""
    return ", ".join(prefix + identifier(name) for name in names)


def data_table(entity: str) -> str:
    """Full name of an entity's table."""
    return f"{CATALOG_ALIAS}.{DATA_SCHEMA}.{identifier(entity)}"


def meta_table(name: str) -> str:
    """Full name of a metadata table."""
    return f"{CATALOG_ALIAS}.{META_SCHEMA}.{identifier(name)}"


def literal(text: str) -> str:
    """``text`` as a SQL string literal, for the statements that take no bound parameter (ATTACH, SET)."""
    return "'" + text.replace("'", "''") + "'"
