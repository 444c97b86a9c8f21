"""What Pipedrive refuses or adds when a record of a certain kind is written (reference 8.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import RefusedError, invalid
from pipedrive_assets.sandbox.bodies import check_custom, complete_custom
from pipedrive_assets.sandbox.lifecycle import CUSTOM

Row = dict[str, Any]
Rule = Callable[[Account, Row, Row], Row]
"""Takes the account, the record before (empty when created) and the body; returns the values to store."""

NOTE_BYTES = 100_000
EMBEDDED = {
    "deal_id": ("deals", "deal", "title"),
    "person_id": ("persons", "person", "name"),
    "org_id": ("organizations", "organization", "name"),
    "project_id": ("projects", "project", "title"),
    "task_id": ("tasks", "task", "title"),
}
NOTE_PARENTS = ("deal_id", "person_id", "org_id", "lead_id", "project_id", "task_id")


def _deal(account: Account, old: Row, body: Row) -> Row:
    new = {**old, **body}
    if body.get("is_deleted") or body.get("status") == "deleted":
        raise invalid("Validation failed: is_deleted: use DELETE to delete a deal")
    status = new.get("status", "open")
    if status not in ("open", "won", "lost"):
        raise invalid("Validation failed: status: must be one of open, won, lost")
    for name, allowed in (("won_time", ("won",)), ("lost_time", ("lost",)), ("lost_reason", ("lost",)),
                          ("close_time", ("won", "lost"))):  # fmt: skip
        if body.get(name) is not None and status not in allowed:
            raise invalid(f"Validation failed: {name}: not allowed for a deal that is {status}")
    return {**body, **_place(account, old, body)}


def _place(account: Account, old: Row, body: Row) -> Row:
    """Stage and pipeline always agree; a pipeline without probability refuses one."""
    stages = account.collections["stages"]
    pipeline = body.get("pipeline_id", old.get("pipeline_id", 1))
    stage = body.get("stage_id")
    if stage is not None:
        n = stages.number(stage)
        if n is None:
            raise invalid("Validation failed: stage_id: does not exist")
        pipeline = stages.row(n)["pipeline_id"]
        if body.get("pipeline_id") not in (None, pipeline):
            raise invalid("Validation failed: stage_id: is not in this pipeline")
    elif pipeline != old.get("pipeline_id"):
        stage = next((n for n in stages.numbers() if stages.row(n)["pipeline_id"] == pipeline), None)
        if stage is None:
            raise invalid("Validation failed: pipeline_id: does not exist")
    number = account.collections["pipelines"].number(pipeline)
    enabled = number and account.collections["pipelines"].row(number)["is_deal_probability_enabled"]
    if body.get("probability") is not None and not enabled:
        raise invalid("Validation failed: probability: is switched off in this pipeline")
    placed: Row = {"pipeline_id": pipeline}
    return placed if stage is None else {**placed, "stage_id": stage}


def _person(account: Account, old: Row, body: Row) -> Row:
    if not old and not body.get("name"):
        raise invalid("Validation failed: name: is required")
    out = dict(body)
    for name in ("emails", "phones", "im"):
        if body.get(name):
            if sum(bool(each.get("primary")) for each in body[name]) > 1:
                raise invalid(f"Validation failed: {name}: only one may be primary")
            primary = next((i for i, each in enumerate(body[name]) if each.get("primary")), 0)
            out[name] = [
                {"value": each.get("value"), "primary": i == primary, "label": each.get("label") or "work"}
                for i, each in enumerate(body[name])
            ]
        elif name in body:
            out[name] = []
    return out


def _activity(account: Account, old: Row, body: Row) -> Row:
    if "person_id" in body:
        raise invalid("Validation failed: person_id: is read-only, use participants")
    out = dict(body)
    if "participants" in body:
        people = [
            {"person_id": p["person_id"], "primary": bool(p.get("primary"))}
            for p in body["participants"] or []
        ]
        out["participants"] = people
        primary = [p["person_id"] for p in people if p["primary"]] or [p["person_id"] for p in people]
        out["person_id"] = primary[0] if primary else None
    owners = [name for name in ("deal_id", "lead_id", "project_id") if body.get(name) is not None]
    if owners:
        out |= {name: None for name in ("deal_id", "lead_id", "project_id") if name != owners[0]}
    if len((body.get("note") or "").encode()) > NOTE_BYTES:
        raise invalid("Validation failed: note: is too long")
    if not old:
        out.setdefault("type", "call")
        out.setdefault("subject", out["type"].title())
    return out


def _product(account: Account, old: Row, body: Row) -> Row:
    prices = body.get("prices")
    if prices is None:
        return body
    currencies = [price.get("currency") for price in prices]
    if len(set(currencies)) != len(currencies):
        raise invalid("Validation failed: prices: one price per currency")
    key = old.get("id") or account.collections["products"].next_number()
    blank = {"product_id": key, "price": 0, "currency": "EUR", "cost": 0, "direct_cost": None, "notes": ""}
    return {**body, "prices": [{**blank, **price} for price in prices]}


def _deal_product(account: Account, old: Row, body: Row) -> Row:
    new = {**old, **body}
    product = account.collections["products"].number(new["product_id"])
    if product is None:
        raise invalid("Validation failed: product_id: does not exist")
    total = round(new.get("quantity", 1) * new.get("item_price", 0), 2)
    name = old.get("name") or account.collections["products"].row(product)["name"]
    return {**body, "sum": total, "name": name}


def _task(account: Account, old: Row, body: Row) -> Row:
    out = {name: value for name, value in body.items() if name not in ("done", "milestone", "assignee_id")}
    for name in ("done", "milestone"):
        if name in body:
            out[f"is_{name}"] = bool(body[name])
    if "assignee_id" in body and "assignee_ids" not in body:
        out["assignee_ids"] = [body["assignee_id"]] if body["assignee_id"] else []
    return out


def _lead(account: Account, old: Row, body: Row) -> Row:
    new = {**old, **body}
    if not new.get("person_id") and not new.get("organization_id"):
        raise RefusedError(400, "A lead must be linked to a person or an organization")
    value = body.get("value")
    if value is not None and not {"amount", "currency"} <= set(value):
        raise RefusedError(400, "value: needs both amount and currency")
    return body


def _note(account: Account, old: Row, body: Row) -> Row:
    new = {**old, **body}
    if not any(new.get(name) for name in NOTE_PARENTS):
        raise RefusedError(400, "A note needs a deal, person, organization, lead, project or task")
    if len((body.get("content") or "").encode()) > NOTE_BYTES:
        raise RefusedError(400, "content: is too long")
    out = {name: bool(value) if name.startswith("pinned_") else value for name, value in body.items()}
    for name, (entity, part, title) in EMBEDDED.items():
        if name in body:
            key = body[name]
            out[part] = {title: account.get(entity, key)[title]} if key else None
    return out


RULES: dict[str, Rule] = {
    "deals": _deal,
    "persons": _person,
    "activities": _activity,
    "products": _product,
    "deal_products": _deal_product,
    "tasks": _task,
    "leads": _lead,
    "notes": _note,
}


def prepared(account: Account, entity: str, old: Row, body: Row) -> Row:
    """The values to store for a write, after the entity's rules; ``RefusedError`` when they forbid it."""
    body = RULES.get(entity, _as_is)(account, old, body)
    fields_of = CUSTOM.get(entity)
    if fields_of and "custom_fields" in body:
        custom = body["custom_fields"] or {}
        check_custom(account.book, fields_of, custom)
        body = {**body, "custom_fields": complete_custom(account.book, fields_of, custom)}
    return body


def _as_is(account: Account, old: Row, body: Row) -> Row:
    return body
