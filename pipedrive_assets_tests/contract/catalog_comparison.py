"""Compares an entity of the catalog with the official contract, and says in words where they differ.

What the OpenAPI files leave out (page maxima, sort fields of some v1 lists, properties seen live only) stands
here as facts of the API reference, so that the catalog is never compared with itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipedrive_assets.catalog.spec import (
    Column,
    ColumnType,
    Computed,
    EntitySpec,
    Incremental,
    Paging,
    PerParent,
    Stream,
    Variants,
)
from pipedrive_assets_tests.contract.contract import Operation, operation

PAGE_MAX = 500
PAGE_MAX_BY_PATH = {"/files": 100, "/callLogs": 50, "/mailbox/mailThreads": 50}
"""Reference section 4.2."""

SORT_FIELDS_BY_PATH = {
    "/notes": ("id", "user_id", "deal_id", "person_id", "org_id", "content", "add_time", "update_time"),
    "/files": ("id", "update_time"),
}
"""Named in the text of the ``sort`` parameter only."""

COMMA_LISTS = {("/deals", "status"), ("/deals/archived", "status"), ("/projects", "status")}

UNSPECIFIED = {
    "activities": {"outcome": "integer"},
    "organizations": {"picture_id": "integer"},
    "organization_fields": {"description": "string"},
    "product_fields": {"description": "string"},
    "project_fields": {"description": "string"},
}
"""Properties in neither schema nor example of the operation (reference sections 6.1 and 6.4)."""

NUMERIC_TEXT = {
    ("leads", "visible_to"),
    ("filters", "visible_to"),
    ("call_logs", "duration"),
    ("roles", "assignment_count"),
    ("roles", "sub_role_count"),
    ("note_comments", "object_id"),
}
"""Whole numbers that the contract declares as strings."""

FLAG_TEXT = {("organization_relationships", "active_flag")}
"""Booleans that the contract declares as strings."""

TIME_NAME = re.compile(r"(_time|_timestamp|_at)$|^(time|created|modified|last_login)$")
TIME_OF_DAY = {"due_time"}
DATE_NAME = re.compile(r"_date$|^birthday$")
INCREMENTAL_PARAMS = {
    Incremental.WINDOW: {"updated_since", "updated_until"},
    Incremental.SINCE: {"updated_since"},
    Incremental.SORT_STOP: set(),
    Incremental.NONE: set(),
}
PAGING_PARAMS = {Paging.CURSOR: {"cursor", "limit"}, Paging.OFFSET: {"start", "limit"}, Paging.NONE: set()}


def differences(spec: EntitySpec) -> list[str]:
    """Every way in which ``spec`` differs from the contract; empty when it agrees."""
    found: list[str] = []
    for stream in spec.streams:
        try:
            op = operation("GET", stream.version, stream.path)
        except KeyError:
            found.append(f"{stream.name}: no GET {stream.version}{stream.path}")
            continue
        found.extend(f"{stream.name}: {text}" for text in _stream_differences(spec, stream, op))
        found.extend(f"{stream.name}: {text}" for text in _column_differences(spec, stream, op))
    return found


def _stream_differences(spec: EntitySpec, stream: Stream, op: Operation) -> Iterator[str]:
    if stream.token_cost != op.cost:
        yield f"costs {op.cost} tokens, not {stream.token_cost}"
    if op.deprecated != (spec.name == "legacy_teams"):
        yield f"deprecated: {op.deprecated}"
    if stream.paging != op.paging:
        yield f"pages by {op.paging}, not by {stream.paging}"
    page_max = 0 if op.paging == "none" else PAGE_MAX_BY_PATH.get(stream.path, PAGE_MAX)
    if stream.page_max != page_max:
        yield f"takes {page_max} rows a page, not {stream.page_max}"
    rows_path = ["data", *([stream.rows_key] if stream.rows_key else [])]
    if op.rows_path != rows_path:
        yield f"holds its rows in {op.rows_path}, not in {rows_path}"
    if sorted(stream.sort_fields) != sorted(_sort_fields(op)):
        yield f"can be sorted by {_sort_fields(op)}, not by {stream.sort_fields}"
    if stream.incremental is Incremental.SORT_STOP and "update_time" not in stream.sort_fields:
        yield "cannot be sorted by update_time"
    filters = {"updated_since", "updated_until"} & set(op.params)
    if filters != INCREMENTAL_PARAMS[stream.incremental]:
        yield f"takes the time filters {sorted(filters)}, which is not {stream.incremental}"
    yield from _parameter_differences(stream, op)


def _sort_fields(op: Operation) -> tuple[str, ...]:
    parameter = op.params.get("sort_by") or op.params.get("sort") or {}
    return tuple(parameter.get("enum") or SORT_FIELDS_BY_PATH.get(op.path, ()))


def _parameter_differences(stream: Stream, op: Operation) -> Iterator[str]:
    sent = set(PAGING_PARAMS[stream.paging])
    pairs = list(stream.params)
    if isinstance(stream.fan, Variants):
        pairs += [pair for combination in stream.fan.combinations for pair in combination]
    if isinstance(stream.fan, PerParent):
        in_path = stream.fan.parameter in stream.path
        sent |= set() if in_path else {stream.fan.parameter}
        schema = op.params.get(stream.fan.parameter, {})
        if stream.fan.batch > 1 and schema.get("type") != "array":
            yield f"{stream.fan.parameter} takes one id at a time"
    for name, value in pairs:
        sent.add(name)
        yield from _value_differences(name, value, op)
    needed = {
        name for name, schema in op.params.items() if schema.get("required") and "{" + name not in op.path
    }
    if missing := needed - sent:
        yield f"needs the parameters {sorted(missing)}"
    if unknown := sent - set(op.params):
        yield f"takes no parameters {sorted(unknown)}"
    asked = set(dict(stream.params).get("include_fields", "").split(",")) - {""}
    offered = {value for values in op.include_fields for value in values.split(",")}
    if asked != offered:
        yield f"offers include_fields {sorted(offered)}, asked for {sorted(asked)}"
    if refused := set(stream.optional_fields) - offered:
        yield f"offers no fields {sorted(refused)}"


def _value_differences(name: str, value: str, op: Operation) -> Iterator[str]:
    schema = op.params.get(name, {})
    allowed = schema.get("enum")
    if schema.get("type") == "boolean":
        allowed = ["true", "false"]
    if name == "include_fields" or not allowed:
        return
    values = value.split(",") if (op.path, name) in COMMA_LISTS else [value]
    for one in values:
        if one not in allowed:
            yield f"{name} does not take {one!r}"


def _column_differences(spec: EntitySpec, stream: Stream, op: Operation) -> Iterator[str]:
    schemas: dict[str, dict[str, Any]] = {name: {} for name in op.example_properties}
    schemas |= {name: {"type": kind} for name, kind in UNSPECIFIED.get(spec.name, {}).items()}
    schemas |= {name: {} for values in op.include_fields for name in values.split(",")}
    schemas |= op.properties
    has_custom_fields = schemas.pop("custom_fields", None) is not None
    if has_custom_fields and spec.custom_fields is None:
        yield "has custom fields"
    columns = {column.name: column for column in spec.columns if column.computed is None}
    for name in sorted(set(schemas) - set(columns) - set(spec.redacted)):
        yield f"has a property {name} that no column holds"
    for name in sorted(set(columns) - set(schemas)):
        yield f"has no property {name}"
    for name in sorted(set(spec.redacted) - set(schemas)):
        yield f"has no property {name} to redact"
    for name in sorted(set(columns) & set(schemas)):
        if columns[name].type not in _types(spec, columns[name], schemas[name]):
            yield f"{name} is {schemas[name]}, which is no {columns[name].type.name}"
    for column in spec.columns:
        if column.computed is Computed.PARENT_ID and column.name in schemas:
            yield f"{column.name} is a property, and needs no computing"


def _types(spec: EntitySpec, column: Column, schema: dict[str, Any]) -> set[ColumnType]:
    """Types that hold every value the schema allows without loss."""
    name, kind = column.name, schema.get("type")
    if TIME_NAME.search(name) and name not in TIME_OF_DAY and kind in (None, "string"):
        return {ColumnType.TIMESTAMP}
    if DATE_NAME.search(name) and kind in (None, "string"):
        return {ColumnType.DATE}
    if kind is None:
        if "any" in schema:
            return {ColumnType.JSON}
        # Known by name only, from an example or from include_fields.
        whole = re.search(r"(_count|_id)$", name) and name != "source_lead_id"
        return {ColumnType.INTEGER} if whole else {ColumnType.TEXT, ColumnType.BOOLEAN, ColumnType.JSON}
    if kind == "string":
        if (spec.name, name) in NUMERIC_TEXT:
            return {ColumnType.INTEGER}
        return {ColumnType.BOOLEAN} if (spec.name, name) in FLAG_TEXT else {ColumnType.TEXT}
    if kind == "number":
        if schema.get("enum") == [0, 1] or name.endswith("_flag"):
            return {ColumnType.BOOLEAN}
        counts = schema.get("enum") or name == "version"
        return {ColumnType.INTEGER} if counts else {ColumnType.NUMBER}
    return {
        "integer": {ColumnType.INTEGER},
        "boolean": {ColumnType.BOOLEAN},
        "array": {ColumnType.JSON},
        "object": {ColumnType.JSON},
    }[kind]
