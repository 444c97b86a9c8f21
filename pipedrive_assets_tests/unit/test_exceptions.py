"""The exception tree: what it carries, that it travels, and that it holds no secret."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.exceptions import (
    ErrorContext,
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveCircuitOpenException,
    PipedriveConfigException,
    PipedriveConnectionException,
    PipedriveDataException,
    PipedriveException,
    PipedriveMemoryException,
    PipedriveQuotaException,
    PipedriveRateLimitException,
    PipedriveServerException,
    PipedriveStateException,
    PipedriveWarehouseException,
)

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
WORDS = st.none() | TEXT
MOMENTS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CONTEXTS = st.builds(
    ErrorContext,
    entity=WORDS,
    endpoint=WORDS,
    method=WORDS,
    attempt=st.none() | st.integers(1, 20),
    status=st.none() | st.integers(100, 599),
    request_id=WORDS,
    details=st.dictionaries(TEXT, PLAIN, max_size=3),
)
BASE = {
    "context": CONTEXTS,
    "retryable": st.none() | st.booleans(),
    "retry_after": st.none() | st.floats(0, 1e6),
}
ANSWER = {
    "status": st.integers(100, 599),
    "url": TEXT,
    "headers": st.dictionaries(TEXT, TEXT, max_size=3),
    "body": PLAIN,
    "code": TEXT,
}
KEYWORDS: dict[type[PipedriveException], dict[str, st.SearchStrategy]] = {
    PipedriveException: BASE,
    PipedriveApiException: {**BASE, **ANSWER},
    PipedriveRateLimitException: {
        **BASE,
        **ANSWER,
        "kind": st.sampled_from(["burst", "daily"]),
        "resets_at": MOMENTS,
    },
    PipedriveAuthException: {
        **BASE,
        **ANSWER,
        "kind": st.sampled_from(["token", "permission", "scope", "abuse"]),
    },
    PipedriveQuotaException: {**BASE, **ANSWER},
    PipedriveServerException: {**BASE, **ANSWER},
    PipedriveConnectionException: BASE,
    PipedriveMemoryException: BASE,
    PipedriveCircuitOpenException: {**BASE, "next_try_at": MOMENTS},
    PipedriveDataException: BASE,
    PipedriveConfigException: {**BASE, "problems": st.lists(TEXT, max_size=3).map(tuple)},
    PipedriveStateException: BASE,
    PipedriveWarehouseException: BASE,
}
TREE = list(KEYWORDS)


def subclasses(kind: type[PipedriveException]) -> set[type[PipedriveException]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_class_of_the_module_is_tested_here():
    here = {
        kind for kind in subclasses(PipedriveException) if kind.__module__ == "pipedrive_assets.exceptions"
    }
    assert here == set(TREE)


@pytest.mark.parametrize("kind", TREE)
@given(data=st.data())
def test_an_exception_survives_pickling_and_a_round_trip_through_its_dict(kind, data):
    keywords = {name: data.draw(strategy) for name, strategy in KEYWORDS[kind].items()}
    original = kind(data.draw(TEXT), **keywords)
    as_dict = original.to_dict()

    for copy in (
        pickle.loads(pickle.dumps(original)),
        PipedriveException.from_dict(as_dict),
        PipedriveException.from_dict(json.loads(json.dumps(as_dict))),
    ):
        assert type(copy) is kind
        assert copy.to_dict() == as_dict
        assert str(copy) == str(original)
        assert copy.context == original.context
        assert copy.advice == original.advice


def test_an_exception_of_another_module_travels_too():
    assert pickle.loads(pickle.dumps(_Elsewhere("gone", status=400))).to_dict()["type"] == "_Elsewhere"


class _Elsewhere(PipedriveApiException):
    """As a room may define one of its own."""


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="no Pipedrive exception is called 'OSError'"):
        PipedriveException.from_dict({**PipedriveException("x").to_dict(), "type": "OSError"})


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (PipedriveRateLimitException, PipedriveApiException),
        (PipedriveAuthException, PipedriveApiException),
        (PipedriveQuotaException, PipedriveApiException),
        (PipedriveServerException, PipedriveApiException),
        (PipedriveApiException, PipedriveException),
        (PipedriveConnectionException, PipedriveException),
        (PipedriveMemoryException, PipedriveException),
        (PipedriveConfigException, PipedriveException),
    ],
)
def test_the_tree_is_the_one_drawn_in_the_docstring(kind, parent):
    assert kind.__bases__ == (parent,)


def test_only_what_passes_by_itself_is_retryable():
    assert PipedriveConnectionException("x").retryable
    assert PipedriveMemoryException("x").retryable
    assert PipedriveServerException("x", status=500).retryable
    assert PipedriveRateLimitException("x", kind="burst").retryable
    assert not PipedriveRateLimitException("x", kind="daily").retryable
    assert not PipedriveConnectionException("certificate", retryable=False).retryable
    assert not PipedriveCircuitOpenException("x").retryable
    assert not PipedriveAuthException("x", status=401, kind="token").retryable


def test_context_is_filled_in_from_outside_without_overwriting_what_is_known():
    error = PipedriveDataException("x", context=ErrorContext(entity="deals", details={"page": 3}))
    same = error.with_context(entity="notes", endpoint="/deals", details={"page": 1, "run": "a"})
    assert same is error
    assert error.context == ErrorContext(entity="deals", endpoint="/deals", details={"page": 3, "run": "a"})


def test_a_config_exception_has_one_line_for_each_problem():
    error = PipedriveConfigException(problems=("A=1: wrong", "B=2: wrong"))
    assert str(error).splitlines() == ["A=1: wrong", "B=2: wrong"]
    assert PipedriveConfigException("C=3: wrong").problems == ("C=3: wrong",)


def test_moments_are_utc_whatever_zone_they_come_in():
    error = PipedriveRateLimitException("x", kind="daily", resets_at="2026-11-24T01:00:00+01:00")
    assert error.resets_at == datetime(2026, 11, 24, tzinfo=UTC)
    assert "2026-11-24 00:00 UTC" in error.advice


SECRETS = [
    ("x-api-token: {}", "header"),
    ("https://api.pipedrive.com/v1/deals?start=0&api_token={}&limit=5", "query"),
    ("Authorization: Bearer {}", "bearer"),
    ('{{"access_token": "{}", "scope": "base"}}', "json"),
    ("https://me:{}@example.com/", "user part"),
    ("postgresql://pipedrive:{}@localhost/state", "database"),
    ("ducklake:postgres:host=db password={} dbname=lake", "connection string"),
]


@pytest.mark.parametrize(("text", "where"), SECRETS, ids=[where for _, where in SECRETS])
def test_no_secret_is_left_in_message_context_url_headers_or_body(text, where):
    secret = "5a4db0c5e1f2a3b4c5d6e7f8091a2b3c4d5e6f70"
    said = text.format(secret)
    error = PipedriveApiException(
        said,
        status=400,
        url=said,
        headers={"x-echo": said, "Authorization": secret},
        body={"error": said, "token": secret, "nested": [{"client_secret": secret}]},
        context=ErrorContext(endpoint=said, details={"seen": [said], "password": secret}),
    )
    shown = "".join([str(error), repr(error), repr(error.context), json.dumps(error.to_dict())])
    assert secret not in shown
    assert secret.encode() not in pickle.dumps(error)
