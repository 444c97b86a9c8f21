"""Writes of field definitions, their options, and webhooks (reference 6.4, 7.1)."""

from __future__ import annotations

import functools
from typing import Any

import orjson

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.answers import Answer, RefusedError, invalid, missing, success
from pipedrive_assets.sandbox.bodies import check_body
from pipedrive_assets.sandbox.field_rows import V2_PATHS
from pipedrive_assets.sandbox.fields import CREATABLE_TYPES, CUSTOMISABLE
from pipedrive_assets.sandbox.routing import Request, Route

Row = dict[str, Any]

WEBHOOKS_PER_USER = 40


def _definition(account: Account, entity: str, code: str) -> Row:
    for row in account.book.definitions(entity):
        if row["field_code"] == code:
            return row
    raise missing("Field")


def _custom_code(account: Account, entity: str, request: Request) -> str:
    code = request.places["field_code"]
    if code not in account.book.custom[entity]:
        raise missing("Field")
    return code


def create_field(entity: str, account: Account, request: Request) -> Answer:
    """POST: options are needed for enum and set."""
    check_body("v2", request.body, request.operation.body or {}, create=True)
    kind, options = request.body["field_type"], request.body.get("options")
    if kind not in CREATABLE_TYPES:
        raise invalid(f"Validation failed: field_type: must be one of {', '.join(CREATABLE_TYPES)}")
    if kind in ("enum", "set") and not options:
        raise invalid("Validation failed: options: are required for this field_type")
    labels = [option["label"] for option in options or []]
    code = account.add_field(entity, request.body["field_name"], kind, labels)
    return success(_definition(account, entity, code), request.operation.status)


def change_field(entity: str, account: Account, request: Request) -> Answer:
    """PATCH: the name; the type can not be changed."""
    check_body("v2", request.body, request.operation.body or {}, create=False)
    code = _custom_code(account, entity, request)
    if "field_name" in request.body:
        account.rename_field(entity, code, request.body["field_name"])
    return success(_definition(account, entity, code))


def remove_field(entity: str, account: Account, request: Request) -> Answer:
    """DELETE: the definition and every record's value of it."""
    code = _custom_code(account, entity, request)
    row = _definition(account, entity, code)
    account.remove_field(entity, code)
    return success(row)


def _options(account: Account, entity: str, code: str) -> list[Row]:
    found: list[Row] = _definition(account, entity, code)["options"] or []
    return found


def _require_known(account: Account, entity: str, code: str, body: list[Row]) -> None:
    """All or nothing: one unknown option refuses the whole request."""
    known = {option["id"] for option in _options(account, entity, code)}
    if not {option["id"] for option in body} <= known:
        raise invalid("Validation failed: id: no such option")


def add_options(entity: str, account: Account, request: Request) -> Answer:
    """POST …/options."""
    check_body("v2", request.body, request.operation.body or {}, create=True)
    code = _custom_code(account, entity, request)
    taken = {option["label"] for option in _options(account, entity, code)}
    if taken & {option["label"] for option in request.body}:
        raise invalid("Validation failed: label: is already in use")
    for option in request.body:
        account.add_option(entity, code, option["label"])
    return success(_options(account, entity, code)[-len(request.body) :], request.operation.status)


def rename_options(entity: str, account: Account, request: Request) -> Answer:
    """PATCH …/options."""
    check_body("v2", request.body, request.operation.body or {}, create=False)
    code = _custom_code(account, entity, request)
    _require_known(account, entity, code, request.body)
    for option in request.body:
        account.rename_option(entity, code, option["id"], option["label"])
    return success(_options(account, entity, code))


def remove_options(entity: str, account: Account, request: Request) -> Answer:
    """DELETE …/options."""
    check_body("v2", request.body, request.operation.body or {}, create=False)
    code = _custom_code(account, entity, request)
    _require_known(account, entity, code, request.body)
    for option in request.body:
        account.book.remove_option(entity, code, option["id"])
    return success(request.body)


def create_webhook(account: Account, request: Request) -> Answer:
    """POST /webhooks: https only, forty per user (reference 7.1)."""
    check_body("v1", request.body, request.operation.body or {}, create=True)
    if len(account.collections["webhooks"].numbers()) >= WEBHOOKS_PER_USER:
        raise RefusedError(422, "Webhooks limit reached")
    if not request.body["subscription_url"].startswith("https://"):
        body = {"status": "error", "success": False,
                "errors": {"subscription_url": ["invalid or non-reachable URL"]}}  # fmt: skip
        return Answer(400, orjson.dumps(body))
    company = {"company_id": account.config.company_id, "owner_id": 1, "user_id": 1, "admin_id": 1}
    key = account.create(
        "webhooks", **{"version": "2.0", "is_active": 1, "type": "general", **company, **request.body}
    )
    return success(account.get("webhooks", key), request.operation.status, status="ok")


def remove_webhook(account: Account, request: Request) -> Answer:
    """DELETE /webhooks/{id}."""
    text = request.places["id"]
    if not text.isdigit() or account.collections["webhooks"].number(int(text)) is None:
        return Answer(
            404, orjson.dumps({"status": "error", "success": False, "errors": {"id": ["not found"]}})
        )
    account.delete("webhooks", int(text))
    return Answer(200, orjson.dumps({"status": "ok", "success": True}))


def field_write_routes() -> list[Route]:
    """Routes of the writes above."""
    routes = [
        Route("POST", "v1", "/webhooks", create_webhook),
        Route("DELETE", "v1", "/webhooks/{id}", remove_webhook),
    ]
    for path, entity in V2_PATHS.items():
        if entity in CUSTOMISABLE:
            one = path + "/{field_code}"
            routes += [
                Route("POST", "v2", path, functools.partial(create_field, entity)),
                Route("PATCH", "v2", one, functools.partial(change_field, entity)),
                Route("DELETE", "v2", one, functools.partial(remove_field, entity)),
                Route("POST", "v2", one + "/options", functools.partial(add_options, entity)),
                Route("PATCH", "v2", one + "/options", functools.partial(rename_options, entity)),
                Route("DELETE", "v2", one + "/options", functools.partial(remove_options, entity)),
            ]
    return routes
