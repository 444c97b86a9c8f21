"""Compares a warehouse with the account it copies, value by value, without the product's own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from pipedrive_assets.catalog import spec
from pipedrive_assets.catalog.spec import ColumnType, Computed, CustomFields, EntitySpec
from pipedrive_assets.warehouse.store import Warehouse

HASH = re.compile(r"^[0-9a-f]{40}(_\w+)?$")
ZERO = ("0000-", "-0001-")


def assert_equal_copy(warehouse: Warehouse, expected: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Fail with the first differences unless every entity's live rows are exactly the expected records."""
    for entity, records in expected.items():
        problems = differences(warehouse, entity, records)
        assert not problems, f"{entity}: {len(problems)} differences, e.g. {problems[:5]}"


def differences(warehouse: Warehouse, entity: str, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each record or value of ``entity`` that differs."""
    entity_spec = spec(entity)
    stored = {_key(entity_spec, row): row for row in stored_rows(warehouse, entity)}
    wanted = {_expected_key(entity_spec, record): record for record in records}
    lines = [f"missing {key}" for key in wanted.keys() - stored.keys()]
    lines += [f"not in the account: {key}" for key in stored.keys() - wanted.keys()]
    for key in wanted.keys() & stored.keys():
        lines += [f"{key}.{line}" for line in _row_differences(entity_spec, stored[key], wanted[key])]
    return sorted(lines)


def stored_rows(warehouse: Warehouse, entity: str) -> list[dict[str, Any]]:
    """Rows of an entity's table that are not marked gone."""
    if not warehouse.row_count(entity):
        return []
    table = warehouse.query(
        f"SELECT * FROM pipedrive.\"{entity}\" WHERE coalesce(_deleted_reason, '') <> 'gone'"
    )
    return table.to_pylist()


def _key(entity_spec: EntitySpec, row: Mapping[str, Any]) -> tuple[Any, ...]:
    if _is_hashed(entity_spec):
        columns = [
            column.name for column in entity_spec.columns if column.computed is not Computed.CONTENT_HASH
        ]
        return tuple(_stored(row[name], entity_spec.column(name).type) for name in columns)
    return tuple(row[name] for name in entity_spec.key)


def _expected_key(entity_spec: EntitySpec, record: Mapping[str, Any]) -> tuple[Any, ...]:
    if _is_hashed(entity_spec):
        columns = [column for column in entity_spec.columns if column.computed is not Computed.CONTENT_HASH]
        return tuple(_wanted(record.get(column.name), column.type) for column in columns)
    return tuple(record[name] for name in entity_spec.key)


def _is_hashed(entity_spec: EntitySpec) -> bool:
    return any(column.computed is Computed.CONTENT_HASH for column in entity_spec.columns)


def _row_differences(
    entity_spec: EntitySpec, row: Mapping[str, Any], record: Mapping[str, Any]
) -> Iterable[str]:
    for column in entity_spec.columns:
        if column.computed is Computed.CONTENT_HASH:
            continue
        stored, wanted = _stored(row[column.name], column.type), _wanted(record.get(column.name), column.type)
        if column.computed is Computed.ARCHIVED_STREAM:
            wanted = record.get("archive_time") is not None
        if stored != wanted:
            yield f"{column.name}: stored {stored!r}, account {wanted!r}"
    if entity_spec.custom_fields is not None:
        stored_fields = json.loads(row["custom_fields"] or "{}")
        if stored_fields != _custom_fields(entity_spec, record):
            yield f"custom_fields: stored {stored_fields!r}, account {_custom_fields(entity_spec, record)!r}"
    if row["_extra"] is not None:
        yield f"_extra: {row['_extra']}"


def _custom_fields(entity_spec: EntitySpec, record: Mapping[str, Any]) -> dict[str, Any]:
    if entity_spec.custom_fields is CustomFields.FLAT:
        fields = {key: value for key, value in record.items() if HASH.match(key)}
    else:
        fields = record.get("custom_fields") or {}
    return {key: value for key, value in fields.items() if value is not None}


def _stored(value: Any, kind: ColumnType) -> Any:
    if value is not None and kind is ColumnType.JSON:
        return json.dumps(json.loads(value), sort_keys=True)
    return value


def _wanted(value: Any, kind: ColumnType) -> Any:
    if value is None:
        return None
    match kind:
        case ColumnType.JSON:
            return json.dumps(value, sort_keys=True)
        case ColumnType.TIMESTAMP:
            return None if not value or value.startswith(ZERO) else _moment(value)
        case ColumnType.DATE:
            return None if not value or value.startswith(ZERO) else date.fromisoformat(value)
        case ColumnType.INTEGER:
            return int(value)
        case ColumnType.NUMBER:
            return float(value)
        case ColumnType.BOOLEAN:
            return value in (True, 1, "1", "true")
        case ColumnType.TEXT:
            return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (
        moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    )
