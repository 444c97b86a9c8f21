"""Answers and refusals in Pipedrive's envelopes (reference 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

INFO = "Please check developers.pipedrive.com for more information about Pipedrive API."
GATEWAY_INFO = "Please check developers.pipedrive.com"

CLOUDFLARE_PAGE = (
    "<!DOCTYPE html><html><head><title>Access denied | api.pipedrive.com used Cloudflare to restrict access"
    "</title></head><body><h1>Error 1015</h1><p>You are being rate limited. This error is produced by "
    "Cloudflare.</p></body></html>"
)


@dataclass(slots=True)
class Answer:
    """Status, body and headers of a response; ``fault`` names what spoiled it."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes = b"application/json; charset=utf-8"
    fault: str | None = None


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, error: str, *, code: str | None = None, info: str = INFO) -> None:
        super().__init__(error)
        self.status, self.error, self.code, self.info = status, error, code, info

    def answer(self) -> Answer:
        """The error in the application's envelope (reference 3.2)."""
        body: dict[str, Any] = {"success": False, "error": self.error, "error_info": self.info}
        if self.code:
            body["code"] = self.code
        return Answer(self.status, orjson.dumps({**body, "data": None, "additional_data": None}))


def invalid(message: str) -> RefusedError:
    """A v2 validation failure."""
    return RefusedError(400, message, code="ERR_SCHEMA_VALIDATION_FAILED")


def missing(what: str) -> RefusedError:
    """No such record."""
    return RefusedError(404, f"{what} not found")


def gateway(status: int, error: str) -> Answer:
    """An error of the gateway before the application (reference 3.2)."""
    body = {"success": False, "error": error, "errorCode": status, "error_info": GATEWAY_INFO}
    headers = [(b"x-401-by-gw", b"true"), (b"x-correlation-id", b"sandbox")] if status == 401 else []
    return Answer(status, orjson.dumps(body), headers)


def success(data: Any, code: int = 200, **more: Any) -> Answer:
    """A success with ``data`` and further members of the envelope."""
    return Answer(code, orjson.dumps({"success": True, "data": data, **more}))


def success_rows(rows: list[bytes], more: dict[str, Any] | None) -> Answer:
    """A list whose rows are JSON already; ``more`` is its ``additional_data``."""
    tail = b',"additional_data":' + orjson.dumps(more) if more is not None else b""
    return Answer(200, b'{"success":true,"data":[' + b",".join(rows) + b"]" + tail + b"}")


def has_more(answer: Answer) -> bool:
    """Whether a list's answer promises a further page, by cursor or by offset (reference 4)."""
    more = orjson.loads(answer.body).get("additional_data") or {}
    paging = more.get("pagination") or {}
    return bool(more.get("next_cursor") or paging.get("more_items_in_collection"))
