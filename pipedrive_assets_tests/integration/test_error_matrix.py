"""Every way in which a call can fail, and what follows from it, counted at the server.

The expectations are written out from the requirements (S16 to S30) and the API reference (sections 2.5, 3.2,
3.3 and 10), not taken from the rules under test. Each row fails all the time, so that every retry is seen.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.exceptions import (
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveConnectionException,
    PipedriveException,
    PipedriveQuotaException,
    PipedriveRateLimitException,
    PipedriveServerException,
)
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.scripted_server import SELF_SIGNED, Fault, Reply, ScriptedServer, Seen
from pipedrive_assets_tests.wiring import ACCOUNT, wired

COST = 10
PACE = [1, 2, 4]
"""Own waits between the four attempts, without jitter."""
SLOW_PACE = [4, 8, 16]
"""The same during maintenance."""
BURST_PACE = [2, 4]
"""The same after a burst 429: the window is two seconds long, and three refusals in a row are the most."""

HTML = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>"
NOON = "Mon, 23 Nov 2026 12:00:00 GMT"
NINE_SECONDS_PAST = "Mon, 23 Nov 2026 12:00:09 GMT"


def said(text: str, **more: object) -> dict[str, object]:
    """The application's error envelope (reference 3.2)."""
    return {"success": False, "error": text, "data": None, "additional_data": None, **more}


NO = said("no")


@dataclass(frozen=True)
class Row:
    """One way to fail and what must follow for a call of ten tokens with three retries.

    ``requests`` and ``tokens`` are of a GET, ``posts`` the requests of a POST; ``waits`` are between the
    attempts of the GET. ``counts``: each request is one failure for the circuit breaker. ``timeout`` is the
    setting in seconds.
    """

    name: str
    reply: Reply
    error: type[PipedriveException]
    kind: str | None = None
    retryable: bool = False
    requests: int = 1
    waits: list[float] = field(default_factory=list)
    tokens: int = COST
    counts: bool = False
    posts: int = 1
    timeout: float = 20.0


def passing(name: str, reply: Reply, waits: list[float] = PACE) -> Row:
    """The server failed: tried four times, paid four times, counted four times; a POST only once."""
    return Row(name, reply, PipedriveServerException, None, True, 4, waits, 4 * COST, counts=True, posts=1)


def final(name: str, reply: Reply, error: type[PipedriveException], kind: str | None = None) -> Row:
    """A refusal that would be the same next time: one request, paid, and the server is up."""
    return Row(name, reply, error, kind)


def burst(name: str, headers: dict[str, str], waits: list[float]) -> Row:
    """Over the limit of the two-second window: nothing was done, so a POST is repeated too, for free."""
    reply = Reply(429, said("request over limit"), headers)
    return Row(name, reply, PipedriveRateLimitException, "burst", True, 3, waits, tokens=0, posts=3)


def lost(name: str, reply: Reply, timeout: float = 20.0) -> Row:
    """The request may have arrived: it counts as paid, and only what can be done twice is done again."""
    error = PipedriveConnectionException
    return Row(name, reply, error, "lost", True, 4, PACE, 4 * COST, counts=True, timeout=timeout)


STATUSES = [
    final("301 redirect", Reply(301, b"", {"Location": "https://elsewhere.example"}), PipedriveApiException),
    final("304 not modified", Reply(304, b""), PipedriveApiException),
    final("400 bad request", Reply(400, said("Bad request")), PipedriveApiException),
    final(
        "400 validation",
        Reply(400, said("limit: must be a number", code="ERR_SCHEMA_VALIDATION_FAILED")),
        PipedriveApiException,
    ),
    final("400 of webhooks", Reply(400, {"success": False, "errors": {"id": ["no"]}}), PipedriveApiException),
    Row(
        "401 token",
        Reply(401, said("unauthorized access", errorCode=401), {"x-401-by-gw": "true"}),
        PipedriveAuthException,
        "token",
        tokens=0,
    ),
    final("402 unpaid", Reply(402, NO), PipedriveQuotaException),
    final(
        "403 permission",
        Reply(403, said("You do not have permissions to do this.")),
        PipedriveAuthException,
        "permission",
    ),
    final(
        "403 forbidden webhook",
        Reply(403, {"success": False, "message": "Forbidden"}),
        PipedriveAuthException,
        "permission",
    ),
    final(
        "403 plan limit",
        Reply(
            403,
            said("Couldn't add the deal. Open deals limit reached.", code="feature_capping_deals_limit"),
        ),
        PipedriveQuotaException,
    ),
    final(
        "403 entity count",
        Reply(
            403,
            said("Couldn't add activity type. You've reached the activity type per company limit."),
        ),
        PipedriveQuotaException,
    ),
    final(
        "403 scope",
        Reply(403, said("Scope and URL mismatch", errorCode=403)),
        PipedriveAuthException,
        "scope",
    ),
    final(
        "403 Cloudflare",
        Reply(403, HTML, {"Content-Type": "text/html; charset=UTF-8"}),
        PipedriveAuthException,
        "abuse",
    ),
    final("404 no such record", Reply(404, said("Deal not found")), PipedriveApiException),
    final("405 method", Reply(405, NO), PipedriveApiException),
    passing("408 request timeout", Reply(408, NO)),
    final("410 gone", Reply(410, said("The field is not found")), PipedriveApiException),
    final("415 feature off", Reply(415, NO), PipedriveApiException),
    final("422 webhooks full", Reply(422, NO), PipedriveApiException),
    burst("429 burst", {}, BURST_PACE),
    burst("429 burst, Retry-After in seconds", {"Retry-After": "5"}, [5, 5]),
    burst("429 burst, Retry-After as a date", {"Retry-After": NINE_SECONDS_PAST, "Date": NOON}, [9, 9]),
    burst("429 burst, Retry-After unreadable", {"Retry-After": "soon"}, BURST_PACE),
    burst("429 burst, reset of the window", {"x-ratelimit-reset": "3"}, [3, 4]),
    burst("429 burst, tokens left", {"x-daily-ratelimit-token-remaining": "17"}, BURST_PACE),
    Row(
        "429 daily",
        Reply(
            429,
            said("request over limit"),
            {"x-daily-ratelimit-token-remaining": "0", "Retry-After": "1", "Date": NOON},
        ),
        PipedriveRateLimitException,
        "daily",
        tokens=0,
    ),
    passing("500", Reply(500, NO)),
    passing("500 with a page", Reply(500, HTML, {"Content-Type": "text/html"})),
    passing("500 with nothing", Reply(500, b"")),
    final("501 no such function", Reply(501, NO), PipedriveApiException),
    passing("502", Reply(502, HTML, {"Content-Type": "text/html"})),
    passing("503 maintenance", Reply(503, NO), SLOW_PACE),
    passing("503 with Retry-After", Reply(503, NO, {"Retry-After": "7"}), [7, 8, 16]),
    passing("503 with a date", Reply(503, NO, {"Retry-After": NINE_SECONDS_PAST, "Date": NOON}), [9, 9, 16]),
    passing("504", Reply(504, NO)),
    *(passing(f"{status} of the edge", Reply(status, HTML)) for status in range(520, 528)),
    final("505 nobody knows", Reply(505, NO), PipedriveApiException),
    final("418 nobody knows", Reply(418, NO), PipedriveApiException),
]

BODIES = [
    passing("200 cut JSON", Reply(body=b'{"success":true,"data":[{"id":1')),
    passing("200 no JSON", Reply(body=b"busy")),
    passing("200 page", Reply(body=HTML, headers={"Content-Type": "text/html"})),
    passing("200 list", Reply(body=b"[]")),
    passing("200 null", Reply(body=b"null")),
    passing("200 nothing", Reply(body=b"")),
    final("200 success:false", Reply(body=said("no such filter")), PipedriveApiException),
    final("200 success:false 404", Reply(body=said("gone", errorCode=404)), PipedriveApiException),
    final(
        "200 success:false 403",
        Reply(body=said("Scope and URL mismatch", errorCode=403)),
        PipedriveAuthException,
        "scope",
    ),
    passing("200 success:false 500", Reply(body=said("oops", errorCode=500))),
    passing("200 success:false 503", Reply(body=said("later", code=503)), SLOW_PACE),
]

CONNECTIONS = [
    lost("reset before the headers", Reply(fault=Fault.RESET)),
    lost("reset in the body", Reply(fault=Fault.RESET_BODY)),
    lost("body cut off", Reply(fault=Fault.TRUNCATE)),
    lost("chunked body cut off", Reply(fault=Fault.TRUNCATE, chunked=True)),
    lost("compressed body cut off", Reply(fault=Fault.TRUNCATE, compressed=True)),
    lost("not the compression it claims", Reply(headers={"Content-Encoding": "gzip"})),
    lost("no answer in time", Reply(fault=Fault.HANG), timeout=0.3),
    lost("no more of the body in time", Reply(fault=Fault.HANG_BODY), timeout=0.3),
]


@dataclass
class Bench:
    """A client that is about to fail, and how that is seen."""

    client: PipedriveClient
    clock: SkippingClock
    state_url: str

    def fail(self, method: str) -> PipedriveException:
        body = {"title": "x"} if method == "POST" else None
        with pytest.raises(PipedriveException) as caught:
            self.client.request(
                method, Version.V2, "/deals", json_body=body, cost=COST, entity="deals", lane=Lane.INCREMENTAL
            )
        return caught.value

    @property
    def waits(self) -> list[float]:
        """Sleeps of half a second and more: shorter ones are slots of the burst window."""
        return [round(seconds, 1) for seconds in self.clock.slept if seconds >= 0.5]

    @property
    def state(self) -> tuple[int, int, int]:
        """Tokens spent, tokens still reserved, failures that the breaker has counted."""
        with StateStore.open(self.state_url, clock=self.clock) as store:
            day = store.ledger(ACCOUNT).day()
            return day.own_spent, day.reserved, store.breaker(ACCOUNT).snapshot().failures


@contextmanager
def bench_at(url: str, folder: Path, **variables: object) -> Iterator[Bench]:
    clock = SkippingClock()
    settings = load_settings(
        {
            "DAGSTER_HOME": str(folder),
            "PIPEDRIVE_TOKEN": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
            "PIPEDRIVE_BASE_URL": url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_RATE_LIMIT_JITTER": "false",
            "PIPEDRIVE_MAX_RETRY_ATTEMPTS": "3",
            "PIPEDRIVE_CIRCUIT_BREAKER_THRESHOLD": "100",
            **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()},
        }
    )
    with wired(settings, clock) as parts:
        yield Bench(parts.client, clock, settings.state_url)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply()).running() as running:
        yield running


@pytest.mark.parametrize("row", [*STATUSES, *BODIES, *CONNECTIONS], ids=lambda row: row.name)
def test_a_call_that_fails_fails_as_the_table_says(row: Row, server: ScriptedServer, tmp_path: Path) -> None:
    server.script = lambda _: row.reply
    with bench_at(server.url, tmp_path / "get", request_timeout=row.timeout) as bench:
        server.seen.clear()
        error = bench.fail("GET")
        assert len(server.seen) == row.requests
        assert type(error) is row.error
        assert getattr(error, "kind", error.context.details.get("failure")) == row.kind
        assert error.retryable == row.retryable
        assert (error.context.entity, error.context.endpoint) == ("deals", "v2:/deals")
        assert (error.context.method, error.context.attempt) == ("GET", row.requests)
        assert error.context.details["requests"] == row.requests
        assert bench.waits == row.waits
        assert bench.state == (row.tokens, 0, row.requests if row.counts else 0)
    with bench_at(server.url, tmp_path / "post", request_timeout=row.timeout) as bench:
        server.seen.clear()
        assert type(bench.fail("POST")) is row.error
        assert len(server.seen) == row.posts


def test_the_table_has_every_status_that_pipedrive_is_known_to_give() -> None:
    known = {400, 401, 402, 403, 404, 405, 408, 410, 415, 422, 429, 500, 501, 502, 503, 504, *range(520, 528)}
    assert known <= {row.reply.status for row in STATUSES}


# Before there is a connection ---------------------------------------------------------------------


@dataclass(frozen=True)
class NoConnection:
    """A place where no connection comes about; nothing can have arrived, so nothing is paid."""

    place: Callable[[ExitStack], str]
    kind: str = "unsent"
    retryable: bool = True
    attempts: int = 4
    waits: tuple[float, ...] = (1, 2, 4)


def _refusing(_: ExitStack) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def _full(stack: ExitStack) -> tuple[socket.socket, str]:
    """A listener that nobody serves, its queue full: the kernel drops each further knock."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def _self_signed(stack: ExitStack) -> str:
    return stack.enter_context(ScriptedServer(lambda _: Reply(), certificate=SELF_SIGNED).running()).url


NOWHERE = {
    "no such name": NoConnection(lambda _: "https://pipedrive.invalid"),
    "refused": NoConnection(_refusing),
    "no connection in time": NoConnection(lambda stack: _full(stack)[1]),
    "a certificate that nobody vouches for": NoConnection(_self_signed, "untrusted", False, 1, ()),
}


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_connection_nothing_is_paid_and_even_a_post_is_tried_again(
    name: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    expected = NOWHERE[name]
    with ExitStack() as stack:
        bench = stack.enter_context(bench_at(expected.place(stack), tmp_path, request_timeout=0.5))
        error = bench.fail(method)
        assert isinstance(error, PipedriveConnectionException)
        assert error.context.details["failure"] == expected.kind
        assert error.context.details["requests"] == expected.attempts
        assert error.retryable == expected.retryable
        assert bench.waits == list(expected.waits)
        assert bench.state == (0, 0, expected.attempts)


# The total deadline -------------------------------------------------------------------------------

DEADLINE = 1.4
PATIENCE = 0.7
"""What a busy machine may add."""


def seconds_of_a_call(url: str, folder: Path) -> float:
    """How long a call takes that gets no complete answer."""
    with bench_at(url, folder, request_timeout=DEADLINE, request_deadline=DEADLINE) as bench:
        started = time.monotonic()
        error = bench.fail("GET")
        seconds = time.monotonic() - started
        assert isinstance(error, PipedriveConnectionException)
        assert error.retryable
        return seconds


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fault", [Fault.TRICKLE, Fault.TRICKLE_HEADERS])
def test_an_answer_that_trickles_in_ends_at_the_deadline(
    fault: Fault, compressed: bool, server: ScriptedServer, tmp_path: Path
) -> None:
    # Each byte comes well within the timeout, so that nothing but the deadline can end it.
    body = random.Random(1).randbytes(1000)
    server.script = lambda _: Reply(body=body, fault=fault, compressed=compressed)
    assert seconds_of_a_call(server.url, tmp_path) < DEADLINE + PATIENCE


@pytest.mark.parametrize("chunked", [False, True])
def test_what_waiting_for_the_headers_took_is_not_left_for_the_body(
    chunked: bool, server: ScriptedServer, tmp_path: Path
) -> None:
    def late(_: Seen) -> Reply:
        time.sleep(0.7 * DEADLINE)
        return Reply(fault=Fault.HANG_BODY, chunked=chunked)

    server.script = late
    assert seconds_of_a_call(server.url, tmp_path) < DEADLINE + PATIENCE / 2


def test_what_connecting_took_is_not_left_for_the_answer(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener, url = _full(stack)

        def make_room() -> None:
            for _ in range(2):
                stack.enter_context(listener.accept()[0])

        # The kernel knocks again after a second, and is let in; but nobody reads.
        timer = threading.Timer(0.5, make_room)
        timer.start()
        stack.callback(timer.join)
        assert seconds_of_a_call(url, tmp_path) < DEADLINE + PATIENCE / 2


def test_several_addresses_that_do_not_answer_share_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = socket.getaddrinfo
    with ExitStack() as stack:
        listener, _ = _full(stack)
        port = listener.getsockname()[1]

        def addresses(host: str, *rest: Any, **named: Any) -> Any:
            return lookup("127.0.0.1" if host == "many.example" else host, *rest, **named) * 6

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        monkeypatch.setenv("NO_PROXY", "many.example")
        assert seconds_of_a_call(f"http://many.example:{port}", tmp_path) < DEADLINE + PATIENCE / 2


def test_an_address_that_does_not_answer_is_followed_by_the_next(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = socket.getaddrinfo

    def addresses(host: str, *rest: Any, **named: Any) -> Any:
        places = ["127.0.0.9", "127.0.0.1"] if host == "many.example" else [host]
        return [found for place in places for found in lookup(place, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    monkeypatch.setenv("NO_PROXY", "many.example")
    server.script = lambda _: Reply(404, NO)
    with bench_at(server.url.replace("127.0.0.1", "many.example"), tmp_path) as bench:
        assert type(bench.fail("GET")) is PipedriveApiException


@pytest.mark.parametrize(("deadline", "requests"), [(0.9, 1), (2.9, 2), (6.9, 3), (11, 4)])
def test_no_attempt_begins_after_the_deadline(
    deadline: float, requests: int, server: ScriptedServer, tmp_path: Path
) -> None:
    # Waits of 1, 2 and 4 s; what the requests themselves take fits into the rest.
    server.script = lambda _: Reply(500, NO)
    with bench_at(server.url, tmp_path, request_timeout=0.9, request_deadline=deadline) as bench:
        server.seen.clear()
        assert isinstance(bench.fail("GET"), PipedriveServerException)
        assert len(server.seen) == requests
