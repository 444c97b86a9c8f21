"""The client through real sockets, state store, limiter and breaker; requests are counted on the server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.api.call import endpoint_of
from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.api.response import ApiResponse
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.exceptions import (
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveCircuitOpenException,
    PipedriveConnectionException,
    PipedriveDataException,
    PipedriveException,
    PipedriveRateLimitException,
    PipedriveServerException,
)
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.scripted_server import Fault, Reply, ScriptedServer
from pipedrive_assets_tests.wiring import wired

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
OK = Reply(body={"success": True, "data": [{"id": 1}]})


@dataclass
class Bench:
    """A client and what stands around it."""

    client: PipedriveClient
    limiter: PipedriveRateLimitManager
    clock: SkippingClock
    server: ScriptedServer

    def get(self, path: str = "/deals", cost: int = 10, **rest: Any) -> ApiResponse:
        return self.client.get(Version.V2, path, cost=cost, lane=Lane.INCREMENTAL, **rest)

    def send(self, method: str, **rest: Any) -> ApiResponse:
        return self.client.request(method, Version.V2, "/deals", cost=5, lane=Lane.PUSH, **rest)

    @property
    def backoffs(self) -> list[float]:
        """Sleeps of half a second and more: shorter ones are slots of the burst window."""
        return [round(seconds, 2) for seconds in self.clock.slept if seconds >= 0.5]

    @property
    def requests(self) -> int:
        return len(self.server.seen)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: OK).running() as running:
        yield running


@pytest.fixture
def bench_for(tmp_path: Path, server: ScriptedServer) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def build(**variables: Any) -> Bench:
            clock = SkippingClock()
            environment = {
                "DAGSTER_HOME": str(tmp_path),
                "PIPEDRIVE_TOKEN": TOKEN,
                "PIPEDRIVE_BASE_URL": server.url,
                "PIPEDRIVE_PLAN": "ultimate",
                "PIPEDRIVE_RATE_LIMIT_JITTER": "false",
                **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()},
            }
            parts = stack.enter_context(wired(load_settings(environment), clock))
            return Bench(parts.client, parts.limiter, clock, server)

        yield build


@pytest.fixture
def bench(bench_for: Callable[..., Bench]) -> Bench:
    return bench_for()


# What goes out ----------------------------------------------------------------------------------


def test_the_token_goes_in_a_header_and_nowhere_else(bench: Bench) -> None:
    bench.get(params={"status": "open,won", "limit": "500"})
    (seen,) = bench.server.seen
    assert seen.headers["x-api-token"] == TOKEN
    assert (seen.path, seen.params) == ("/api/v2/deals", {"status": "open,won", "limit": "500"})
    assert TOKEN not in str(seen.params) + seen.path
    assert seen.headers["user-agent"].startswith("pipedrive-assets")
    assert seen.headers["accept-encoding"] == "gzip"


def test_a_body_goes_as_json(bench: Bench) -> None:
    bench.send("POST", json_body={"title": "Überfall 🦊"})
    (seen,) = bench.server.seen
    assert seen.headers["content-type"] == "application/json"
    assert seen.body.decode() == '{"title":"Überfall 🦊"}'


def test_connections_are_kept_and_shared_between_threads(bench: Bench) -> None:
    gate = threading.Barrier(4)

    def work(_: int) -> None:
        gate.wait()
        for _ in range(5):
            bench.get()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert bench.requests == 20
    assert len({seen.client for seen in bench.server.seen}) <= 4


def test_a_redirect_is_not_followed_with_the_token(bench: Bench) -> None:
    bench.server.replies(Reply(302, headers={"Location": bench.server.url + "/elsewhere"}))
    with pytest.raises(PipedriveApiException):
        bench.get()
    assert bench.requests == 1


# What comes back --------------------------------------------------------------------------------


def test_an_answer_says_what_it_took(bench: Bench) -> None:
    bench.server.replies(Reply(500), Reply(503), OK)
    response = bench.get()
    assert response.data == [{"id": 1}]
    assert (response.requests, response.retries) == (3, 2)
    assert response.tokens == 30
    assert response.wait_seconds >= 1 + 8
    assert response.seconds < 5


@pytest.mark.parametrize("chunked", [True, False])
def test_a_compressed_body_is_unpacked_and_counted_as_it_came(bench: Bench, chunked: bool) -> None:
    rows = [{"id": number, "title": "the same again"} for number in range(500)]
    bench.server.replies(Reply(body={"success": True, "data": rows}, compressed=True, chunked=chunked))
    response = bench.get()
    assert response.data == rows
    assert 0 < response.bytes < 5_000


def test_the_servers_time_is_its_own_whatever_the_client_thinks(bench: Bench) -> None:
    date = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    bench.server.replies(Reply(headers={"Date": date.strftime("%a, %d %b %Y %H:%M:%S GMT")}))
    response = bench.get()
    assert response.server_time == date
    assert date - timedelta(seconds=2) < response.requested_at_server <= date


def test_the_identity_is_read_from_users_me(bench: Bench) -> None:
    bench.server.replies(
        Reply(
            body={
                "success": True,
                "data": {
                    "id": 7,
                    "name": "Ada",
                    "company_id": 42,
                    "company_name": "Acme",
                    "company_domain": "acme",
                    "access": [{"app": "sales", "admin": True}],
                },
            }
        )
    )
    assert bench.client.identity() == AccountIdentity(42, "Acme", "acme", 7, "Ada", True)
    assert bench.server.seen[0].path == "/api/v1/users/me"
    assert bench.limiter.budget().spent == 2


def test_an_identity_without_a_company_is_an_error(bench: Bench) -> None:
    bench.server.replies(Reply(body={"success": True, "data": {"id": 7}}))
    with pytest.raises(PipedriveDataException, match="whose token"):
        bench.client.identity()


# What goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 527])
def test_a_passing_failure_is_retried_until_it_passes(bench: Bench, status: int) -> None:
    bench.server.replies(Reply(status), Reply(status), OK)
    assert bench.get().retries == 2
    assert bench.requests == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 415, 422, 501])
def test_a_final_refusal_costs_one_request(bench: Bench, status: int) -> None:
    bench.server.replies(Reply(status, {"success": False, "error": "no"}))
    with pytest.raises(PipedriveApiException) as caught:
        bench.get(entity="deals")
    assert bench.requests == 1
    assert bench.clock.slept == []
    error = caught.value
    assert (error.status, error.retryable) == (status, False)
    assert (error.context.entity, error.context.endpoint, error.context.attempt) == ("deals", "v2:/deals", 1)


BROKEN = [
    Reply(fault=Fault.RESET),
    Reply(fault=Fault.TRUNCATE),
    Reply(fault=Fault.TRUNCATE, chunked=True),
    Reply(fault=Fault.TRUNCATE, compressed=True),
    Reply(fault=Fault.TRUNCATE, compressed=True, chunked=True),
    Reply(headers={"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("reply", BROKEN)
def test_a_broken_connection_is_retried(bench: Bench, reply: Reply) -> None:
    bench.server.replies(reply, OK)
    assert bench.get().retries == 1
    assert bench.requests == 2


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b'{"success":true,"data":[{"id":1', b"[]", b"null"]
)
def test_a_spoiled_body_under_status_200_is_retried(bench: Bench, body: bytes) -> None:
    bench.server.replies(Reply(body=body), OK)
    assert bench.get().retries == 1


def test_a_body_that_says_it_failed_is_an_error_although_the_status_is_200(bench: Bench) -> None:
    bench.server.replies(Reply(body={"success": False, "error": "no such filter"}))
    with pytest.raises(PipedriveApiException, match="no such filter"):
        bench.get()
    assert bench.requests == 1


def test_a_server_that_hangs_is_given_up_after_the_timeout(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(request_timeout=0.2, max_retry_attempts=1)
    bench.server.replies(Reply(fault=Fault.HANG))
    with pytest.raises(PipedriveConnectionException) as caught:
        bench.get()
    assert bench.requests == 2
    assert caught.value.context.details["failure"] == "lost"
    assert caught.value.context.details["requests"] == 2


def test_a_body_that_trickles_in_ends_at_the_deadline(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(request_timeout=0.4, request_deadline=0.4)
    bench.server.replies(Reply(body=b" " * 200, fault=Fault.TRICKLE))
    started = time.monotonic()
    with pytest.raises(PipedriveConnectionException):
        bench.get()
    assert time.monotonic() - started < 3
    assert bench.requests == 1


def test_a_refused_connection_is_retried_and_costs_nothing(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(base_url="http://127.0.0.1:1")
    with pytest.raises(PipedriveConnectionException) as caught:
        bench.get()
    assert bench.backoffs == [1, 2, 4]
    assert caught.value.context.details == {
        "failure": "unsent",
        "cause": "ConnectionError",
        "requests": 4,
        "tokens": 0,
    }
    assert bench.limiter.budget().spent == 0


@pytest.mark.parametrize(("retries", "delays"), [(0, []), (3, [1, 2, 4]), (6, [1, 2, 4, 8, 16, 16])])
def test_retries_and_delays_follow_the_settings(
    bench_for: Callable[..., Bench], retries: int, delays: list[float]
) -> None:
    bench = bench_for(max_retry_attempts=retries, circuit_breaker_threshold=100)
    bench.server.replies(Reply(500))
    with pytest.raises(PipedriveServerException) as caught:
        bench.get()
    assert bench.requests == retries + 1
    assert bench.backoffs == delays
    assert caught.value.context.attempt == retries + 1


def test_jitter_draws_each_delay_below_its_ceiling(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(rate_limit_jitter=True)
    bench.server.replies(Reply(500))
    with pytest.raises(PipedriveServerException):
        bench.get()
    assert all(slept <= ceiling for slept, ceiling in zip(bench.clock.slept, [1, 2, 4], strict=True))


def test_a_call_is_given_up_where_the_next_attempt_would_miss_its_deadline(bench: Bench) -> None:
    bench.server.replies(Reply(503, headers={"Retry-After": "120"}))
    with pytest.raises(PipedriveServerException) as caught:
        bench.get(deadline=bench.clock.monotonic() + 60)
    assert bench.requests == 1
    assert bench.clock.slept == []
    assert caught.value.retry_after == 120


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_idempotent_method_is_repeated_after_a_lost_answer(bench: Bench, method: str) -> None:
    bench.server.replies(Reply(fault=Fault.TRUNCATE), OK)
    assert bench.send(method).retries == 1


@pytest.mark.parametrize("reply", [Reply(500), Reply(fault=Fault.TRUNCATE), Reply(fault=Fault.RESET)])
def test_a_post_that_may_have_arrived_is_not_repeated(bench: Bench, reply: Reply) -> None:
    bench.server.replies(reply)
    with pytest.raises(PipedriveException):
        bench.send("POST", json_body={})
    assert bench.requests == 1


def test_a_post_that_was_refused_for_the_burst_limit_is_repeated(bench: Bench) -> None:
    bench.server.replies(Reply(429, headers={"Retry-After": "1"}), OK)
    assert bench.send("POST", json_body={}).retries == 1


# Limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "9"}, 9),
        ({"x-ratelimit-reset": "3"}, 3),
        ({}, 2),
        ({"x-ratelimit-reset": "9999"}, 10),
    ],
)
def test_a_burst_429_waits_as_long_as_the_server_says(
    bench: Bench, headers: dict[str, str], wait: float
) -> None:
    bench.server.replies(Reply(429, headers=headers), OK)
    assert bench.get().tokens == 10
    assert bench.backoffs[0] == wait
    assert bench.limiter.budget().spent == 10


def test_only_burst_429_in_a_row_are_counted_together(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(max_retry_attempts=10, request_deadline=1000)
    refused = Reply(429, headers={"Retry-After": "1"})
    bench.server.replies(refused, refused, Reply(502), refused, refused, OK)
    assert bench.get().requests == 6
    bench.server.replies(Reply(502), Reply(502), Reply(502), refused, refused, refused, OK)
    with pytest.raises(PipedriveRateLimitException):
        bench.get()
    assert bench.requests == 6 + 6


def test_a_daily_429_stops_every_request_until_the_reset(bench: Bench) -> None:
    spent = {"x-daily-ratelimit-token-remaining": "0", "x-daily-ratelimit-token-limit": "30000"}
    bench.server.replies(Reply(429, headers=spent))
    for _ in range(3):
        with pytest.raises(PipedriveRateLimitException) as caught:
            bench.get()
        assert caught.value.kind == "daily"
        assert caught.value.resets_at is not None
        assert not caught.value.retryable
    assert bench.requests == 1


def test_an_abuse_block_keeps_the_next_request_waiting(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(request_deadline=1000)
    blocked = Reply(403, b"<html>error 1015</html>", headers={"Content-Type": "text/html"})
    bench.server.replies(blocked, OK)
    with pytest.raises(PipedriveAuthException) as caught:
        bench.get()
    assert caught.value.kind == "abuse"
    assert bench.get().requests == 1
    assert sum(bench.clock.slept) > 290


def test_no_call_goes_out_while_an_abuse_block_of_hours_lasts(bench: Bench) -> None:
    headers = {"Content-Type": "text/html", "Retry-After": "7200"}
    bench.server.replies(Reply(403, b"<html>error 1015</html>", headers=headers))
    with pytest.raises(PipedriveAuthException):
        bench.get()
    for _ in range(9):
        with pytest.raises(PipedriveRateLimitException) as caught:
            bench.get()
        assert caught.value.retry_after == pytest.approx(7200, abs=5)
    assert bench.requests == 1


@pytest.mark.parametrize(
    ("reply", "spent"),
    [
        (OK, 10),
        (Reply(404), 10),
        (Reply(401), 0),
        (Reply(429, headers={"Retry-After": "600"}), 0),
        (Reply(500), 10),
    ],
)
def test_each_outcome_is_charged_as_the_reference_assumes(
    bench_for: Callable[..., Bench], reply: Reply, spent: int
) -> None:
    bench = bench_for(max_retry_attempts=0)
    bench.server.replies(reply)
    if reply is OK:
        bench.get()
    else:
        with pytest.raises(PipedriveException):
            bench.get()
    state = bench.limiter.budget()
    assert (state.spent, state.reserved) == (spent, 0)


def test_an_interrupted_request_is_settled_as_spent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("requests.Session.request", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.get()
    state = bench.limiter.budget()
    assert (state.spent, state.reserved) == (10, 0)


def test_a_configured_price_prevails_over_the_published_one(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(token_costs='{"v2:/deals/{id}": 3, "persons": 7}')
    assert bench.get("/deals/12", cost=1).tokens == 3
    assert bench.get("/persons", entity="persons").tokens == 7
    assert bench.get("/deals").tokens == 10


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/deals", "v2:/deals"),
        ("/deals/17/products", "v2:/deals/{id}/products"),
        ("/leads/adf21080-0e10-11eb-879b-05d71fb426ec", "v2:/leads/{id}"),
        ("/goals/5e3f6b8a9c1d2e3f4a5b6c7d/results", "v2:/goals/{id}/results"),
        ("/mailbox/mailThreads/3/mailMessages", "v2:/mailbox/mailThreads/{id}/mailMessages"),
    ],
)
def test_requests_are_counted_by_endpoint_and_not_by_record(path: str, endpoint: str) -> None:
    assert endpoint_of(Version.V2, path) == endpoint


# Circuit breaker --------------------------------------------------------------------------------


def test_failures_in_a_row_open_the_circuit_and_one_success_closes_it(
    bench_for: Callable[..., Bench],
) -> None:
    bench = bench_for(max_retry_attempts=0, circuit_breaker_threshold=3, circuit_breaker_timeout=100)
    bench.server.replies(Reply(500))
    for _ in range(3):
        with pytest.raises(PipedriveServerException):
            bench.get()
    for _ in range(5):
        with pytest.raises(PipedriveCircuitOpenException):
            bench.get()
    assert bench.requests == 3
    bench.server.replies(OK)
    bench.clock.sleep(101)
    assert bench.get().data == [{"id": 1}]
    assert bench.get().data == [{"id": 1}]
    assert bench.requests == 5


def test_a_circuit_that_opens_between_attempts_keeps_the_failure_as_its_cause(
    bench_for: Callable[..., Bench],
) -> None:
    bench = bench_for(max_retry_attempts=5, circuit_breaker_threshold=2)
    bench.server.replies(Reply(500))
    with pytest.raises(PipedriveCircuitOpenException) as caught:
        bench.get()
    assert isinstance(caught.value.__cause__, PipedriveServerException)
    assert bench.requests == 2


def test_refusals_never_open_the_circuit(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(circuit_breaker_threshold=1)
    bench.server.replies(Reply(404))
    for _ in range(3):
        with pytest.raises(PipedriveApiException):
            bench.get()
    assert bench.requests == 3


# What is told -----------------------------------------------------------------------------------


def test_a_probe_that_the_budget_refuses_leaves_the_probe_to_others(bench_for: Callable[..., Bench]) -> None:
    bench = bench_for(
        daily_token_budget=100,
        max_retry_attempts=0,
        circuit_breaker_threshold=1,
        circuit_breaker_timeout=60,
    )
    bench.server.replies(Reply(500), OK)
    with pytest.raises(PipedriveServerException):
        bench.get()
    bench.clock.sleep(61)
    with pytest.raises(PipedriveRateLimitException):
        bench.get(cost=1000)
    with ThreadPoolExecutor(1) as another:
        assert another.submit(bench.get).result().status == 200


def test_requests_and_retries_are_told_without_secrets(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="pipedrive_assets")
    bench.server.replies(Reply(500, {"success": False, "error": f"token {TOKEN} is odd"}), OK)
    bench.get(entity="deals", params={"term": "secret-name"})
    events = {record.pipedrive["event"]: record for record in caplog.records if hasattr(record, "pipedrive")}
    retry = events["request_retry"]
    assert retry.levelno == logging.WARNING
    assert "endpoint=v2:/deals entity=deals status=500" in retry.getMessage()
    assert retry.pipedrive["delay_s"] == 1
    assert events["request_sent"].levelno == logging.DEBUG
    ours = "\n".join(record.getMessage() for record in caplog.records if hasattr(record, "pipedrive"))
    assert TOKEN not in caplog.text
    assert "secret-name" not in ours


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, {"success": False, "error": f"bad token {TOKEN}", "x": TOKEN}, headers={"X-Echo": TOKEN}),
        Reply(500, TOKEN.encode()),
        Reply(body=TOKEN.encode()),
        Reply(fault=Fault.RESET),
    ],
)
def test_no_exception_carries_the_token(bench_for: Callable[..., Bench], reply: Reply) -> None:
    bench = bench_for(max_retry_attempts=0)
    bench.server.replies(reply)
    with pytest.raises(PipedriveException) as caught:
        bench.get()
    error = caught.value
    assert TOKEN not in str(error) + repr(error) + str(error.to_dict()) + str(vars(error))
