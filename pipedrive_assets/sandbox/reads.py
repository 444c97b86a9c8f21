"""Lists and single records, v2 and v1: one description per list, one function per style of paging."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from pipedrive_assets.sandbox.account import Account, UnknownRecordError
from pipedrive_assets.sandbox.answers import Answer, missing, success, success_rows
from pipedrive_assets.sandbox.collection import ARCHIVED, DELETED, LIVE, Collection
from pipedrive_assets.sandbox.paging import (
    DEFAULT_LIMIT,
    decode_cursor,
    encode_cursor,
    list_limit,
    locate,
    offset_page,
)
from pipedrive_assets.sandbox.params import flag, integers
from pipedrive_assets.sandbox.routing import Request, Route
from pipedrive_assets.sandbox.shown import CREATION_ORDER, Selection
from pipedrive_assets.sandbox.times import milliseconds
from pipedrive_assets.sandbox.views import View

Where = tuple[str, frozenset[Any]]

OPEN_STATUSES = frozenset({"open", "won", "lost"})


@dataclass(frozen=True, slots=True)
class ListSpec:
    """A list: its entity, which states it shows, and what its parameters filter.

    ``filters`` maps parameters to record fields; ``below`` is the path placeholder that holds the parent's
    id; ``paging`` is ``cursor``, ``offset`` or ``none``.
    """

    entity: str
    paging: str = "cursor"
    state: int = LIVE
    filters: dict[str, str] = field(default_factory=dict)
    below: str | None = None
    page_default: int = DEFAULT_LIMIT


def read_list(spec: ListSpec, account: Account, request: Request) -> Answer:
    """Answer a list request."""
    collection = account.collections[spec.entity]
    collection.settle()
    wanted = _selection(spec, account, request, collection)
    if spec.below is not None:
        _require_parent(spec, account, request)
    entries = collection.shown.select(wanted)
    view = View.of(spec.entity, request.operation, request.params)

    def text(n: int) -> bytes:
        if view.cacheable:
            return collection.shown.text(n, view, functools.partial(view.text, account))
        return view.text(account, collection.shown.row(n))

    if spec.paging == "cursor":
        return _cursor_page(collection, wanted, entries, request.params, text)
    more = None
    if spec.paging == "offset":
        first, last, more = offset_page(request.params, len(entries), spec.page_default)
        entries = entries[first:last]
    if not entries and request.version == "v1" and account.config.v1_empty_as_null:
        return success(None, additional_data=more)
    return success_rows([text(n) for _, n in entries], more)


def _cursor_page(
    collection: Collection, wanted: Selection, entries: list[Any], params: dict[str, str], text: Any
) -> Answer:
    limit, first, shown = list_limit(params), 0, collection.shown
    if "cursor" in params:
        value, n = decode_cursor(params["cursor"], wanted.sort, descending=wanted.descending)
        if wanted.sort in ("id", CREATION_ORDER):
            key: Any = n
        elif wanted.sort.endswith("_time"):
            key = shown.time_key(value)
        else:
            key = shown.sort_key(value)
        first = locate(entries, (key, n), descending=wanted.descending)
    page = entries[first : first + limit]
    cursor = None
    if first + limit < len(entries):
        n = entries[first + limit][1]
        value = n if wanted.sort in ("id", CREATION_ORDER) else shown.row(n).get(wanted.sort)
        cursor = encode_cursor(wanted.sort, value, descending=wanted.descending, n=n)
    return success_rows([text(n) for _, n in page], {"next_cursor": cursor})


def _selection(spec: ListSpec, account: Account, request: Request, collection: Collection) -> Selection:
    params = request.params
    states, where = {spec.state}, []
    numbers: tuple[int, ...] | None = None
    if "filter_id" not in params:
        for name, target in spec.filters.items():
            if name in params:
                where.append((target, _accepted(request, name)))
        states, status = _statuses(spec, params, states)
        where += status
        if "ids" in params:
            numbers = tuple(integers(params["ids"]))
        if spec.entity == "persons" and "deal_id" in params:
            numbers = _persons_of_deal(account, int(params["deal_id"]))
    if spec.below is not None:
        parent: Any = request.places[spec.below]
        where.append((collection.source.parent_field or "", frozenset({_parent_value(spec, parent)})))
    if "deal_ids" in params:
        where.append(("deal_id", frozenset(integers(params["deal_ids"]))))
    sort, descending = _order(spec, collection, params)
    return Selection(
        states=frozenset(states),
        sort=sort,
        descending=descending,
        since=milliseconds(params["updated_since"]) if "updated_since" in params else None,
        until=milliseconds(params["updated_until"]) if "updated_until" in params else None,
        where=tuple(where),
        numbers=numbers,
    )


def _statuses(spec: ListSpec, params: dict[str, str], states: set[int]) -> tuple[set[int], list[Where]]:
    """States and filters that ``status`` asks for; deleted records come only on demand."""
    if "status" not in params or spec.entity not in ("deals", "projects"):
        return states, []
    asked = set(params["status"].split(","))
    found = set(states) if asked - {"deleted"} else set()
    if "deleted" in asked and spec.state == LIVE:
        found.add(DELETED)
    if spec.entity == "deals" and asked >= OPEN_STATUSES:
        return found, []
    return found, [("status", frozenset(asked))]


def _accepted(request: Request, name: str) -> frozenset[Any]:
    value, kind = request.params[name], request.operation.params[name].get("type")
    if value == "null":
        return frozenset({None})
    if kind == "boolean":
        return frozenset({flag(request.params, name)})
    if kind == "number":
        return frozenset({value == "1"})
    return frozenset({int(value)}) if kind == "integer" or value.isdigit() else frozenset({value})


def _persons_of_deal(account: Account, deal: int) -> tuple[int, ...]:
    try:
        person = account.get("deals", deal)["person_id"]
    except UnknownRecordError:
        return ()
    return (person,) if person else ()


def _parent_value(spec: ListSpec, text: str) -> Any:
    return text if spec.entity == "note_comments" or not text.isdigit() else int(text)


def _order(spec: ListSpec, collection: Collection, params: dict[str, str]) -> tuple[str, bool]:
    if spec.entity == "mail_threads":
        return "update_time", True
    natural = CREATION_ORDER if collection.source.text_ids else "id"
    if "sort" in params:
        name, _, direction = params["sort"].split(",")[0].strip().partition(" ")
        return name or natural, direction.strip().upper() == "DESC" or params.get("sort_direction") == "desc"
    return params.get("sort_by", natural), params.get("sort_direction") == "desc"


PARENTS = {
    "deal": "deals", "person": "persons", "organization": "organizations", "product": "products",
    "note": "notes", "mail": "mail_threads",
}  # fmt: skip


def _require_parent(spec: ListSpec, account: Account, request: Request) -> None:
    parent = PARENTS[spec.entity.split("_")[0]]
    text = request.places[spec.below or ""]
    if not text.isdigit() or account.collections[parent].number(int(text)) is None:
        raise missing(parent[:-1].replace("_", " ").capitalize())


def read_one(entity: str, account: Account, request: Request) -> Answer:
    """Answer a request for one record; deleted ones are still readable for 30 days (reference 10)."""
    collection = account.collections[entity]
    collection.settle()
    text = list(request.places.values())[-1]
    key: Any = text if collection.source.text_ids else int(text) if text.isdigit() else None
    n = collection.number(key)
    if n is None:
        what = "requested lead" if entity == "leads" else entity[:-1].replace("_", " ").capitalize()
        raise missing(what)
    view = View.of(entity, request.operation, request.params)
    row = view.shape(account, collection.row(n))
    return success({name: value for name, value in row.items() if name not in LIST_ONLY.get(entity, ())})


LIST_ONLY = {"roles": ("level",), "permission_sets": ("type",)}
"""Members that a list shows and the single record does not."""


def list_route(version: str, path: str, spec: ListSpec) -> Route:
    """A GET route for a list."""
    return Route("GET", version, path, functools.partial(read_list, spec), is_list=True)


def one_route(version: str, path: str, entity: str) -> Route:
    """A GET route for one record."""
    return Route("GET", version, path, functools.partial(read_one, entity))


_CORE_FILTERS = {name: name for name in ("owner_id", "person_id", "org_id", "pipeline_id", "stage_id")}
_ACTIVITY_FILTERS = {name: name for name in ("owner_id", "deal_id", "lead_id", "person_id", "org_id", "done")}
_PROJECT_FILTERS = {
    "phase_id": "phase_id",
    "deal_id": "deal_ids",
    "person_id": "person_ids",
    "org_id": "org_ids",
}
_LEAD_FILTERS = {name: name for name in ("owner_id", "person_id", "organization_id")}
_NOTE_FILTERS = {
    name: name
    for name in (
        "user_id", "lead_id", "deal_id", "person_id", "org_id", "project_id", "task_id",
        "pinned_to_lead_flag", "pinned_to_deal_flag", "pinned_to_organization_flag", "pinned_to_person_flag",
        "pinned_to_project_flag",
    )
}  # fmt: skip
_TASK_FILTERS = {"is_done": "is_done", "is_milestone": "is_milestone", "project_id": "project_id",
                 "parent_task_id": "parent_task_id", "assignee_id": "assignee_ids"}  # fmt: skip

LISTS: dict[tuple[str, str], ListSpec] = {
    ("v2", "/deals"): ListSpec("deals", filters=_CORE_FILTERS),
    ("v2", "/deals/archived"): ListSpec("deals", state=ARCHIVED, filters=_CORE_FILTERS),
    ("v2", "/deals/products"): ListSpec("deal_products"),
    ("v2", "/deals/{id}/products"): ListSpec("deal_products", below="id"),
    ("v2", "/deals/installments"): ListSpec("deal_installments"),
    ("v2", "/deals/{id}/discounts"): ListSpec("deal_discounts", paging="none", below="id"),
    ("v2", "/deals/{id}/followers"): ListSpec("deal_followers", below="id"),
    ("v2", "/persons"): ListSpec("persons", filters={"owner_id": "owner_id", "org_id": "org_id"}),
    ("v2", "/persons/{id}/followers"): ListSpec("person_followers", below="id"),
    ("v2", "/organizations"): ListSpec("organizations", filters={"owner_id": "owner_id"}),
    ("v2", "/organizations/{id}/followers"): ListSpec("organization_followers", below="id"),
    ("v2", "/activities"): ListSpec("activities", filters=_ACTIVITY_FILTERS),
    ("v2", "/products"): ListSpec("products", filters={"owner_id": "owner_id"}),
    ("v2", "/products/{id}/variations"): ListSpec("product_variations", below="id"),
    ("v2", "/products/{id}/followers"): ListSpec("product_followers", below="id"),
    ("v2", "/pipelines"): ListSpec("pipelines"),
    ("v2", "/stages"): ListSpec("stages", filters={"pipeline_id": "pipeline_id"}),
    ("v2", "/projects"): ListSpec("projects", filters=_PROJECT_FILTERS),
    ("v2", "/projects/archived"): ListSpec("projects", state=ARCHIVED, filters=_PROJECT_FILTERS),
    ("v2", "/boards"): ListSpec("boards", paging="none"),
    ("v2", "/phases"): ListSpec("phases", paging="none", filters={"board_id": "board_id"}),
    ("v2", "/projectTemplates"): ListSpec("project_templates"),
    ("v2", "/tasks"): ListSpec("tasks", filters=_TASK_FILTERS),
    ("v1", "/leads"): ListSpec("leads", paging="offset", filters=_LEAD_FILTERS),
    ("v1", "/leads/archived"): ListSpec("leads", paging="offset", state=ARCHIVED, filters=_LEAD_FILTERS),
    ("v1", "/leadLabels"): ListSpec("lead_labels", paging="none"),
    ("v1", "/leadSources"): ListSpec("lead_sources", paging="none"),
    ("v1", "/notes"): ListSpec("notes", paging="offset", filters=_NOTE_FILTERS),
    ("v1", "/notes/{id}/comments"): ListSpec("note_comments", paging="offset", below="id"),
    ("v1", "/files"): ListSpec("files", paging="offset"),
    ("v1", "/callLogs"): ListSpec("call_logs", paging="offset", page_default=50),
    ("v1", "/activityTypes"): ListSpec("activity_types", paging="none"),
    ("v1", "/currencies"): ListSpec("currencies", paging="none"),
    ("v1", "/users"): ListSpec("users", paging="none"),
    ("v1", "/roles"): ListSpec("roles", paging="offset"),
    ("v1", "/permissionSets"): ListSpec("permission_sets", paging="none", filters={"app": "app"}),
    ("v1", "/legacyTeams"): ListSpec("legacy_teams", paging="none"),
    ("v1", "/filters"): ListSpec("filters", paging="none", filters={"type": "type"}),
    ("v1", "/deals/{id}/participants"): ListSpec("deal_participants", paging="offset", below="id"),
    ("v1", "/deals/{id}/changelog"): ListSpec("deal_changelog", below="id"),
    ("v1", "/persons/{id}/changelog"): ListSpec("person_changelog", below="id"),
    ("v1", "/organizations/{id}/changelog"): ListSpec("organization_changelog", below="id"),
    ("v1", "/mailbox/mailThreads/{id}/mailMessages"): ListSpec("mail_messages", paging="none", below="id"),
}

ONES: dict[tuple[str, str], str] = {
    ("v2", "/deals/{id}"): "deals",
    ("v2", "/persons/{id}"): "persons",
    ("v2", "/organizations/{id}"): "organizations",
    ("v2", "/activities/{id}"): "activities",
    ("v2", "/products/{id}"): "products",
    ("v2", "/pipelines/{id}"): "pipelines",
    ("v2", "/stages/{id}"): "stages",
    ("v2", "/projects/{id}"): "projects",
    ("v2", "/boards/{id}"): "boards",
    ("v2", "/phases/{id}"): "phases",
    ("v2", "/projectTemplates/{id}"): "project_templates",
    ("v2", "/tasks/{id}"): "tasks",
    ("v1", "/leads/{id}"): "leads",
    ("v1", "/notes/{id}"): "notes",
    ("v1", "/notes/{id}/comments/{commentId}"): "note_comments",
    ("v1", "/files/{id}"): "files",
    ("v1", "/callLogs/{id}"): "call_logs",
    ("v1", "/users/{id}"): "users",
    ("v1", "/roles/{id}"): "roles",
    ("v1", "/permissionSets/{id}"): "permission_sets",
    ("v1", "/legacyTeams/{id}"): "legacy_teams",
    ("v1", "/mailbox/mailThreads/{id}"): "mail_threads",
}


def read_routes() -> list[Route]:
    """Routes of all lists and single records described above."""
    lists = [list_route(version, path, spec) for (version, path), spec in LISTS.items()]
    return lists + [one_route(version, path, entity) for (version, path), entity in ONES.items()]
