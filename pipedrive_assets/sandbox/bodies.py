"""Strict checks of write bodies (reference 8.2): v2 coerces nothing and refuses what it does not know."""

from __future__ import annotations

import re
from typing import Any

from pipedrive_assets.sandbox.answers import RefusedError, invalid
from pipedrive_assets.sandbox.fields import CustomField, FieldBook

Row = dict[str, Any]

HASH = re.compile(r"[0-9a-f]{40}")
DATE = re.compile(r"\d{4}-\d\d-\d\d")

_CHECKS = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


def check_body(version: str, body: Any, schema: Row, *, create: bool) -> None:
    """Refuse a body that does not fit the operation's schema.

    ``null`` clears any field (reference 8.2). v1 ignores unknown keys; leads carry custom fields there.
    """
    if schema.get("type") == "array":
        if not isinstance(body, list) or not body:
            raise _bad(version, "body: must be a list")
        for each in body:
            _check(version, "body", each, schema.get("items", {}))
        return
    if not isinstance(body, dict):
        raise _bad(version, "body: must be an object")
    if "id" in body and "id" not in schema.get("properties", {}):
        raise _bad(version, "id: Inserting ID with POST request is not allowed")
    if create:
        for name in schema.get("required", ()):
            if body.get(name) is None:
                raise _bad(version, f"{name}: is required")
    _check(version, "", body, {**schema, "required": []})


def _bad(version: str, message: str) -> RefusedError:
    return invalid(f"Validation failed: {message}") if version == "v2" else RefusedError(400, message)


def _check(version: str, where: str, value: Any, schema: Row) -> None:
    if value is None or "any" in schema:
        return
    kind = schema.get("type")
    if kind in _CHECKS and not _CHECKS[kind](value):
        raise _bad(version, f"{where}: must be of type {kind}")
    if schema.get("enum") and value not in schema["enum"]:
        raise _bad(version, f"{where}: must be one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, str):
        _check_text(version, where, value, schema)
    if kind == "array":
        if len(value) > schema.get("maxItems", len(value)):
            raise _bad(version, f"{where}: has too many items")
        for each in value:
            _check(version, where, each, schema.get("items", {}))
    if kind == "object" and schema.get("properties"):
        _check_members(version, where, value, schema)


def _check_text(version: str, where: str, value: str, schema: Row) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        raise _bad(version, f"{where}: length is not allowed")
    if schema.get("format") == "date" and not DATE.fullmatch(value):
        raise _bad(version, f"{where}: must be a date")


def _check_members(version: str, where: str, value: Row, schema: Row) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise _bad(version, f"{where}.{name}: is required")
    for name, each in value.items():
        described = schema["properties"].get(name)
        if described is not None:
            _check(version, f"{where}.{name}".lstrip("."), each, described)
        elif version == "v2" and not schema.get("free"):
            raise _bad(version, f"{name}: is not allowed")


def check_custom(book: FieldBook, entity: str, values: Row) -> None:
    """Refuse unknown custom fields and values of the wrong type; the message names the field's code."""
    for code, value in values.items():
        made = book.custom[entity].get(code)
        if made is None:
            raise invalid(f"Validation failed: custom_fields.{code}: unknown field")
        if value is not None and not _fits(made, value):
            raise invalid(f"Validation failed: custom_fields.{code}: invalid value for a {made.type} field")


def _fits(made: CustomField, value: Any) -> bool:
    known = {option.id for option in made.options}
    match made.type:
        case "double":
            return _CHECKS["number"](value)
        case "enum":
            return value in known and _CHECKS["integer"](value)
        case "set":
            return isinstance(value, list) and bool(value) and set(value) <= known
        case "user" | "people" | "org":
            return _CHECKS["integer"](value)
        case "date":
            return isinstance(value, str) and bool(DATE.fullmatch(value))
        case "monetary" | "daterange" | "time" | "timerange" | "address":
            return isinstance(value, dict) and "value" in value
        case "varchar" | "varchar_auto":
            return isinstance(value, str) and len(value) <= 255
        case _:
            return isinstance(value, str)


def complete_custom(book: FieldBook, entity: str, values: Row) -> Row:
    """Custom values as they read back: an address names all its parts, those left out are null."""
    parts = (
        "country", "admin_area_level_1", "admin_area_level_2", "locality", "sublocality", "route",
        "street_number", "subpremise", "postal_code",
    )  # fmt: skip
    out = dict(values)
    for code, value in values.items():
        if isinstance(value, dict) and book.custom[entity][code].type == "address":
            out[code] = {**dict.fromkeys(parts), "formatted_address": value["value"], **value}
    return out
