"""The least a full copy can cost: every page full, every list read once; from the account's own rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipedrive_assets.catalog import spec
from pipedrive_assets.catalog.price import floor_tokens
from pipedrive_assets.catalog.spec import EntitySpec, PerParent, Variants

Row = dict[str, Any]
RowsOf = Callable[[str], list[Row]]
"""All records of an entity, as the account holds them."""


def lowest_price(rows_of: RowsOf, entities: Iterable[str]) -> int:
    """Tokens for which ``entities`` could be read whole at best."""
    return sum(_entity_floor(rows_of, spec(name)) for name in entities)


def _entity_floor(rows_of: RowsOf, entity: EntitySpec) -> int:
    counts: dict[str, int | list[int]] = {}
    parents = 0
    rows = rows_of(entity.name)
    for stream in entity.streams:
        listed = rows
        if len(entity.streams) > 1:
            listed = [row for row in rows if _is_archived(row) == (stream.name == "archived")]
        match stream.fan:
            case PerParent() as fan:
                batches = _batches(rows_of, fan)
                parents = sum(len(batch) for batch in batches)
                column = str(entity.parent_column)
                counts[stream.name] = [sum(row[column] in batch for row in listed) for batch in batches]
            case Variants(combinations):
                counts[stream.name] = [
                    sum(_matches(row, dict(each)) for row in listed) for each in combinations
                ]
            case None:
                counts[stream.name] = len(listed)
    return floor_tokens(entity, counts, parents=parents)


def _batches(rows_of: RowsOf, fan: PerParent) -> list[set[Any]]:
    counter = fan.only_where_positive
    parents = [row["id"] for row in rows_of(fan.parent) if counter is None or (row[counter] or 0) > 0]
    return [set(parents[start : start + fan.batch]) for start in range(0, len(parents), fan.batch)]


def _is_archived(row: Row) -> bool:
    return bool(row.get("is_archived") or row.get("archive_time"))


def _matches(row: Row, variant: dict[str, str]) -> bool:
    if "folder" in variant:
        return variant["folder"] in row["folders"]
    active = variant["is_active"] == "true"
    return bool(row["type"]["name"] == variant["type.name"] and row["is_active"] == active)
