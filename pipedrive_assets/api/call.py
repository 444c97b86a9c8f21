"""One call of the client, whatever it takes: what is asked, under which name it counts, and what it took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.exceptions import ErrorContext
from pipedrive_assets.state.lanes import Lane

_RECORD_ID = re.compile(r"(?<=/)(?:\d+|[0-9a-f]{24,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/|$)")


@dataclass(frozen=True, slots=True)
class Call:
    """What stays the same over all attempts; ``deadline`` in monotonic seconds, ``cost`` in tokens.

    A ``probe`` is sent even when Pipedrive has said that no tokens are left.
    """

    method: str
    path: str
    params: Mapping[str, str] | None
    json_body: Any
    cost: int
    endpoint: str
    lane: Lane
    deadline: float
    context: ErrorContext
    rows_at: Sequence[str] = ()
    probe: bool = False


@dataclass(slots=True)
class Effort:
    """What a call has taken so far, over all attempts."""

    requests: int = 0
    tokens: int = 0
    wait_seconds: float = 0.0
    seconds: float = 0.0


def endpoint_of(version: Version, path: str) -> str:
    """Name under which requests to ``path`` are counted and priced: ``v2:/deals/{id}/products``."""
    return f"{version.value}:{_RECORD_ID.sub('{id}', path)}"
