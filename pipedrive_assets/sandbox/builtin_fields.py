"""The fields every account has, by entity: (code, name, type) (reference 6.4)."""

from __future__ import annotations

from pipedrive_assets.sandbox.facts import facts

Builtin = tuple[str, str, str]

_TYPES = {
    "id": "int", "owner_id": "user", "creator_user_id": "user", "person_id": "people", "org_id": "org",
    "pipeline_id": "double", "stage_id": "stage", "value": "monetary", "currency": "varchar",
    "add_time": "date", "update_time": "date", "stage_change_time": "date", "archive_time": "date",
    "close_time": "date", "won_time": "date", "lost_time": "date", "expected_close_date": "date",
    "status": "status", "visible_to": "visible_to", "label_ids": "set", "probability": "int",
    "emails": "varchar", "phones": "phone", "address": "address", "postal_address": "address",
    "birthday": "date", "picture_id": "picture", "industry": "enum", "annual_revenue": "double",
    "employee_count": "int", "due_date": "date", "due_time": "time", "duration": "time", "done": "boolean",
    "busy": "boolean", "note": "text", "description": "text", "deal_id": "deal", "lead_id": "lead",
    "project_id": "project", "tax": "double", "billing_frequency": "billing_frequency",
    "prices": "price_list", "board_id": "projects_board", "phase_id": "projects_phase",
    "start_date": "date", "end_date": "date", "deal_ids": "deals",
}  # fmt: skip

_CODES = {
    "deal": (
        "id", "title", "creator_user_id", "owner_id", "value", "currency", "person_id", "org_id", "stage_id",
        "pipeline_id", "add_time", "update_time", "stage_change_time", "status", "probability", "lost_reason",
        "visible_to", "close_time", "won_time", "lost_time", "expected_close_date", "label_ids", "origin",
        "origin_id", "channel", "channel_id", "archive_time", "arr", "mrr", "acv",
    ),
    "person": (
        "id", "name", "first_name", "last_name", "owner_id", "org_id", "add_time", "update_time", "emails",
        "phones", "visible_to", "label_ids", "picture_id", "postal_address", "notes", "im", "birthday",
        "job_title",
    ),
    "organization": (
        "id", "name", "owner_id", "add_time", "update_time", "visible_to", "address", "label_ids", "website",
        "linkedin", "industry", "annual_revenue", "employee_count", "picture_id",
    ),
    "product": (
        "id", "name", "code", "unit", "tax", "visible_to", "owner_id", "add_time", "update_time",
        "description", "category", "billing_frequency", "billing_frequency_cycles", "prices",
    ),
    "project": (
        "id", "title", "description", "status", "board_id", "phase_id", "owner_id", "start_date", "end_date",
        "deal_ids", "label_ids", "add_time", "update_time", "archive_time",
    ),
    "activity": (
        "id", "subject", "type", "owner_id", "creator_user_id", "add_time", "update_time", "deal_id",
        "lead_id", "person_id", "org_id", "project_id", "due_date", "due_time", "duration", "busy", "done",
        "marked_as_done_time", "location", "public_description", "priority", "note",
    ),
}  # fmt: skip

_LISTS = {"deal": "/deals", "person": "/persons", "organization": "/organizations", "activity": "/activities"}

OPTIONAL: dict[str, tuple[str, ...]] = {
    entity: facts("GET", "v2", path).optional_fields for entity, path in _LISTS.items()
}
"""Fields whose values come only when ``include_fields`` names them."""


def _builtin(code: str) -> Builtin:
    kind = _TYPES.get(code) or ("int" if code.endswith(("_count", "_activity_id")) else "varchar")
    return code, code.replace("_", " ").capitalize(), "date" if code.endswith("_mail_time") else kind


BUILTIN: dict[str, tuple[Builtin, ...]] = {
    entity: tuple(_builtin(code) for code in (*codes, *OPTIONAL.get(entity, ())))
    for entity, codes in _CODES.items()
}

LEAD_FIELDS: tuple[Builtin, ...] = (
    ("title", "Title", "varchar"),
    ("value", "Value", "monetary"),
    ("owner_id", "Owner", "user"),
    ("person_id", "Contact person", "people"),
    ("organization_id", "Organization", "org"),
    ("label_ids", "Labels", "set"),
    ("expected_close_date", "Expected close date", "date"),
    ("source_name", "Source", "varchar"),
    ("visible_to", "Visible to", "visible_to"),
)

NOTE_FIELDS: tuple[Builtin, ...] = (
    ("content", "Content", "text"),
    ("deal_id", "Deal", "double"),
    ("person_id", "Person", "people"),
    ("org_id", "Organization", "org"),
    ("user_id", "User", "user"),
    ("add_time", "Add time", "date"),
)
