"""What an error response says, read by the rules of reference sections 2.4, 2.5 and 3.2.

Pure reading: which exception follows from it is the business of :mod:`pipedrive_assets.exceptions`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from pipedrive_assets.redaction import redact_value

_BODY_CHARACTERS = 2000
"""Enough of a body to understand it; a Cloudflare page is far longer."""
_BURST_WINDOW_SECONDS = 2.0
_ABUSE_BLOCK_SECONDS = 300.0
_WINDOW_RESET_RANGE = (1.0, 10.0)
"""The unit of x-ratelimit-reset is not documented: seconds, kept within reason (reference section 10, Q2)."""

_SCOPE_TEXT = "Scope and URL mismatch"
_LIMIT_CODE = "feature_capping"
_LIMIT_TEXT = re.compile(r"\blimit reached\b|\bYou've reached the .+ limit\b")
_UNSAFE_HEADERS = frozenset({"set-cookie", "authorization", "x-api-token", "cookie"})


Refusal = Literal["token", "permission", "scope", "abuse", "limit"]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error response, parsed and free of secrets.

    ``text`` is the human message, ``code`` the machine code (either may be empty), ``body`` the parsed JSON
    or at most 2,000 characters of whatever came instead; header names are in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str
    code: str
    is_html: bool
    server_time: datetime | None

    def seconds(self, header: str) -> float | None:
        """Seconds to wait by ``header``: a number, or an HTTP date against the server's own ``Date``."""
        value = self.headers.get(header, "").strip()
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            moment = http_date(value)
            if moment is None or self.server_time is None:
                return None
            return max(0.0, (moment - self.server_time).total_seconds())
        # float() also reads "nan" and "inf".
        return number if 0 <= number < float("inf") else None

    def integer(self, header: str) -> int | None:
        """The whole number in ``header``, None where it is absent or no number."""
        try:
            return int(self.headers.get(header, ""))
        except ValueError:
            return None

    @property
    def next_reset(self) -> datetime | None:
        """Midnight UTC after the server's time: when the daily budget starts anew (reference section 2.1)."""
        if self.server_time is None:
            return None
        midnight = self.server_time.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1)

    @property
    def daily_budget_spent(self) -> bool:
        """Whether a 429 is the day's and not the burst window's (reference section 2.5)."""
        remaining = self.integer("x-daily-ratelimit-token-remaining")
        return remaining is not None and remaining <= 0

    @property
    def burst_wait_seconds(self) -> float:
        """Seconds after which a burst 429 may be over: as asked, else the window's rest, else its length."""
        asked = self.seconds("retry-after")
        if asked is not None:
            return asked
        rest = self.seconds("x-ratelimit-reset")
        low, high = _WINDOW_RESET_RANGE
        return _BURST_WINDOW_SECONDS if rest is None else min(max(rest, low), high)

    @property
    def block_seconds(self) -> float:
        """Seconds after which Cloudflare's block of an abusive client may be over (minutes, section 2.5)."""
        return max(self.seconds("retry-after") or 0.0, _ABUSE_BLOCK_SECONDS)

    @property
    def refusal(self) -> Refusal:
        """Why a 401 or 403 was given.

        For 403 the wording is, but for two codes, all the API offers to tell the cases apart (section 3.2).
        """
        if self.status == 401:
            return "token"
        if self.is_html:
            return "abuse"
        if self.code.startswith(_LIMIT_CODE) or _LIMIT_TEXT.search(self.text):
            return "limit"
        return "scope" if self.text == _SCOPE_TEXT else "permission"


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes | str | Any, *, now: datetime | None = None
) -> ErrorAnswer:
    """Parse an error response; ``now`` stands in for a missing ``Date`` header."""
    safe = {
        name.lower(): redact_value(str(value))
        for name, value in headers.items()
        if name.lower() not in _UNSAFE_HEADERS
    }
    data = _parsed(body)
    is_html = "text/html" in safe.get("content-type", "").lower() or (
        isinstance(data, str) and data.lstrip()[:1] == "<"
    )
    return ErrorAnswer(
        status=status,
        headers=safe,
        body=redact_value(data[:_BODY_CHARACTERS] if isinstance(data, str) else data),
        text=redact_value(_human_text(data)),
        code=redact_value(_machine_code(data)),
        is_html=is_html,
        server_time=http_date(safe.get("date", "")) or now,
    )


def http_date(value: str) -> datetime | None:
    """The moment in an HTTP date (``Mon, 23 Nov 2026 10:00:00 GMT``), UTC; None if it is not one."""
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parsed(body: Any) -> Any:
    if isinstance(body, bytes | bytearray):
        body = bytes(body).decode("utf-8", errors="replace")
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _human_text(body: Any) -> str:
    """``error``, else ``message``, else the first of ``errors.*[]`` (reference section 3.2)."""
    if not isinstance(body, Mapping):
        return ""
    for key in ("error", "message"):
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    errors = body.get("errors")
    if isinstance(errors, Mapping):
        for field, texts in errors.items():
            first = next(iter(texts), None) if isinstance(texts, list) else texts
            if isinstance(first, str) and first:
                return f"{field}: {first}"
    return ""


def _machine_code(body: Any) -> str:
    """``code``, else ``errorCode``, as text."""
    if not isinstance(body, Mapping):
        return ""
    for key in ("code", "errorCode"):
        if isinstance(body.get(key), str | int) and body[key] != "":
            return str(body[key])
    return ""
