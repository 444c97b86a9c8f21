"""A checked answer: a 2xx whose body is the JSON object the API promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One answer, and what it took to get it, over all attempts.

    ``server_time`` is the ``Date`` of the answer (UTC), ``requested_at_server`` a moment on the server's
    clock that is never later than the one at which the request was sent: whatever the answer shows was true
    then or after. Both are guesses by this machine's clock, which may be hours off, where
    ``server_time_known`` is False: neither this answer nor one before it had a ``Date``.

    ``tokens`` are what was charged, ``requests`` what was sent, ``retries`` all but the first;
    ``wait_seconds`` went to the rate limit and to back-off, ``seconds`` to HTTP; ``bytes`` is the size of the
    body on the wire.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    payload: dict[str, Any] = field(repr=False)
    server_time: datetime
    requested_at_server: datetime
    tokens: int
    requests: int
    retries: int
    wait_seconds: float
    seconds: float
    bytes: int
    server_time_known: bool = True

    @property
    def data(self) -> Any:
        """``data`` of the envelope; None where there is none (reference section 3.1)."""
        return self.payload.get("data")
