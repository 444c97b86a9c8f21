"""One HTTP request through the sandbox: latency, faults, gateway, limits, routing, charging, log."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pipedrive_assets.sandbox import faulty
from pipedrive_assets.sandbox.account import Account, UnknownRecordError
from pipedrive_assets.sandbox.answers import (
    CLOUDFLARE_PAGE,
    Answer,
    RefusedError,
    gateway,
    has_more,
    missing,
)
from pipedrive_assets.sandbox.config import SandboxConfig
from pipedrive_assets.sandbox.faults import Fault, Faults, Place
from pipedrive_assets.sandbox.limits import Limits
from pipedrive_assets.sandbox.log import RequestLog, RequestRecord, fingerprint
from pipedrive_assets.sandbox.params import check
from pipedrive_assets.sandbox.routing import Request, Route, Router, places

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SMALL_BYTES = 1_000
"""Answers up to this size are not compressed."""

PREFIXES = (("/api/v2", "v2"), ("/api/v1", "v1"), ("/v1", "v1"))
"""v2 has one prefix, v1 two (reference 1.1)."""


@dataclass
class Call:
    """One request on its way, as the log will tell it."""

    method: str
    raw_path: str
    params: dict[str, str]
    token: str | None
    gzip: bool = False
    version: str = ""
    path: str = ""
    arrived: float = 0.0
    cost: int = 0
    fault: Fault | None = None


class Api:
    """The ASGI application for everything below the API prefixes."""

    def __init__(
        self,
        config: SandboxConfig,
        account: Account,
        router: Router,
        limits: Limits,
        faults: Faults,
        log: RequestLog,
    ) -> None:
        self.config, self.account, self.router = config, account, router
        self.limits, self.faults, self.log = limits, faults, log
        self._jitter = random.Random(config.seed)  # noqa: S311 - repeatable, not secret
        self._tokens = frozenset(config.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        call = _call(scope)
        body = await _read_body(receive)
        await self._wait()
        call.fault = self.faults.next(call.method, call.raw_path, call.params, lambda: self._place(call))
        call.arrived = time.monotonic()
        answer = self._spoiled(call, body) if call.fault else self._answer(call, body)
        await self._wait()
        if self.config.gzip and call.gzip and len(answer.body) > SMALL_BYTES:
            answer.body = gzip.compress(answer.body, compresslevel=1)
            answer.headers.append((b"content-encoding", b"gzip"))
        self._note(call, answer)
        await faulty.deliver(call.fault, answer, send)

    async def _wait(self) -> None:
        """Half of the configured latency."""
        if self.config.latency_ms > 0:
            spread = self._jitter.uniform(-self.config.jitter_ms, self.config.jitter_ms)
            await asyncio.sleep(max(0.0, self.config.latency_ms + spread) / 2000)

    def _place(self, call: Call) -> Place | None:
        """Which page of its list a request asks for; None where it asks for no list or would be refused."""
        route = self._route(call)
        if not isinstance(route, Route) or not route.is_list:
            return None
        try:
            with self.account.lock:
                more = has_more(route.handler(self.account, self._request(call, route)))
        except (RefusedError, UnknownRecordError):
            return None
        if "cursor" in call.params or call.params.get("start", "0") != "0":
            return "middle" if more else "last"
        return "first" if more else "only"

    def _spoiled(self, call: Call, body: bytes) -> Answer:
        """The answer under a fault; one that stands in for the answer is charged by its own status."""
        fault = call.fault
        if fault is None or not fault.replaces:
            answer = self._answer(call, body)
            return faulty.spoil(fault, answer) if fault and answer.status < 300 else answer
        answer = faulty.instead(fault)
        route = self._route(call)
        if isinstance(route, Route) and answer.status < 500:
            call.cost = self.limits.charge(route.operation.cost, answer.status)
        if call.token:
            answer.headers += self.limits.headers(call.token)
        return answer

    def _answer(self, call: Call, body: bytes) -> Answer:
        """The true answer: gateway, limits, handler, charge."""
        if call.token not in self._tokens:
            self._route(call)
            return gateway(401, "unauthorized access")
        found = self._route(call)
        answer = found if isinstance(found, Answer) else self._limited(call, found, body)
        if answer.content_type.startswith(b"application/json"):
            answer.headers += self.limits.headers(call.token)
        return answer

    def _route(self, call: Call) -> Route | Answer:
        prefix, version = next(((p, v) for p, v in PREFIXES if call.raw_path.startswith(p + "/")), ("", ""))
        found = self.router.find(version, call.raw_path[len(prefix) :]) if version else None
        call.version, call.path = version, call.raw_path[len(prefix) :]
        if found is None:
            return gateway(403, "Scope and URL mismatch")
        routes, _ = found
        route = routes.get(call.method)
        if route is None:
            call.path = next(iter(routes.values())).path
            return RefusedError(405, "Method not allowed").answer()
        call.path = route.path
        return route

    def _limited(self, call: Call, route: Route, body: bytes) -> Answer:
        cost = route.operation.cost
        verdict = self.limits.admit(call.token or "", cost, search=route.search)
        if verdict.refused == "blocked":
            return Answer(403, CLOUDFLARE_PAGE.encode(), content_type=b"text/html; charset=UTF-8")
        if verdict.refused:
            answer = RefusedError(429, "request over limit").answer()
            if verdict.retry_after is not None and self.config.retry_after_header:
                answer.headers.append((b"retry-after", b"%d" % verdict.retry_after))
            return answer
        answer = self._handled(call, route, body)
        call.cost = self.limits.charge(cost, answer.status)
        return answer

    def _request(self, call: Call, route: Route) -> Request:
        """The call as handlers take it; refused where a parameter is wrong."""
        found = self.router.find(call.version, call.raw_path.split(call.version, 1)[1])
        request = Request(
            call.method,
            call.version,
            route.path,
            route.operation,
            places(route.path, found[1] if found else []),
            {name: value for name, value in call.params.items() if name != "api_token"},
        )
        check(call.version, route.path, route.operation, request.params)
        return request

    def _handled(self, call: Call, route: Route, body: bytes) -> Answer:
        try:
            request = self._request(call, route)
            if body:
                request.body = _json(body)
            with self.account.lock:
                if route.is_list:
                    for hook in list(self.account.hooks):
                        hook(call.version, route.path, request.params)
                return route.handler(self.account, request)
        except RefusedError as refused:
            return refused.answer()
        except UnknownRecordError:
            return missing("Record").answer()

    def _note(self, call: Call, answer: Answer) -> None:
        """Log the request; add the headers that every answer has."""
        clock = self.account.clock
        self.log.append(
            RequestRecord(
                time_server=clock.time(),
                time_monotonic=call.arrived,
                day=clock.day(),
                method=call.method,
                version=call.version,
                path=call.path,
                raw_path=call.raw_path,
                params=call.params,
                status=answer.status,
                cost=call.cost,
                token_fingerprint=fingerprint(call.token) if call.token else None,
                fault=call.fault.kind if call.fault else None,
            )
        )
        answer.headers.append((b"date", clock.http_date().encode()))


def _call(scope: Scope) -> Call:
    headers = dict(scope["headers"])
    params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    token = headers.get(b"x-api-token", b"").decode("latin-1") or None
    path = scope["path"]
    if token is None and not path.startswith("/api/v2"):
        token = params.get("api_token")
    if "api_token" in params:
        params["api_token"] = "***"  # noqa: S105
    return Call(scope["method"], path, params, token, b"gzip" in headers.get(b"accept-encoding", b""))


async def _read_body(receive: Receive) -> bytes:
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise RefusedError(400, "Bad request: the body is not JSON") from wrong
