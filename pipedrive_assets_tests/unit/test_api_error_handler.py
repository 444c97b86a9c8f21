"""The table of errors: what each status, body and broken connection leads to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    IncompleteRead,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from pipedrive_assets.api.error_handler import RULES, Accepted, Failed, Failure, PipedriveErrorHandler
from pipedrive_assets.api.retry import Backoff
from pipedrive_assets.api.transport import Answer
from pipedrive_assets.exceptions import (
    ErrorContext,
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveConnectionException,
    PipedriveQuotaException,
    PipedriveRateLimitException,
    PipedriveServerException,
)

CONTEXT = ErrorContext(entity="deals", endpoint="v2:/deals", method="GET", attempt=1)
HANDLER = PipedriveErrorHandler(Backoff(max_retries=3, cap_seconds=16.0, jitter=False, random=Random(0)))
REFUSED = b'{"success":false,"error":"no"}'
HTML = b"<!DOCTYPE html><html>Cloudflare 1015</html>"


def judged(status: int, body: bytes = REFUSED, **headers: str) -> Accepted | Failed:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status, names, body, len(body), sent=0.0, answered=0.1, received=0.1, warm=True)
    return judge(answer)


def judge(answer: Answer, *, method: str = "GET", rows_at: Sequence[str] = ()) -> Accepted | Failed:
    context = replace(CONTEXT, method=method)
    url = "https://acme.pipedrive.com/api/v2/deals"
    return HANDLER.judge_answer(answer, context=context, url=url, rows_at=rows_at)


def answer_of(body: bytes) -> Answer:
    return Answer(200, {}, body, len(body), sent=0.0, answered=0.1, received=0.1, warm=True)


def failed(outcome: Accepted | Failed) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


PASSING = (408, 500, 502, 503, 504, *range(520, 528))
FINAL = (301, 400, 402, 403, 404, 405, 409, 410, 415, 422, 501, 505, 530, 599)


@pytest.mark.parametrize("status", PASSING)
def test_a_server_failure_is_retried_charged_and_counted_by_the_breaker(status: int) -> None:
    outcome = failed(judged(status))
    assert isinstance(outcome.error, PipedriveServerException)
    assert outcome.error.retryable
    assert outcome.rule.charged
    assert outcome.rule.trips
    assert HANDLER.delay_seconds("GET", outcome, 0) is not None


@pytest.mark.parametrize("status", FINAL)
def test_a_refusal_is_final_charged_and_no_matter_for_the_breaker(status: int) -> None:
    outcome = failed(judged(status))
    assert isinstance(outcome.error, PipedriveApiException)
    assert not outcome.error.retryable
    assert outcome.rule.charged
    assert not outcome.rule.trips
    assert HANDLER.delay_seconds("GET", outcome, 0) is None


@pytest.mark.parametrize("status", range(300, 600))
def test_what_is_retried_is_what_is_called_retryable(status: int) -> None:
    outcome = failed(judged(status))
    assert outcome.error.retryable == (HANDLER.delay_seconds("GET", outcome, 0) is not None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, REFUSED, PipedriveAuthException),
        (402, REFUSED, PipedriveQuotaException),
        (403, REFUSED, PipedriveAuthException),
        (403, b'{"success":false,"code":"feature_capping_deals_limit"}', PipedriveQuotaException),
        (403, HTML, PipedriveAuthException),
        (404, REFUSED, PipedriveApiException),
        (429, REFUSED, PipedriveRateLimitException),
        (500, HTML, PipedriveServerException),
        (200, HTML, PipedriveServerException),
        (200, b'{"success":true,"data":[{"id":1', PipedriveServerException),
        (200, b"[1]", PipedriveServerException),
        (200, REFUSED, PipedriveApiException),
        (200, b'{"success":false,"errorCode":403,"error":"no"}', PipedriveAuthException),
        (200, b'{"success":false,"errorCode":503,"error":"later"}', PipedriveServerException),
    ],
)
def test_status_and_body_decide_the_exception(status: int, body: bytes, kind: type[Exception]) -> None:
    outcome = failed(judged(status, body))
    assert type(outcome.error) is kind
    assert outcome.error.context.endpoint == "v2:/deals"


def test_a_token_that_is_refused_is_not_charged() -> None:
    assert not failed(judged(401)).rule.charged


def test_a_burst_429_waits_as_asked_and_stops_everybody_for_that_long() -> None:
    outcome = failed(judged(429, retry_after="7"))
    assert outcome.penalty_seconds == 7
    assert HANDLER.delay_seconds("GET", outcome, 0) == 7
    assert not outcome.rule.charged
    assert not outcome.rule.trips


def test_a_burst_429_without_any_hint_waits_as_long_as_the_window() -> None:
    outcome = failed(judged(429))
    assert outcome.penalty_seconds == 2
    assert [HANDLER.delay_seconds("GET", outcome, n) for n in range(3)] == [2, 4, 8]


def test_a_daily_429_is_neither_retried_nor_charged() -> None:
    outcome = failed(
        judged(
            429,
            x_daily_ratelimit_token_remaining="0",
            retry_after="3",
            date="Mon, 23 Nov 2026 10:00:00 GMT",
        )
    )
    assert isinstance(outcome.error, PipedriveRateLimitException)
    assert outcome.error.kind == "daily"
    assert HANDLER.delay_seconds("GET", outcome, 0) is None
    assert outcome.penalty_seconds == 0
    assert not outcome.rule.charged


def test_an_abuse_block_stops_everybody_for_minutes() -> None:
    outcome = failed(judged(403, HTML, content_type="text/html"))
    assert outcome.penalty_seconds >= 60
    assert HANDLER.delay_seconds("GET", outcome, 0) is None


def test_retry_after_of_a_maintenance_is_a_lower_bound() -> None:
    assert HANDLER.delay_seconds("GET", failed(judged(503, retry_after="90")), 0) == 90
    assert HANDLER.delay_seconds("GET", failed(judged(503, retry_after="1")), 0) == 4


@pytest.mark.parametrize("body", [b'{"success":true,"data":[]}', b'{"data":null}', b"{}"])
def test_a_good_answer_is_accepted(body: bytes) -> None:
    assert isinstance(judged(200, body), Accepted)


def test_only_a_deletion_may_be_answered_with_nothing() -> None:
    assert isinstance(judge(answer_of(b""), method="DELETE"), Accepted)
    for method in ("GET", "POST", "PUT", "PATCH"):
        assert failed(judge(answer_of(b""), method=method)).rule is RULES[Failure.MANGLED]


@pytest.mark.parametrize(
    ("keys", "body"),
    [
        (("data",), b'{"success":true,"data":[]}'),
        (("data",), b'{"success":true,"data":null}'),
        (("data", "goals"), b'{"success":true,"data":{"goals":[]}}'),
        (("data", "goals"), b'{"success":true,"data":{"goals":null}}'),
        (("data", "goals"), b'{"success":true,"data":null}'),
    ],
)
def test_a_list_that_says_it_is_empty_is_empty(keys: Sequence[str], body: bytes) -> None:
    assert isinstance(judge(answer_of(body), rows_at=keys), Accepted)


@pytest.mark.parametrize(
    ("keys", "body"),
    [
        (("data",), b""),
        (("data",), b"{}"),
        (("data",), b'{"success":true}'),
        (("data", "goals"), b'{"success":true,"data":{}}'),
        (("data", "goals"), b'{"success":true}'),
    ],
)
def test_a_list_without_its_rows_is_asked_for_again(keys: Sequence[str], body: bytes) -> None:
    outcome = failed(judge(answer_of(body), rows_at=keys))
    assert outcome.rule is RULES[Failure.MANGLED]
    assert HANDLER.delay_seconds("GET", outcome, 0) is not None


NOWHERE: Any = None
"""In place of the connection that urllib3's exceptions name."""


def wrapped(cause: Exception) -> requests.ConnectionError:
    """As ``requests`` wraps what went wrong below it."""
    return requests.ConnectionError(MaxRetryError(NOWHERE, "/", cause))


CONNECTIONS: list[tuple[requests.RequestException, Failure]] = [
    (wrapped(NameResolutionError("h", NOWHERE, socket.gaierror())), Failure.UNSENT),
    (wrapped(NewConnectionError(NOWHERE, "refused")), Failure.UNSENT),
    (requests.ConnectTimeout(MaxRetryError(NOWHERE, "/", ConnectTimeoutError())), Failure.UNSENT),
    (requests.ReadTimeout(ReadTimeoutError(NOWHERE, "/", "slow")), Failure.LOST),
    (requests.ConnectionError(ReadTimeoutError(NOWHERE, "/", "slow in the body")), Failure.LOST),
    (requests.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset"))), Failure.LOST),
    (requests.exceptions.ChunkedEncodingError(ProtocolError("x", IncompleteRead(1, 2))), Failure.LOST),
    (requests.exceptions.ContentDecodingError(DecodeError("gzip")), Failure.LOST),
    (
        requests.exceptions.SSLError(
            MaxRetryError(NOWHERE, "/", SSLError(ssl.SSLCertVerificationError("x")))
        ),
        Failure.UNTRUSTED,
    ),
    (requests.exceptions.SSLError(SSLError(ssl.SSLEOFError("cut"))), Failure.LOST),
    (requests.exceptions.InvalidURL("no host"), Failure.UNUSABLE),
]


@pytest.mark.parametrize(("failure", "kind"), CONNECTIONS, ids=lambda value: getattr(value, "name", None))
def test_a_broken_connection_is_classified_by_what_broke(
    failure: requests.RequestException, kind: Failure
) -> None:
    outcome = HANDLER.judge_failure(failure, context=CONTEXT)
    assert outcome.rule == RULES[kind]
    assert isinstance(outcome.error, PipedriveConnectionException)
    assert outcome.error.retryable == (RULES[kind].policy is not None)
    assert outcome.error.context.details["failure"] == kind.value
    assert outcome.error.__cause__ is failure


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("outcome", [judged(500), HANDLER.judge_failure(CONNECTIONS[3][0], context=CONTEXT)])
def test_what_can_be_done_twice_is_repeated_although_it_may_have_arrived(method: str, outcome: Any) -> None:
    assert HANDLER.delay_seconds(method, outcome, 0) is not None


@pytest.mark.parametrize(
    ("outcome", "repeated"),
    [
        (judged(500), False),
        (judged(200, HTML), False),
        (HANDLER.judge_failure(requests.ReadTimeout(), context=CONTEXT), False),
        (judged(429), True),
        (HANDLER.judge_failure(wrapped(NewConnectionError(NOWHERE, "refused")), context=CONTEXT), True),
    ],
)
def test_a_post_is_repeated_only_where_it_surely_did_nothing(outcome: Any, repeated: bool) -> None:
    assert (HANDLER.delay_seconds("POST", outcome, 0) is not None) == repeated


def test_every_class_of_errors_has_a_rule() -> None:
    assert set(RULES) == set(Failure)
