"""Searches: enough of them to test the search window (reference 2.3, 4.1)."""

from __future__ import annotations

import functools
from typing import Any

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import Answer, invalid, success
from pipedrive_assets.sandbox.collection import LIVE
from pipedrive_assets.sandbox.params import flag
from pipedrive_assets.sandbox.routing import Request, Route

Row = dict[str, Any]

SEARCH_LIMIT = 100
SEARCHED = {
    "deal": ("deals", "title"),
    "person": ("persons", "name"),
    "organization": ("organizations", "name"),
    "product": ("products", "name"),
    "lead": ("leads", "title"),
    "project": ("projects", "title"),
}


def _limit(params: dict[str, str]) -> int:
    limit = int(params.get("limit", SEARCH_LIMIT))
    if limit > SEARCH_LIMIT:
        raise invalid("Validation failed: limit: must be at most 100")
    return limit


def _hits(account: Account, kind: str, term: str, *, exact: bool, limit: int) -> list[Row]:
    """Live records whose name holds the term, oldest first."""
    entity, name = SEARCHED[kind]
    collection = account.collections[entity]
    collection.settle()
    term, found = term.lower(), []
    for n in collection.numbers((LIVE,)):
        row = collection.shown.row(n)
        text = (row[name] or "").lower()
        if term == text if exact else term in text:
            found.append(row)
            if len(found) == limit:
                break
    return found


def _item(kind: str, row: Row) -> Row:
    item: Row = {
        "id": row["id"],
        "type": kind,
        "owner": {"id": row["owner_id"]},
        "custom_fields": [],
        "notes": [],
    }
    for name in ("title", "name", "status", "currency", "is_archived", "visible_to", "description", "code"):
        if name in row:
            item[name] = row[name]
    if kind == "lead":
        item["visible_to"] = int(row["visible_to"])
    if kind == "person":
        item |= {"emails": [e["value"] for e in row["emails"]], "phones": [p["value"] for p in row["phones"]]}
    if kind == "deal":
        item |= {"value": int(row["value"] or 0), "stage": {"id": row["stage_id"], "name": "Stage"}}
    if kind in ("product", "project"):
        item.pop("notes")
    return item


def _term(request: Request) -> tuple[str, bool]:
    exact = flag(request.params, "exact_match")
    if len(request.params["term"]) < (1 if exact else 2):
        raise invalid("Validation failed: term: is too short")
    return request.params["term"], exact


def search_one(kind: str, account: Account, request: Request) -> Answer:
    """``GET /deals/search`` and its siblings."""
    term, exact = _term(request)
    rows = _hits(account, kind, term, exact=exact, limit=_limit(request.params))
    items = [{"result_score": 1.0, "item": _item(kind, row)} for row in rows]
    return success({"items": items}, additional_data={"next_cursor": None})


def item_search(account: Account, request: Request) -> Answer:
    """``GET /itemSearch``."""
    term, exact = _term(request)
    kinds = request.params.get("item_types", ",".join(SEARCHED)).split(",")
    limit = _limit(request.params)
    items = [
        {"result_score": 1.0, "item": _item(kind, row)}
        for kind in kinds
        if kind in SEARCHED
        for row in _hits(account, kind, term, exact=exact, limit=limit)
    ]
    return success({"items": items[:limit], "related_items": []}, additional_data={"next_cursor": None})


def field_search(account: Account, request: Request) -> Answer:
    """``GET /itemSearch/field``: built-in and custom text fields."""
    entity, field = SEARCHED[request.params["entity_type"]][0], request.params["field"]
    term, match = request.params["term"].lower(), request.params.get("match", "exact")
    collection = account.collections[entity]
    collection.settle()
    found: list[Row] = []
    for n in collection.numbers((LIVE,)):
        row = collection.shown.row(n)
        value = row.get(field, row.get("custom_fields", {}).get(field))
        if isinstance(value, str) and _matches(value.lower(), term, match):
            found.append({"id": row["id"], field: value})
    return success(found[: int(request.params.get("limit", 100))], additional_data={"next_cursor": None})


def _matches(text: str, term: str, match: str) -> bool:
    if match == "exact":
        return text == term
    return text.startswith(term) if match == "beginning" else term in text


def search_routes() -> list[Route]:
    """All search routes; they count in the search window."""
    routes = [
        Route("GET", "v2", "/itemSearch", item_search, search=True),
        Route("GET", "v2", "/itemSearch/field", field_search, search=True),
    ]
    for kind, (entity, _) in SEARCHED.items():
        routes.append(
            Route("GET", "v2", f"/{entity}/search", functools.partial(search_one, kind), search=True)
        )
    return routes
