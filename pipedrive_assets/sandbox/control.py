"""The control API under ``/sandbox``: log, rows, clock, faults, budget and records, none of it charged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from pipedrive_assets.sandbox.account import UnknownRecordError

if TYPE_CHECKING:
    from pipedrive_assets.sandbox.server import Sandbox

Endpoint = Callable[[Request], Awaitable[Response]]


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def control_app(sandbox: Sandbox) -> Starlette:
    """The Starlette application that steers a sandbox over HTTP."""

    async def state(request: Request) -> Response:
        return _json(
            {
                "url": sandbox.url,
                "now": sandbox.clock.time(),
                "budget": sandbox.limits.budget,
                "remaining": sandbox.limits.remaining,
                "requests": len(sandbox.log),
                "tokens_by_day": sandbox.log.tokens_by_day(),
                "max_in_window": sandbox.log.max_in_window(),
            }
        )

    async def log(request: Request) -> Response:
        if request.method == "DELETE":
            sandbox.log.clear()
        return _json([record.to_dict() for record in sandbox.log])

    async def rows(request: Request) -> Response:
        entity = request.path_params["entity"]
        if not entity.endswith("_fields") and entity not in sandbox.account.collections:
            raise HTTPException(404, f"no entity {entity!r}")
        return _json(sandbox.rows(entity))

    async def clock(request: Request) -> Response:
        wanted = await request.json()
        if "set" in wanted:
            sandbox.clock.set(wanted["set"])
        if "advance" in wanted:
            sandbox.clock.advance(float(wanted["advance"]))
        if "frozen" in wanted:
            (sandbox.clock.freeze if wanted["frozen"] else sandbox.clock.unfreeze)()
        if "index_lag_seconds" in wanted:
            sandbox.account.set_index_lag(float(wanted["index_lag_seconds"]))
        return _json({"now": sandbox.clock.time()})

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            try:
                sandbox.faults.add(**await request.json())
            except (TypeError, ValueError) as wrong:
                raise HTTPException(400, str(wrong)) from wrong
        elif request.method == "DELETE":
            sandbox.faults.clear()
        return _json(sandbox.faults.list())

    async def budget(request: Request) -> Response:
        wanted = await request.json()
        if wanted.get("reset"):
            sandbox.limits.reset()
        if "tokens" in wanted:
            sandbox.limits.set_budget(int(wanted["tokens"]))
        return _json({"budget": sandbox.limits.budget, "remaining": sandbox.limits.remaining})

    async def records(request: Request) -> Response:
        entity, wanted = request.path_params["entity"], await request.json()
        if entity not in sandbox.account.collections:
            raise HTTPException(404, f"no entity {entity!r}")
        try:
            return _json({"id": _edit(sandbox, entity, wanted)})
        except UnknownRecordError as unknown:
            raise HTTPException(404, str(unknown)) from unknown

    return Starlette(
        routes=[
            Mount(
                "/sandbox",
                routes=[
                    Route("/", state),
                    Route("/state", state),
                    Route("/log", log, methods=["GET", "DELETE"]),
                    Route("/rows/{entity}", rows),
                    Route("/clock", clock, methods=["POST"]),
                    Route("/faults", faults, methods=["GET", "POST", "DELETE"]),
                    Route("/budget", budget, methods=["POST"]),
                    Route("/records/{entity}", records, methods=["POST"]),
                ],
            )
        ]
    )


def _edit(sandbox: Sandbox, entity: str, wanted: dict[str, Any]) -> Any:
    """One model operation: ``{"action": "update", "id": 1, "fields": {…}}``."""
    account, key = sandbox.account, wanted.get("id")
    fields: dict[str, Any] = wanted.get("fields", {})
    action = wanted.get("action", "create")
    if action == "create":
        return account.create(entity, **fields)
    if key is None:
        raise HTTPException(400, "id is missing")
    match action:
        case "update":
            account.update(entity, key, **fields)
        case "delete":
            account.delete(entity, key)
        case "archive":
            account.archive(entity, key)
        case "unarchive":
            account.unarchive(entity, key)
        case "merge":
            account.merge(entity, key, wanted["survivor"])
        case _:
            raise HTTPException(400, f"no action {action!r}")
    return key
