"""How records are born, change and end: stamps, defaults, and what follows from a change.

One table per question, keyed by entity name (reference 5.2, 6.1, 8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipedrive_assets.sandbox import times
from pipedrive_assets.sandbox.collection import DELETED, GONE, LIVE

Row = dict[str, Any]
Stamp = Callable[[int | None], str | None]

ISO_STAMPED = frozenset(
    {"leads", "lead_labels", "note_comments", "boards", "phases", "project_templates", "projects", "tasks",
     "mail_threads", "mail_messages", "activity_types", "webhooks", "call_logs"}
)  # fmt: skip
V1_STAMPED = frozenset(
    {"notes", "files", "filters", "users", "legacy_teams", "organization_relationships", "deal_participants"}
)

CREATED = {"users": "created", "deal_discounts": "created_at", "deal_changelog": "time"}
CHANGED = {"users": "modified", "deal_discounts": "updated_at"}

CUSTOM = {
    "deals": "deal", "persons": "person", "organizations": "organization", "products": "product",
    "projects": "project",
}  # fmt: skip
"""Entities with nested custom fields, and the name of their field definitions."""

SOFT_DELETED = frozenset(
    {"deals", "persons", "organizations", "activities", "products", "pipelines", "stages"}
)

CHILDREN = {
    "deals": ("deal_products", "deal_installments", "deal_discounts", "deal_followers", "deal_participants",
              "deal_changelog"),
    "persons": ("person_followers", "person_changelog"),
    "organizations": ("organization_followers", "organization_changelog", "organization_relationships"),
    "products": ("product_followers", "product_variations"),
    "notes": ("note_comments",),
    "mail_threads": ("mail_messages",),
    "boards": ("phases",),
}  # fmt: skip

PARENT_KEYS = {
    "deal_followers": "deal_id", "person_followers": "person_id", "organization_followers": "org_id",
    "product_followers": "product_id", "deal_changelog": "deal_id", "person_changelog": "person_id",
    "organization_changelog": "org_id", "deal_participants": "deal_id", "note_comments": "note_id",
}  # fmt: skip
"""Name under which a record's parent is spoken of, where the API's record does not name it itself."""

DEFAULTS: dict[str, Row] = {
    "deals": {"title": "Deal", "status": "open", "value": 0, "currency": "EUR", "stage_id": 1,
              "pipeline_id": 1,
              "owner_id": 1, "creator_user_id": 1, "visible_to": 3, "origin": "API", "label_ids": [],
              "smart_bcc_email": ""},
    "persons": {"name": "Person", "owner_id": 1, "visible_to": 3, "marketing_status": "no_consent",
                "smart_bcc_email": ""},
    "organizations": {"name": "Organization", "owner_id": 1, "visible_to": 3, "smart_bcc_email": ""},
    "activities": {"subject": "Call", "type": "call", "owner_id": 1, "creator_user_id": 1},
    "products": {"name": "Product", "unit": "", "tax": 0, "is_linkable": True, "visible_to": 3, "owner_id": 1,
                 "billing_frequency": "one-time"},
    "deal_products": {"tax": 0, "currency": "EUR", "discount": 0, "discount_type": "percentage",
                      "quantity": 1,
                      "item_price": 0, "tax_method": "exclusive", "is_enabled": True, "comments": "",
                      "billing_frequency": "one-time", "product_id": 1},
    "leads": {"title": "Lead", "owner_id": 1, "creator_id": 1, "source_name": "API", "origin": "API",
              "visible_to": "3", "cc_email": ""},
    "notes": {"content": "", "active_flag": True, "user_id": 1},
    "files": {"name": "file", "file_name": "file", "active_flag": True, "user_id": 1},
    "note_comments": {"content": "", "active_flag": True, "user_id": 1, "object_type": "note"},
    "users": {"name": "User", "active_flag": True, "activated": True},
    "projects": {"title": "Project", "status": "open", "owner_id": 1},
    "tasks": {"title": "Task", "creator_id": 1},
    "pipelines": {"name": "Pipeline", "is_deal_probability_enabled": True},
    "stages": {"name": "Stage", "deal_probability": 100},
    "deal_followers": {"user_id": 1},
}  # fmt: skip
"""Values of a new record that names none itself; every other key starts empty."""


def stamp(entity: str) -> Stamp:
    """How the entity writes times."""
    if entity in ISO_STAMPED:
        return times.iso
    return times.v1 if entity in V1_STAMPED else times.v2


def blank(entity: str, sample: Row) -> Row:
    """An empty record of the shape of ``sample``: lists empty, flags false, counters zero, the rest null."""
    row: Row = {}
    for name, value in sample.items():
        if len(name) >= 40 and entity == "leads":
            continue
        if name == "custom_fields":
            row[name] = {}
        elif isinstance(value, list):
            row[name] = []
        elif isinstance(value, bool):
            row[name] = False
        else:
            row[name] = 0 if name.endswith("_count") else None
    return row | DEFAULTS.get(entity, {})


def ended(entity: str, row: Row) -> tuple[Row, int]:
    """The record after its deletion, and its state (reference 5.2)."""
    if entity == "deals":
        return {**row, "is_deleted": True, "status": "deleted"}, DELETED
    if entity in SOFT_DELETED:
        return {**row, "is_deleted": True}, DELETED
    if entity == "projects":
        return {**row, "status": "deleted"}, DELETED
    if entity == "users":
        return {**row, "active_flag": False}, LIVE
    return ({**row, "active_flag": False} if "active_flag" in row else row), GONE


def consequences(entity: str, old: Row, new: Row, now_ms: int) -> Row:
    """Values that follow from a change: closing times, a new stage's time, names in two parts."""
    if entity == "deals":
        return _deal(old, new, now_ms)
    if entity == "persons" and new.get("name") != old.get("name"):
        first, _, last = (new["name"] or "").partition(" ")
        return {"first_name": first, "last_name": last or None}
    if entity == "activities" and new.get("done") != old.get("done"):
        return {"marked_as_done_time": times.v2(now_ms) if new["done"] else None}
    if entity == "tasks" and new.get("is_done") != old.get("is_done"):
        return {"marked_as_done_time": times.iso(now_ms) if new["is_done"] else None}
    return {}


def _deal(old: Row, new: Row, now_ms: int) -> Row:
    out: Row = {}
    now, today = times.v2(now_ms), times.day(now_ms)
    if old.get("stage_id") != new.get("stage_id") and old.get("id"):
        out["stage_change_time"] = now
    if old.get("status") != new.get("status"):
        won, lost = new["status"] == "won", new["status"] == "lost"
        out |= {
            "won_time": now if won else None,
            "lost_time": now if lost else None,
            "close_time": now if won or lost else None,
            "local_won_date": today if won else None,
            "local_lost_date": today if lost else None,
            "local_close_date": today if won or lost else None,
        }
        if won and not old.get("first_won_time"):
            out["first_won_time"] = now
    return out
