"""Short constructors for columns and references, so that an entity reads as a table."""

from __future__ import annotations

from pipedrive_assets.catalog.spec import Column, ColumnType, Computed, Reference


def integer(name: str, description: str, *, required: bool = False) -> Column:
    """A 64-bit whole number."""
    return Column(name, ColumnType.INTEGER, description, required)


def number(name: str, description: str) -> Column:
    """A double."""
    return Column(name, ColumnType.NUMBER, description)


def flag(name: str, description: str) -> Column:
    """A boolean; v1 answers it as 0 and 1, too."""
    return Column(name, ColumnType.BOOLEAN, description)


def text(name: str, description: str, *, required: bool = False) -> Column:
    """A string."""
    return Column(name, ColumnType.TEXT, description, required)


def timestamp(name: str, description: str) -> Column:
    """A moment, UTC."""
    return Column(name, ColumnType.TIMESTAMP, description)


def date(name: str, description: str) -> Column:
    """A calendar date without zone."""
    return Column(name, ColumnType.DATE, description)


def json(name: str, description: str) -> Column:
    """An array, an object, or a value whose shape the API does not promise."""
    return Column(name, ColumnType.JSON, description)


def parent_id(name: str, description: str) -> Column:
    """The id of the record below which the row was listed; the row itself does not hold it."""
    return Column(name, ColumnType.INTEGER, description, required=True, computed=Computed.PARENT_ID)


def counts(record: str, **meanings: str) -> tuple[Column, ...]:
    """Counter columns ``<name>_count``, returned only through ``include_fields``, of one kind of record.

    Counters are what the API said when the record was last fetched; whether they move ``update_time`` is
    undocumented (reference section 5.1).
    """
    return tuple(integer(f"{name}_count", f"Number of {what} {record}") for name, what in meanings.items())


def references(**entities: str) -> tuple[Reference, ...]:
    """References from ``column=entity`` pairs."""
    return tuple(Reference(column, entity) for column, entity in entities.items())


def names(columns: tuple[Column, ...]) -> str:
    """The columns' names as one comma-separated query value."""
    return ",".join(column.name for column in columns)
