"""Log events: one line, named fields, no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.logs import RedactingFilter, get_logger, log_event, log_to, redact, register_secret
from pipedrive_assets.redaction import MASK, redact_value
from pipedrive_assets.state.lanes import Lane

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger = get_logger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)


def line_of(**fields: object) -> str:
    handler = Kept()
    logger = get_logger("tests.line")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        log_event(logger, "event", **fields)
    finally:
        logger.removeHandler(handler)
    (record,) = handler.records
    return record.getMessage()


def test_an_event_is_one_line_of_named_fields_and_a_mapping(kept):
    log_event(get_logger("tests.logs"), "page_fetched", entity="deals", rows=500, tokens=10, wait_ms=0)
    (record,) = kept.records
    assert record.getMessage() == "page_fetched entity=deals rows=500 tokens=10 wait_ms=0"
    assert record.pipedrive == {
        "event": "page_fetched",
        "entity": "deals",
        "rows": 500,
        "tokens": 10,
        "wait_ms": 0,
    }
    assert record.levelno == logging.INFO
    assert record.funcName == "test_an_event_is_one_line_of_named_fields_and_a_mapping"


def test_logger_names_are_below_the_package():
    assert get_logger("cli").name == "pipedrive_assets.cli"
    assert get_logger("pipedrive_assets.api.client").name == "pipedrive_assets.api.client"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "true"),
        (1.23456, "1.235"),
        (datetime(2026, 11, 23, 10, tzinfo=UTC), "2026-11-23T10:00:00Z"),
        (Lane.BACKFILL, "backfill"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("line\nbreak", '"line\\nbreak"'),
        ("100%s", "100%s"),
        ("naïve😀", "naïve😀"),
    ],
)
def test_a_field_reads_as_one_word(value, text):
    assert line_of(field=value) == f"event field={text}"


@given(st.text())
def test_no_text_breaks_the_line_or_gets_lost(value):
    line = line_of(field=value)
    assert len(line.splitlines()) == 1
    shown = line.removeprefix("event field=")
    if redact(value) == value and redact(line) == line:
        assert (json.loads(shown) if shown.startswith('"') else shown) == value


def test_a_registered_secret_is_masked_everywhere_also_url_encoded(kept):
    register_secret("p@ss/word+1")
    log_event(get_logger("tests.logs"), "x", a="p@ss/word+1", b=["p%40ss%2Fword%2B1"], c={"d": "p@ss/word+1"})
    (record,) = kept.records
    shown = record.getMessage() + json.dumps(record.pipedrive)
    assert "word" not in shown
    assert MASK in shown


def test_short_values_are_not_taken_for_secrets():
    register_secret("deal")
    register_secret("")
    register_secret(None)
    assert redact("deal") == "deal"


def test_custom_field_hashes_and_counts_of_tokens_stay_readable():
    text = f"custom field {SECRET[:39]}9 tokens=10 token_costs={{}}"
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"x-api-token: {SECRET}",
        f"X-Api-Token={SECRET}",
        f"GET /deals?api_token={SECRET}&limit=1",
        f'{{"refresh_token": "{SECRET}"}}',
        f"{{'client_secret': '{SECRET}'}}",
        f"authorization: Basic {SECRET}",
        f"Bearer {SECRET}",
        f"postgresql+psycopg2://user:{SECRET}@host/db",
        f"md:lake?motherduck_token={SECRET}",
    ],
)
def test_a_secret_is_masked_where_secrets_stand(text):
    assert SECRET not in redact(text)
    assert MASK in redact(text)


@given(st.text())
def test_redacting_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)


def test_values_of_secret_keys_are_masked_at_any_depth():
    assert redact_value(
        {"a": [{"api_token": "x1"}], "http_auth_password": "y", "tokens": 3, "token": ""}
    ) == {
        "a": [{"api_token": MASK}],
        "http_auth_password": MASK,
        "tokens": 3,
        "token": "",
    }
    assert redact_value((1, {2}, b"bytes", datetime(2026, 1, 1, tzinfo=UTC))) == [
        1,
        [2],
        "bytes",
        "2026-01-01 00:00:00+00:00",
    ]


def test_the_filter_masks_other_libraries_records_and_tracebacks():
    record: logging.LogRecord
    try:
        raise RuntimeError(f"api_token={SECRET}")
    except RuntimeError:
        import sys

        record = logging.LogRecord(
            "urllib3", logging.DEBUG, "f", 1, "GET %s", (f"/x?api_token={SECRET}",), sys.exc_info()
        )
    assert RedactingFilter().filter(record)
    shown = logging.Formatter().format(record)
    assert SECRET not in shown
    assert "RuntimeError" in shown


def test_a_stream_gets_the_packages_events_from_its_level_on():
    stream = io.StringIO()
    handler = log_to(stream, level=logging.WARNING)
    try:
        log_event(get_logger("tests.stream"), "quiet")
        log_event(get_logger("tests.stream"), "loud", logging.WARNING, token=SECRET)
    finally:
        logging.getLogger("pipedrive_assets").removeHandler(handler)
    assert stream.getvalue().count("\n") == 1
    assert "WARNING loud token=***" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "host=x password='first second' port=1",
        'host=x password="first second" port=1',
        r"host=x password='fir\'st second' port=1",
        """{"password": "first, 'second'", "port": 1}""",
    ],
)
def test_a_quoted_password_is_masked_up_to_its_closing_quote(text: str) -> None:
    told = redact(text)
    assert MASK in told
    assert "port" in told
    assert "fir" not in told
    assert "second" not in told
