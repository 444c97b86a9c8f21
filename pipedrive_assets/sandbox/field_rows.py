"""Field definitions as rows, v2 for most entities and v1 for leads and notes (reference 5.3, 6.4)."""

from __future__ import annotations

from typing import Any

from pipedrive_assets.sandbox.builtin_fields import LEAD_FIELDS, NOTE_FIELDS
from pipedrive_assets.sandbox.fields import CustomField, FieldBook

Row = dict[str, Any]

V2_PATHS = {
    "/dealFields": "deal",
    "/personFields": "person",
    "/organizationFields": "organization",
    "/productFields": "product",
    "/projectFields": "project",
    "/activityFields": "activity",
}


def field_rows(book: FieldBook, entity: str) -> list[Row]:
    """Rows of ``deal_fields``, …, ``lead_fields``, ``note_fields``."""
    if entity == "lead_fields":
        return _lead_fields(book)
    if entity == "note_fields":
        return _note_fields()
    return book.definitions(entity.removesuffix("_fields"))


def _lead_row(number: int, key: str, name: str, kind: str, made: CustomField | None) -> Row:
    return {
        "id": number if made else None,
        "key": key,
        "name": name,
        "order_nr": number,
        "field_type": kind,
        "add_time": "2023-01-01 09:00:00",
        "update_time": "2023-01-01 09:00:00" if made else None,
        "last_updated_by_user_id": 1 if made else None,
        "created_by_user_id": 1 if made else None,
        "active_flag": True,
        "edit_flag": made is not None,
        "index_visible_flag": True,
        "details_visible_flag": True,
        "add_visible_flag": True,
        "important_flag": False,
        "bulk_edit_allowed": True,
        "searchable_flag": False,
        "filtering_allowed": True,
        "sortable_flag": True,
        "mandatory_flag": key == "title",
        "options": [{"id": o.id, "label": o.label} for o in made.options] if made and made.options else None,
        "options_deleted": [],
        "is_subfield": False,
        "subfields": [],
    }


def _lead_fields(book: FieldBook) -> list[Row]:
    """Built-in lead fields, then the deal fields that leads inherit."""
    rows = [_lead_row(i, key, name, kind, None) for i, (key, name, kind) in enumerate(LEAD_FIELDS, 1)]
    for made in book.custom["deal"].values():
        rows.append(_lead_row(len(rows) + 1, made.code, made.name, made.type, made))
    return rows


def _note_fields() -> list[Row]:
    return [
        {
            "id": number,
            "key": key,
            "name": name,
            "field_type": kind,
            "active_flag": True,
            "edit_flag": False,
            "bulk_edit_allowed": True,
            "mandatory_flag": key == "content",
            "options": [],
        }
        for number, (key, name, kind) in enumerate(NOTE_FIELDS, 1)
    ]
