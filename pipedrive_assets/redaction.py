"""Keeps secrets out of everything a person or a log collector may read.

Two nets, because each has holes: values that were registered when they were read from the environment, and
places where a secret is known to stand (a header, a query parameter, a URL's user part). The 40 hex digits of
a token cannot be recognised by their look: the keys of custom fields look the same (reference section 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST_SECRET = 6
"""Masking every occurrence of a shorter text would make logs unreadable and hide nothing."""

_NAMES = (
    r"x-api-token|api[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|secret"
    r"|http_auth_password|password|passwd|token|proxy-authorization|authorization|set-cookie|cookie"
)
_SENSITIVE_KEY = re.compile(rf"(?:^|[_-])(?:{_NAMES})$", re.IGNORECASE)
_PATTERNS = (
    # Authorization: Bearer …, also alone.
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE),
    # password='…', "token": "…": a quoted value ends at its quote, whatever is in it.
    re.compile(
        rf"(?P<keep>(?<![A-Za-z0-9])(?:{_NAMES})[\"']?\s*[=:]\s*(?P<quote>[\"']))"
        r"(?P<secret>(?:\\.|(?!(?P=quote))[^\\\n])+)(?=(?P=quote))",
        re.IGNORECASE,
    ),
    # ?api_token=…, x-api-token: …; the value ends at a space, quote, comma, & or bracket.
    re.compile(
        rf"(?P<keep>(?<![A-Za-z0-9])(?:{_NAMES})[\"']?\s*[=:]\s*[\"']?)(?!\s)(?P<secret>[^\s\"'&,;)}}\]]+)",
        re.IGNORECASE,
    ),
    # https://user:password@host
    re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://)(?P<secret>[^\s/@]*:[^\s/@]*)(?=@)", re.IGNORECASE),
)
_AUTH_SCHEMES = frozenset({"bearer", "basic"})

# Process-wide on purpose: a filter cannot know through which object a secret travelled.
_registered: set[str] = set()


def register_secret(value: str | None) -> None:
    """Mask ``value`` (and its URL-encoded forms) wherever :func:`redact` is applied in this process."""
    if value is None or len(value) < _SHORTEST_SECRET:
        return
    _registered.update({value, quote(value, safe=""), quote_plus(value)})


def redact(text: str) -> str:
    """``text`` with every registered secret, and every value in a secret's place, replaced by ``***``."""
    # A copy, since another thread may register; longest first, so that no secret's tail survives.
    for secret in sorted(_registered.copy(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(_mask, text)
    return text


def redact_value(value: Any) -> Any:
    """``value`` as plain JSON types, with secrets masked: by key in mappings, by pattern in texts.

    Anything that is not JSON becomes its redacted ``str``.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray):
        return redact(bytes(value).decode("utf-8", errors="replace"))
    if isinstance(value, Mapping):
        return {str(key): _redact_entry(str(key), entry) for key, entry in value.items()}
    if isinstance(value, Iterable):
        return [redact_value(entry) for entry in value]
    return redact(str(value))


def _redact_entry(key: str, value: Any) -> Any:
    if isinstance(value, str) and value and _SENSITIVE_KEY.search(key):
        return MASK
    return redact_value(value)


def _mask(match: re.Match[str]) -> str:
    # "Authorization: Bearer abc": the first pattern has masked abc, the scheme itself is no secret.
    if match["secret"].lower() in _AUTH_SCHEMES or match["secret"].startswith(MASK):
        return match[0]
    return match["keep"] + MASK
