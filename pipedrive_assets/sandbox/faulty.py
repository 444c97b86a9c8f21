"""What a fault does to an answer, and how answers leave the server, broken ones included."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

import orjson

from pipedrive_assets.sandbox.answers import CLOUDFLARE_PAGE, Answer, RefusedError
from pipedrive_assets.sandbox.faults import Fault

RATE_HEADERS = (b"x-ratelimit", b"x-daily-ratelimit")


def instead(fault: Fault) -> Answer:
    """The answer that stands in for the true one."""
    headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
    if fault.retry_after is not None:
        headers.append((b"retry-after", b"%d" % fault.retry_after))
    if fault.kind == "html":
        page = (fault.body or CLOUDFLARE_PAGE).encode()
        return Answer(fault.status, page, headers, b"text/html; charset=UTF-8", fault.kind)
    answer = RefusedError(fault.status, f"sandbox fault {fault.status}").answer()
    if fault.body is not None:
        answer.body = fault.body.encode()
    answer.headers, answer.fault = headers, fault.kind
    if fault.kind in ("reset", "hang"):
        answer.status = 599
    return answer


def spoil(fault: Fault, answer: Answer) -> Answer:
    """The true answer, spoiled."""
    answer.fault = fault.kind
    match fault.kind:
        case "invalid_json":
            answer.body = answer.body[: len(answer.body) // 2] + b'"unterminated'
        case "success_false":
            answer.body = orjson.dumps({"success": False, "error": "sandbox fault", "data": None})
        case "no_rate_headers":
            answer.headers = [each for each in answer.headers if not each[0].startswith(RATE_HEADERS)]
        case "repeat_cursor":
            answer.body = _edited(answer.body, _repeat_cursor)
        case "extra_key" | "bad_value":
            answer.body = _edited(answer.body, lambda body: _set_column(body, fault))
    return answer


def _edited(body: bytes, edit: Any) -> bytes:
    content = orjson.loads(body)
    edit(content)
    return orjson.dumps(content)


def _repeat_cursor(body: dict[str, Any]) -> None:
    body["additional_data"] = {**(body.get("additional_data") or {}), "next_cursor": "c2FuZGJveC1sb29w"}


def _set_column(body: dict[str, Any], fault: Fault) -> None:
    data = body.get("data")
    rows = data if isinstance(data, list) else [data]
    for row in rows[:1]:
        if isinstance(row, dict):
            row[fault.column] = fault.value


async def deliver(fault: Fault | None, answer: Answer, send: Any) -> None:
    """Send an answer, or break the connection as the fault says."""
    if fault is not None and fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
    if fault is not None and fault.kind in ("reset", "hang"):
        _abort(send)
        return
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if fault is not None and fault.kind == "truncate":
        await send(
            {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True}
        )
        await asyncio.sleep(0)
        _transport(send).close()
        return
    await send({"type": "http.response.body", "body": answer.body})


def _transport(send: Any) -> Any:
    """The connection below uvicorn's ``send``; the only way to break it off from an ASGI application."""
    return send.__self__.transport


def _abort(send: Any) -> None:
    transport = _transport(send)
    if transport.is_closing():  # the client was tired of waiting
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
