"""From a page of the API to rows of the warehouse: typed columns, custom fields, leftovers, tombstone marks.

Every caller parses here (specification: one parsing service). Nothing is lost on the way: a key the
catalog does not know and a value its column cannot hold are kept in ``_extra``, a row without a usable
key goes to the quarantine whole, and neither stops a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson
import pyarrow as pa

from pipedrive_assets.catalog.spec import Column, ColumnType, Computed, CustomFields, EntitySpec, Stream
from pipedrive_assets.sync.values import INT64_MAX, json_text, parse_timestamp, to_array
from pipedrive_assets.warehouse.batch import QuarantinedValue
from pipedrive_assets.warehouse.column_types import ARROW_TYPES
from pipedrive_assets.warehouse.schema import arrow_schema

CUSTOM_FIELD_KEY = re.compile(r"^[0-9a-f]{40}(?:_[a-z0-9_]+)?$")
"""A custom field's hash, or a v1 part of it such as ``<hash>_currency`` (reference section 6.3)."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page's rows share: where and when they were read.

    ``observed_at`` is the server's time before the request (aware UTC). ``parent_id`` is the record below
    which the list was read, where the list does not name it itself.
    """

    stream: Stream
    observed_at: datetime
    parent_id: int | str | None = None


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """One page as rows of the entity's table.

    ``newest`` is the latest ``update_time`` in it (aware UTC), ``last_id`` the key of its last row
    as text, ``unknown_keys`` the properties that the catalog does not name.
    """

    rows: pa.Table
    quarantine: tuple[QuarantinedValue, ...]
    newest: datetime | None
    last_id: str | None
    unknown_keys: frozenset[str]


@dataclass(slots=True)
class _Leftovers:
    """Values of a page that have no column of their own, by row."""

    by_row: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, index: int, key: str, value: Any) -> None:
        self.by_row.setdefault(index, {})[key] = value

    def column(self, length: int) -> pa.Array[Any]:
        texts: list[str | None] = [None] * length
        for index, leftovers in self.by_row.items():
            texts[index] = json_text(leftovers)
        return pa.array(texts, pa.string())


class PipedriveParsingService:
    """Parses the rows of one entity."""

    def __init__(self, spec: EntitySpec) -> None:
        self.spec = spec
        self.schema: pa.Schema = arrow_schema(spec)
        self._plain = tuple(column for column in spec.columns if column.computed is None)
        self._computed = tuple(column for column in spec.columns if column.computed is not None)
        known = {column.name for column in spec.columns} | set(spec.redacted)
        if spec.custom_fields is CustomFields.NESTED:
            known.add("custom_fields")
        self._known = frozenset(known)

    def parse(self, records: Sequence[Any], facts: PageFacts) -> ParsedPage:
        """Parse one page of records (JSON objects as the API sent them)."""
        quarantine: list[QuarantinedValue] = []
        rows = self._usable(records, facts, quarantine)
        leftovers = _Leftovers()
        arrays: dict[str, pa.Array[Any]] = {}
        keys = [self._key_text(row, facts) for row in rows]
        for column in self._plain:
            array, misfits = to_array([row.get(column.name) for row in rows], column.type)
            arrays[column.name] = array
            for misfit in misfits:
                leftovers.add(misfit.index, column.name, misfit.value)
                value = json_text(misfit.value)
                quarantine.append(
                    QuarantinedValue(keys[misfit.index], column.name, value, misfit.reason, facts.observed_at)
                )
        for column in self._computed:
            arrays[column.name] = self._compute(column, rows, facts)
        if self.spec.custom_fields is not None:
            arrays["custom_fields"] = self._custom_fields(rows, leftovers)
        unknown = self._collect_unknown(rows, leftovers)
        arrays["_extra"] = leftovers.column(len(rows))
        self._add_marks(arrays, rows, facts)
        table = pa.table([arrays[name] for name in self.schema.names], schema=self.schema)
        return ParsedPage(table, tuple(quarantine), self._newest(rows), keys[-1] if keys else None, unknown)

    def update_time(self, record: Mapping[str, Any]) -> datetime | None:
        """When ``record`` last changed by its own word (aware UTC), or None if it does not say."""
        name = self.spec.update_column
        value = record.get(name) if name is not None else None
        if not isinstance(value, str):
            return None
        try:
            moment = parse_timestamp(value)
        except ValueError:
            return None
        return None if moment is None else moment.replace(tzinfo=UTC)

    def _usable(
        self, records: Sequence[Any], facts: PageFacts, quarantine: list[QuarantinedValue]
    ) -> list[dict[str, Any]]:
        """Rows with a key their columns can hold; the others go to the quarantine whole."""
        usable: list[dict[str, Any]] = []
        key_columns = [self.spec.column(name) for name in self.spec.key]
        for record in records:
            problem = _key_problem(record, key_columns)
            if problem is None:
                usable.append(record)
            else:
                value = json_text(self._without_secrets(record))
                quarantine.append(QuarantinedValue("", "*", value, problem, facts.observed_at))
        return usable

    def _without_secrets(self, record: Any) -> Any:
        if isinstance(record, dict) and self.spec.redacted:
            return {key: value for key, value in record.items() if key not in self.spec.redacted}
        return record

    def _key_text(self, row: Mapping[str, Any], facts: PageFacts) -> str:
        parts: list[str] = []
        for name in self.spec.key:
            match self.spec.column(name).computed:
                case Computed.PARENT_ID:
                    parts.append(str(facts.parent_id))
                case Computed.CONTENT_HASH:
                    parts.append(_content_hash(row, facts.parent_id))
                case _:
                    parts.append(str(row[name]))
        return "/".join(parts)

    def _compute(self, column: Column, rows: Sequence[Mapping[str, Any]], facts: PageFacts) -> pa.Array[Any]:
        values: list[Any]
        match column.computed:
            case Computed.PARENT_ID:
                values = [facts.parent_id] * len(rows)
            case Computed.CONTENT_HASH:
                values = [_content_hash(row, facts.parent_id) for row in rows]
            case _:
                values = [facts.stream.name == "archived"] * len(rows)
        return pa.array(values, ARROW_TYPES[column.type])

    def _custom_fields(self, rows: Sequence[Mapping[str, Any]], leftovers: _Leftovers) -> pa.Array[Any]:
        """Custom fields as JSON by hash; an unset one is left out, whether null or absent."""
        texts: list[str | None] = []
        for index, row in enumerate(rows):
            if self.spec.custom_fields is CustomFields.FLAT:
                fields: Any = {k: v for k, v in row.items() if CUSTOM_FIELD_KEY.match(k)}
            else:
                fields = row.get("custom_fields")
            if fields is None:
                texts.append(None)
            elif isinstance(fields, dict):
                texts.append(json_text({key: value for key, value in fields.items() if value is not None}))
            else:
                texts.append(None)
                leftovers.add(index, "custom_fields", fields)
        return pa.array(texts, pa.string())

    def _collect_unknown(self, rows: Sequence[Mapping[str, Any]], leftovers: _Leftovers) -> frozenset[str]:
        unknown = frozenset().union(*rows) - self._known
        if self.spec.custom_fields is CustomFields.FLAT:
            unknown = frozenset(key for key in unknown if not CUSTOM_FIELD_KEY.match(key))
        if unknown:
            for index, row in enumerate(rows):
                for key in unknown & row.keys():
                    leftovers.add(index, key, row[key])
        return unknown

    def _add_marks(
        self, arrays: dict[str, pa.Array[Any]], rows: Sequence[Mapping[str, Any]], facts: PageFacts
    ) -> None:
        """Bookkeeping columns; a record that calls itself deleted is a tombstone (reference section 5.2)."""
        count = len(rows)
        deleted = [row.get("is_deleted") is True or row.get("status") == "deleted" for row in rows]
        moments = [self.update_time(row) if gone else None for row, gone in zip(rows, deleted, strict=True)]
        arrays["_is_deleted"] = pa.array(deleted, pa.bool_())
        arrays["_deleted_at"] = pa.array([m and m.replace(tzinfo=None) for m in moments], pa.timestamp("us"))
        arrays["_deleted_reason"] = pa.array(["deleted" if gone else None for gone in deleted], pa.string())
        arrays["_merged_into"] = pa.nulls(count, self.schema.field("_merged_into").type)
        observed = facts.observed_at.astimezone(UTC).replace(tzinfo=None)
        arrays["_observed_at"] = pa.array([observed] * count, pa.timestamp("us"))

    def _newest(self, rows: Sequence[Mapping[str, Any]]) -> datetime | None:
        moments = [moment for row in rows if (moment := self.update_time(row)) is not None]
        return max(moments, default=None)


def _key_problem(record: Any, key_columns: Sequence[Column]) -> str | None:
    if not isinstance(record, dict):
        return "the row is not a JSON object"
    for column in key_columns:
        if column.computed is not None:
            continue
        value = record.get(column.name)
        expected: type = int if column.type is ColumnType.INTEGER else str
        if isinstance(value, bool) or not isinstance(value, expected) or value == "":
            return f"the row has no usable key {column.name!r}"
        if isinstance(value, int) and abs(value) > INT64_MAX:
            return f"the key {column.name!r} is outside the 64-bit range"
    return None


def _content_hash(row: Mapping[str, Any], parent_id: int | str | None) -> str:
    body = orjson.dumps([parent_id, row], option=orjson.OPT_SORT_KEYS)
    return blake2b(body, digest_size=16).hexdigest()
