"""Pages of a list: v2 keyset cursors and v1 offsets (reference 4)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from pipedrive_assets.sandbox.answers import RefusedError, invalid
from pipedrive_assets.sandbox.shown import Entry

DEFAULT_LIMIT = 100
MAX_LIMIT = 500


def encode_cursor(field: str, value: Any, *, descending: bool, n: int) -> str:
    """The marker of the first item of the next page, as base64url JSON."""
    content = {
        "field": field,
        "fieldValue": value,
        "sortDirection": "desc" if descending else "asc",
        "id": n,
    }
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


def decode_cursor(cursor: str, field: str, *, descending: bool) -> tuple[Any, int]:
    """Sort value and number of the first item; 400 for anything that ``encode_cursor`` did not make."""
    try:
        content = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value, n = content["fieldValue"], content["id"]
        same = content["field"] == field and content["sortDirection"] == ("desc" if descending else "asc")
    except (binascii.Error, ValueError, KeyError, TypeError) as wrong:
        raise invalid("Validation failed: cursor: is invalid") from wrong
    if not same or not isinstance(n, int):
        raise invalid("Validation failed: cursor: does not fit this sorting")
    return value, n


def locate(entries: list[Entry], target: Entry, *, descending: bool) -> int:
    """Index of the first entry at or after ``target`` in the list's direction."""
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        before = entries[middle] > target if descending else entries[middle] < target
        low, high = (middle + 1, high) if before else (low, middle)
    return low


def list_limit(params: dict[str, str]) -> int:
    """``limit`` of a v2 list; more than 500 is clamped (reference 10, question 7)."""
    return min(int(params.get("limit", DEFAULT_LIMIT)), MAX_LIMIT)


def offset_page(params: dict[str, str], total: int, default: int) -> tuple[int, int, dict[str, Any]]:
    """First and last index of a v1 page, and its ``additional_data``."""
    start, limit = int(params.get("start", 0)), int(params.get("limit", default))
    if start < 0:
        raise RefusedError(400, "start: must not be negative")
    more = start + limit < total
    pagination: dict[str, Any] = {"start": start, "limit": limit, "more_items_in_collection": more}
    if more:
        pagination["next_start"] = start + limit
    return start, start + limit, {"pagination": pagination}
