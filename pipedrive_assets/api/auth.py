"""Who calls: the headers that identify the caller, and a name for them that is no secret."""

from __future__ import annotations

import hashlib
from typing import Protocol

from pipedrive_assets.redaction import register_secret


class Auth(Protocol):
    """What the client needs to know of a credential; asked anew for every request, so that it may change."""

    @property
    def fingerprint(self) -> str:
        """Stable name of the credential, from which it cannot be recovered; keys the burst window."""
        ...

    def headers(self) -> dict[str, str]:
        """Headers that authenticate one request."""
        ...


def token_fingerprint(token: str) -> str:
    """SHA-256 of ``token``, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenAuth:
    """A personal API token in the ``x-api-token`` header (reference section 1.2)."""

    def __init__(self, token: str) -> None:
        register_secret(token)
        self._token = token

    @property
    def fingerprint(self) -> str:
        """:func:`token_fingerprint` of the token."""
        return token_fingerprint(self._token)

    def headers(self) -> dict[str, str]:
        """``x-api-token``."""
        return {"x-api-token": self._token}

    def __repr__(self) -> str:
        return f"TokenAuth(fingerprint={self.fingerprint[:8]}…)"
