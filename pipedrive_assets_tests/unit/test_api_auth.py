"""A token identifies the caller and shows nowhere."""

from __future__ import annotations

from pipedrive_assets.api.auth import TokenAuth
from pipedrive_assets.redaction import redact

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def test_a_token_goes_into_its_header() -> None:
    assert TokenAuth(TOKEN).headers() == {"x-api-token": TOKEN}


def test_neither_repr_nor_fingerprint_shows_the_token() -> None:
    auth = TokenAuth(TOKEN)
    assert TOKEN not in repr(auth)
    assert TOKEN not in auth.fingerprint
    assert len(auth.fingerprint) == 64


def test_a_fingerprint_is_stable_and_differs_between_tokens() -> None:
    assert TokenAuth(TOKEN).fingerprint == TokenAuth(TOKEN).fingerprint
    assert TokenAuth(TOKEN).fingerprint != TokenAuth(TOKEN[::-1]).fingerprint


def test_a_token_is_redacted_from_then_on() -> None:
    token = TokenAuth("feedfacefeedface").headers()["x-api-token"]
    assert token not in redact(f"see {token}")
