"""Creates, changes, deletes, archives and merges over HTTP (reference 8)."""

from __future__ import annotations

import functools
from typing import Any

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import Answer, RefusedError, invalid, missing, success
from pipedrive_assets.sandbox.bodies import check_body
from pipedrive_assets.sandbox.collection import ARCHIVED, GONE
from pipedrive_assets.sandbox.facts import facts
from pipedrive_assets.sandbox.routing import Request, Route
from pipedrive_assets.sandbox.rules import prepared
from pipedrive_assets.sandbox.views import View

Row = dict[str, Any]


def _key(account: Account, entity: str, text: str) -> Any:
    if account.collections[entity].source.text_ids:
        return text
    return int(text) if text.isdigit() else None


def _record(account: Account, entity: str, text: str) -> tuple[Any, Row]:
    """Id and record named in a path; 404 if it is deleted or was never there."""
    key = _key(account, entity, text)
    if not account.collections[entity].is_alive(key):
        raise missing(entity[:-1].replace("_", " ").capitalize())
    return key, account.get(entity, key)


def _shown(account: Account, entity: str, row: Row) -> Row:
    optional = View(entity, frozenset(OPTIONAL.get(entity, ())))
    return optional.shape(account, row)


def create(entity: str, account: Account, request: Request) -> Answer:
    """POST: a new record."""
    check_body(request.version, request.body, request.operation.body or {}, create=True)
    body = dict(request.body)
    if "id" in request.places:
        body |= _parent(account, entity, request.places["id"])
    key = account.create(entity, **prepared(account, entity, {}, body))
    return success(_shown(account, entity, account.get(entity, key)), request.operation.status)


def _parent(account: Account, entity: str, text: str) -> Row:
    parent, name = PARENTS[entity]
    key, row = _record(account, parent, text)
    extra = {"currency": row["currency"]} if entity == "deal_products" else {}
    return {name: key, **extra}


def change(entity: str, account: Account, request: Request) -> Answer:
    """PATCH and PUT: the keys sent, and nothing else."""
    check_body(request.version, request.body, request.operation.body or {}, create=False)
    key, old = _record(account, entity, list(request.places.values())[-1])
    body = dict(request.body)
    archived = account.collections[entity].states[account.collections[entity].number(key) or 0] == ARCHIVED
    wants = body.pop("is_archived", None)
    if archived and wants is not False:
        raise RefusedError(403, f"Archived {entity} can not be changed")
    if wants is not None and wants != archived:
        account.archive(entity, key, archived=wants)
        old = account.get(entity, key)
    if body:
        account.update(entity, key, **prepared(account, entity, old, body))
    return success(_shown(account, entity, account.get(entity, key)), request.operation.status)


def remove(entity: str, account: Account, request: Request) -> Answer:
    """DELETE: soft or hard, as the kind has it; notes answer ``true``."""
    key, _ = _record(account, entity, list(request.places.values())[-1])
    account.delete(entity, key)
    return success(True if entity == "notes" else {"id": key})


def merge(entity: str, account: Account, request: Request) -> Answer:
    """PUT …/merge: the record in the path goes, ``merge_with_id`` survives."""
    check_body("v1", request.body, request.operation.body or {}, create=True)
    loser, _ = _record(account, entity, request.places["id"])
    survivor, _ = _record(account, entity, str(request.body["merge_with_id"]))
    if loser == survivor:
        raise RefusedError(400, "A record can not be merged with itself")
    row = account.merge(entity, loser, survivor)
    if entity == "persons":
        return success({**_shown(account, entity, row), "merge_what_id": loser})
    return success({"id": survivor})


def archive_project(account: Account, request: Request) -> Answer:
    """POST /projects/{id}/archive."""
    key, _ = _record(account, "projects", request.places["id"])
    return success(_shown(account, "projects", account.archive("projects", key)))


def follow(entity: str, account: Account, request: Request) -> Answer:
    """POST …/followers: a user can follow once."""
    check_body(request.version, request.body, request.operation.body or {}, create=True)
    parent, name = PARENTS[entity]
    key, row = _record(account, parent, request.places["id"])
    collection, user = account.collections[entity], request.body["user_id"]
    if any(collection.row(n)["user_id"] == user for n in collection.children(key)):
        raise invalid("Validation failed: user_id: already follows")
    made = account.create(entity, **{name: key, "user_id": user})
    if "followers_count" in row:
        account.touch_counter(parent, key, followers_count=row["followers_count"] + 1)
    return success(account.public(entity, account.get(entity, made)), request.operation.status)


def unfollow(entity: str, account: Account, request: Request) -> Answer:
    """DELETE …/followers/{follower_id}."""
    parent, _ = PARENTS[entity]
    key, _ = _record(account, parent, request.places["id"])
    collection, user = account.collections[entity], list(request.places.values())[-1]
    for n in collection.children(key):
        if str(collection.row(n)["user_id"]) == user:
            collection.write(n, collection.row(n), GONE)
            return success({"user_id": int(user)})
    raise missing("Follower")


PARENTS = {
    "deal_products": ("deals", "deal_id"),
    "deal_installments": ("deals", "deal_id"),
    "deal_discounts": ("deals", "deal_id"),
    "deal_followers": ("deals", "deal_id"),
    "person_followers": ("persons", "person_id"),
    "organization_followers": ("organizations", "org_id"),
    "product_followers": ("products", "product_id"),
    "product_variations": ("products", "product_id"),
    "note_comments": ("notes", "note_id"),
}

WRITTEN = {
    "deals": "/deals", "persons": "/persons", "organizations": "/organizations", "activities": "/activities",
    "products": "/products", "pipelines": "/pipelines", "stages": "/stages", "projects": "/projects",
    "tasks": "/tasks", "boards": "/boards", "phases": "/phases",
}  # fmt: skip
BELOW = {
    "deal_products": ("/deals/{id}/products", "/{product_attachment_id}"),
    "deal_installments": ("/deals/{id}/installments", "/{installment_id}"),
    "deal_discounts": ("/deals/{id}/discounts", "/{discount_id}"),
    "product_variations": ("/products/{id}/variations", "/{product_variation_id}"),
}
OPTIONAL = {
    entity: facts("GET", "v2", f"/{entity}").optional_fields
    for entity in ("deals", "persons", "organizations", "activities")
}


def _crud(version: str, entity: str, path: str, place: str, change_with: str) -> list[Route]:
    return [
        Route("POST", version, path, functools.partial(create, entity)),
        Route(change_with, version, path + place, functools.partial(change, entity)),
        Route("DELETE", version, path + place, functools.partial(remove, entity)),
    ]


def write_routes() -> list[Route]:
    """Routes of all writes but those of field definitions and webhooks."""
    routes: list[Route] = []
    for entity, path in WRITTEN.items():
        routes += _crud("v2", entity, path, "/{id}", "PATCH")
    for entity, (path, place) in BELOW.items():
        routes += _crud("v2", entity, path, place, "PATCH")
    routes += _crud("v1", "notes", "/notes", "/{id}", "PUT")
    routes += _crud("v1", "note_comments", "/notes/{id}/comments", "/{commentId}", "PUT")
    routes += _crud("v1", "leads", "/leads", "/{id}", "PATCH")
    routes += _crud("v1", "lead_labels", "/leadLabels", "/{id}", "PATCH")
    routes += [
        Route("DELETE", "v1", "/files/{id}", functools.partial(remove, "files")),
        Route("POST", "v2", "/projects/{id}/archive", archive_project),
    ]
    for parent in ("deals", "persons", "organizations"):
        routes.append(Route("PUT", "v1", f"/{parent}/{{id}}/merge", functools.partial(merge, parent)))
    for parent in ("deals", "persons", "organizations", "products"):
        entity, path = f"{parent[:-1]}_followers", f"/{parent}/{{id}}/followers"
        routes.append(Route("POST", "v2", path, functools.partial(follow, entity)))
        routes.append(Route("DELETE", "v2", path + "/{follower_id}", functools.partial(unfollow, entity)))
    return routes
