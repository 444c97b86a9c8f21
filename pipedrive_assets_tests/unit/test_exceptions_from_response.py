"""Which response becomes which exception (reference sections 2.5, 3.2, 3.3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.exceptions import (
    ErrorContext,
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveQuotaException,
    PipedriveRateLimitException,
    PipedriveServerException,
)

from_response = PipedriveApiException.from_response
SERVER = [408, 500, 502, 503, 504, *range(520, 528)]
FINAL = [400, 404, 405, 409, 410, 415, 422, 501, 505, 418, 301]


def application(error: str, **more: object) -> bytes:
    return json.dumps({"success": False, "error": error, "data": None, **more}).encode()


@pytest.mark.parametrize("status", SERVER)
def test_server_errors_are_retryable(status):
    error = from_response(status, {}, b"")
    assert type(error) is PipedriveServerException
    assert error.retryable
    assert error.retry_after is None


@pytest.mark.parametrize("status", FINAL)
def test_what_repeating_does_not_help_is_final(status):
    error = from_response(status, {}, application("no"))
    assert type(error) is PipedriveApiException
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (401, application("unauthorized access", errorCode=401), PipedriveAuthException, "token"),
        (401, b"<html>", PipedriveAuthException, "token"),
        (402, application("payment required"), PipedriveQuotaException, None),
        (403, application("Scope and URL mismatch", errorCode=403), PipedriveAuthException, "scope"),
        (403, application("You do not have permissions to do this."), PipedriveAuthException, "permission"),
        (403, json.dumps({"success": False, "message": "Forbidden"}), PipedriveAuthException, "permission"),
        (403, b"", PipedriveAuthException, "permission"),
        (403, b"<!DOCTYPE html><title>error 1015</title>", PipedriveAuthException, "abuse"),
        (
            403,
            application(
                "Couldn't add the deal. Open deals limit reached.", code="feature_capping_deals_limit"
            ),
            PipedriveQuotaException,
            None,
        ),
        (403, application("anything", code="feature_capping_custom_fields"), PipedriveQuotaException, None),
        (
            403,
            application("Couldn't add activity type. You've reached the activity type per company limit."),
            PipedriveQuotaException,
            None,
        ),
    ],
)
def test_refusals_are_told_apart(status, body, kind, reason):
    error = from_response(status, {}, body)
    assert type(error) is kind
    assert getattr(error, "kind", None) == reason
    assert not error.retryable
    assert error.advice


def test_a_block_of_abuse_is_known_by_its_content_type_and_lasts_minutes():
    error = from_response(403, {"Content-Type": "text/html; charset=UTF-8", "Retry-After": "30"}, b"blocked")
    assert isinstance(error, PipedriveAuthException)
    assert (error.kind, error.retry_after) == ("abuse", 300.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "7", "x-ratelimit-reset": "1"}, 7.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:09 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 9.0),
        ({"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"X-RateLimit-Reset": "2"}, 2.0),
        ({"x-ratelimit-reset": "0"}, 1.0),
        ({"x-ratelimit-reset": "1764000000"}, 10.0),
        ({"Retry-After": "soon"}, 2.0),
        ({"Retry-After": "nan"}, 2.0),
        ({"Retry-After": "-1"}, 2.0),
        ({"x-daily-ratelimit-token-remaining": "12"}, 2.0),
        ({}, 2.0),
    ],
)
def test_a_burst_429_waits_as_asked_else_for_the_window(headers, seconds):
    error = from_response(429, headers, application("request over limit"))
    assert isinstance(error, PipedriveRateLimitException)
    assert (error.kind, error.retryable, error.retry_after) == ("burst", True, seconds)
    assert error.resets_at is None


@pytest.mark.parametrize("remaining", ["0", "-3"])
def test_a_daily_429_is_final_until_the_servers_midnight_whatever_retry_after_says(remaining):
    headers = {
        "x-daily-ratelimit-token-remaining": remaining,
        "Retry-After": "1",
        "Date": "Mon, 23 Nov 2026 23:59:59 GMT",
    }
    error = from_response(429, headers, b"", now=datetime(2030, 1, 1, tzinfo=UTC))
    assert isinstance(error, PipedriveRateLimitException)
    assert (error.kind, error.retryable, error.retry_after) == ("daily", False, None)
    assert error.resets_at == datetime(2026, 11, 24, tzinfo=UTC)


def test_without_a_date_header_the_callers_clock_tells_the_day():
    headers = {"x-daily-ratelimit-token-remaining": "0"}
    error = from_response(429, headers, b"", now=datetime(2026, 12, 31, 5, tzinfo=UTC))
    assert isinstance(error, PipedriveRateLimitException)
    assert error.resets_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_retry_after_of_a_503_is_kept():
    assert from_response(503, {"Retry-After": "120"}, b"").retry_after == 120.0


@pytest.mark.parametrize(
    ("body", "text", "code"),
    [
        (application("requested lead not found", error_info="Object was not found."), "requested lead", ""),
        (
            application("bad field", code="ERR_SCHEMA_VALIDATION_FAILED"),
            "bad field",
            "ERR_SCHEMA_VALIDATION_FAILED",
        ),
        (b'{"status":"error","success":false,"errors":{"id":["not found"]}}', "id: not found", ""),
        (b'{"success":false,"message":"Forbidden"}', "Forbidden", ""),
        (b'{"error": {"deep": 1}, "errors": {"a": []}}', "no reason given", ""),
        (b"[1, 2]", "no reason given", ""),
        (b"\xff\xfe", "no reason given", ""),
        (b"<html>", "an HTML page", ""),
    ],
)
def test_text_and_code_are_read_by_the_documented_rule(body, text, code):
    error = from_response(404, {}, body, context=ErrorContext(method="GET", endpoint="/api/v1/leads/7"))
    assert text in str(error)
    assert "404" in str(error) and "GET /api/v1/leads/7" in str(error)
    assert error.code == code


def test_the_answer_is_kept_without_cookies_and_cut_to_size():
    error = from_response(
        500,
        {"Set-Cookie": "session=1", "X-Correlation-Id": "abc", "Server": "x"},
        b"z" * 100_000,
        url="https://acme.pipedrive.com/api/v1/deals?api_token=5a4db0c5e1f2",
    )
    assert error.headers == {"x-correlation-id": "abc", "server": "x"}
    assert error.context.request_id == "abc"
    assert error.context.status == error.status == 500
    assert len(error.body) == 2000
    assert "5a4db0c5e1f2" not in error.url


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-reset", "date", "x-daily-ratelimit-token-remaining"]),
        st.text(max_size=30),
    ),
    body=st.binary(max_size=200) | st.text(max_size=200) | st.just(b"[" * 100_000),
)
def test_no_response_whatsoever_breaks_the_classification(status, headers, body):
    error = from_response(status, headers, body)
    assert error.status == status
    assert error.retry_after is None or error.retry_after >= 0
    assert error.retryable == (status in SERVER or (status == 429 and error.kind == "burst"))
