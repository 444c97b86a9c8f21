"""Reads with a shape of their own: users/me, field definitions, goals, mail folders, webhooks, relations."""

from __future__ import annotations

import functools
from typing import Any

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import Answer, RefusedError, missing, success
from pipedrive_assets.sandbox.collection import LIVE
from pipedrive_assets.sandbox.field_rows import V2_PATHS, field_rows
from pipedrive_assets.sandbox.paging import decode_cursor, encode_cursor, list_limit, offset_page
from pipedrive_assets.sandbox.params import flag
from pipedrive_assets.sandbox.routing import Request, Route

Row = dict[str, Any]

FIELD_PARTS = ("ui_visibility", "important_fields", "required_fields")
MAIL_PAGE = 50


def live_rows(account: Account, entity: str) -> list[Row]:
    """All listed records of a small entity, as the API shows them."""
    collection = account.collections[entity]
    collection.settle()
    return [account.public(entity, collection.row(n)) for n in collection.numbers((LIVE,))]


def me(account: Account, request: Request) -> Answer:
    """``GET /users/me``."""
    return success(account.me())


def users_find(account: Account, request: Request) -> Answer:
    """``GET /users/find``: by name, or by e-mail when asked."""
    name = "email" if flag(request.params, "search_by_email") else "name"
    term = request.params["term"].lower()
    return success([row for row in live_rows(account, "users") if term in row[name].lower()])


def _field_view(request: Request, row: Row) -> Row:
    if "include_fields" not in request.operation.params:
        return row
    asked = request.params.get("include_fields", "").split(",")
    return {name: value for name, value in row.items() if name not in FIELD_PARTS or name in asked}


def field_list(entity: str, account: Account, request: Request) -> Answer:
    """``GET /dealFields`` and its siblings (v2)."""
    rows = account.book.definitions(entity)
    first = (
        decode_cursor(request.params["cursor"], "id", descending=False)[1]
        if "cursor" in request.params
        else 0
    )
    last = first + list_limit(request.params)
    cursor = encode_cursor("id", last, descending=False, n=last) if last < len(rows) else None
    shown = [_field_view(request, row) for row in rows[first:last]]
    return success(shown, additional_data={"next_cursor": cursor})


def one_field(entity: str, account: Account, request: Request) -> Answer:
    """One field definition by code (v2)."""
    for row in account.book.definitions(entity):
        if row["field_code"] == request.places["field_code"]:
            return success(_field_view(request, row))
    raise missing("Field")


def lead_fields(account: Account, request: Request) -> Answer:
    """``GET /v1/leadFields``."""
    rows = field_rows(account.book, "lead_fields")
    first, last, more = offset_page(request.params, len(rows), 100)
    return success(rows[first:last], additional_data=more)


def note_fields(account: Account, request: Request) -> Answer:
    """``GET /v1/noteFields``."""
    rows = field_rows(account.book, "note_fields")
    more = {"pagination": {"start": 0, "limit": 100, "more_items_in_collection": False}}
    return success(rows, additional_data=more)


def goals(account: Account, request: Request) -> Answer:
    """``GET /goals/find``: active ones unless told; without any filter only the caller's own."""
    params = request.params
    rows = live_rows(account, "goals")
    active = flag(params, "is_active", default=True)
    rows = [row for row in rows if row["is_active"] == active]
    if "type.name" in params:
        rows = [row for row in rows if row["type"]["name"] == params["type.name"]]
    elif not set(params) - {"is_active"}:
        rows = [row for row in rows if row["owner_id"] == 1]
    if "title" in params:
        rows = [row for row in rows if params["title"] in row["title"]]
    return success({"goals": rows}, statusCode=20000, statusText="OK", service="statistics-goals-api")


def mail_threads(account: Account, request: Request) -> Answer:
    """``GET /mailbox/mailThreads``: one folder, newest first."""
    folder = request.params.get("folder", "inbox")
    rows = [row for row in live_rows(account, "mail_threads") if folder in row["folders"]]
    rows.sort(key=lambda row: (row["update_time"], row["id"]), reverse=True)
    first, last, more = offset_page(request.params, len(rows), MAIL_PAGE)
    return success(rows[first:last], additional_data=more)


def webhooks(account: Account, request: Request) -> Answer:
    """``GET /webhooks``: with ``status`` in the envelope."""
    return success(live_rows(account, "webhooks"), status="ok")


def relationships(account: Account, request: Request) -> Answer:
    """``GET /organizationRelationships``: links of one organization, from its side."""
    org = int(request.params["org_id"])
    if account.collections["organizations"].number(org) is None:
        raise RefusedError(404, "Organization not found")
    more = {"pagination": {"start": 0, "limit": 100, "more_items_in_collection": False}}
    return success(account.relationships_of(org), additional_data=more, related_objects={"organization": {}})


def one_filter(account: Account, request: Request) -> Answer:
    """``GET /filters/{id}``: with its conditions."""
    row = _numbered(account, "filters", request.places["id"])
    condition = {"object": "deal", "field_id": "1", "operator": "=", "value": "open", "extra_value": None}
    return success({**row, "conditions": {"glue": "and", "conditions": [condition]}})


def one_message(account: Account, request: Request) -> Answer:
    """``GET /mailbox/mailMessages/{id}``: with its body when asked."""
    row = _numbered(account, "mail_messages", request.places["id"])
    body = f"<p>{row['snippet']}</p>" if flag(request.params, "include_body") else None
    return success({**row, "body": body})


def _numbered(account: Account, entity: str, text: str) -> Row:
    n = account.collections[entity].number(int(text)) if text.isdigit() else None
    if n is None:
        raise missing(entity[:-1].replace("_", " ").capitalize())
    return account.public(entity, account.collections[entity].row(n))


def picture(account: Account, request: Request) -> Answer:
    """``GET /persons/{id}/picture``."""
    text = request.places["id"]
    n = account.collections["persons"].number(int(text)) if text.isdigit() else None
    picture_id = account.collections["persons"].row(n)["picture_id"] if n else None
    if not picture_id:
        raise missing("Picture")
    return success(
        {
            "id": picture_id,
            "item_type": "person",
            "item_id": n,
            "added_by_user_id": 1,
            "active_flag": True,
            "file_size": 4_096,
            "pictures": {size: f"https://pictures.example.com/{n}_{size}.jpg" for size in ("128", "512")},
        }
    )


def special_routes() -> list[Route]:
    """Routes of the reads above."""
    routes = [
        Route("GET", "v1", "/users/me", me),
        Route("GET", "v1", "/users/find", users_find, search=True),
        Route("GET", "v1", "/leadFields", lead_fields, is_list=True),
        Route("GET", "v1", "/noteFields", note_fields, is_list=True),
        Route("GET", "v1", "/goals/find", goals, is_list=True),
        Route("GET", "v1", "/mailbox/mailThreads", mail_threads, is_list=True),
        Route("GET", "v1", "/webhooks", webhooks, is_list=True),
        Route("GET", "v1", "/organizationRelationships", relationships, is_list=True),
        Route("GET", "v1", "/filters/{id}", one_filter),
        Route("GET", "v1", "/mailbox/mailMessages/{id}", one_message),
        Route("GET", "v2", "/persons/{id}/picture", picture),
    ]
    for path, entity in V2_PATHS.items():
        routes.append(Route("GET", "v2", path, functools.partial(field_list, entity), is_list=True))
        routes.append(Route("GET", "v2", path + "/{field_code}", functools.partial(one_field, entity)))
    return routes
