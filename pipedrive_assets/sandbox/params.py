"""Strict checks of query parameters (reference 4, 5.1): unknown names, types, enums, limits, times."""

from __future__ import annotations

import re
from typing import Any

from pipedrive_assets.sandbox.answers import RefusedError, invalid
from pipedrive_assets.sandbox.facts import OperationFacts
from pipedrive_assets.sandbox.times import milliseconds

V2_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

V1_LIMITS = {"/files": 100, "/deals/{id}/files": 100, "/persons/{id}/files": 100, "/callLogs": 50}
"""v1 lists whose ``limit`` above this is refused; the others allow 500 (reference 4.2)."""

LIST_VALUED = frozenset({"ids", "deal_ids", "include_fields", "custom_fields", "status"})


def check(version: str, path: str, operation: OperationFacts, params: dict[str, str]) -> None:
    """Refuse what the operation does not accept.

    v2 refuses unknown parameters; v1 ignores them, as its controllers do.
    """
    for name, value in params.items():
        described = operation.params.get(name)
        if described is None:
            if version == "v2":
                raise invalid(f"Validation failed: {name}: parameter is not allowed")
            continue
        _check_value(version, name, value, described)
    for name, described in operation.params.items():
        if described.get("required") and name not in params:
            raise _bad(version, f"{name}: is required")
    if version == "v1" and "limit" in params and int(params["limit"]) > V1_LIMITS.get(path, 500):
        raise _bad(version, f"limit: must be at most {V1_LIMITS.get(path, 500)}")


def _bad(version: str, message: str) -> RefusedError:
    return invalid(f"Validation failed: {message}") if version == "v2" else RefusedError(400, message)


def _check_value(version: str, name: str, value: str, described: dict[str, Any]) -> None:
    kind, enum = described.get("type"), described.get("enum")
    values = value.split(",") if name in LIST_VALUED or kind == "array" else [value]
    if name == "sort":
        return
    if name in ("updated_since", "updated_until"):
        _check_instant(version, name, value)
    if enum and not set(values) <= {str(each) for each in enum}:
        raise _bad(version, f"{name}: must be one of {', '.join(map(str, enum))}")
    item = described.get("items", {}).get("type", kind) if kind == "array" else kind
    if name in ("ids", "deal_ids"):
        item = "integer"
        if len(values) > 100:
            raise _bad(version, f"{name}: at most 100 ids are allowed")
    if item == "integer" and not all(re.fullmatch(r"-?\d{1,18}", each) for each in values):
        raise _bad(version, f"{name}: must be an integer")
    if item == "boolean" and value not in ("true", "false", *(("0", "1") if version == "v1" else ())):
        raise _bad(version, f"{name}: must be true or false")
    if name == "custom_fields" and len(values) > 15:
        raise _bad(version, "custom_fields: at most 15 keys are allowed")
    if name == "limit" and int(value) < 1:
        raise _bad(version, "limit: must be at least 1")


def _check_instant(version: str, name: str, value: str) -> None:
    if version == "v2" and not V2_INSTANT.fullmatch(value):
        raise invalid(f"Validation failed: {name}: '{value}' is not a valid datetime")
    try:
        milliseconds(value)
    except ValueError as wrong:
        raise _bad(version, f"{name}: '{value}' is not a valid datetime") from wrong


def flag(params: dict[str, str], name: str, *, default: bool = False) -> bool:
    """A boolean parameter."""
    return params[name] in ("true", "1") if name in params else default


def integers(text: str) -> list[int]:
    """The numbers of a comma-separated list."""
    return [int(each) for each in text.split(",") if each]
