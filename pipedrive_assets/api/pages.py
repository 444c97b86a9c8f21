"""The vocabulary of reading a list: what is asked for, what a page holds, where to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipedrive_assets.catalog.spec import Stream
from pipedrive_assets.exceptions import PipedriveApiException
from pipedrive_assets.state.lanes import Lane


class PipedriveCursorException(PipedriveApiException):
    """The server refuses a cursor it once gave (reference section 10, Q8): read the list anew."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One list, from its beginning to its end.

    ``path`` has its placeholders filled; ``params`` are all filters and the sort, without ``limit``,
    ``cursor`` and ``start``. ``page_size`` caps the rows asked for per request. ``id_key`` names the property
    that identifies a row; None where rows have none, and then offset pages cannot be checked for gaps.
    ``deadline`` (monotonic seconds) bounds each request together with its waits.
    """

    entity: str
    stream: Stream
    path: str
    params: Mapping[str, str]
    lane: Lane
    page_size: int | None = None
    id_key: str | None = "id"
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where the next page begins: a cursor, or an offset and the id of the last row seen before it."""

    cursor: str | None = None
    start: int | None = None
    last_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One answered request of a list.

    ``next`` is None when, and only when, the API said that there is no more. ``rows`` may be empty although
    more follow: a page that overlapped with rows already delivered. ``server_time`` and ``requested_at`` are
    on the server's clock (UTC), but mere guesses where ``server_time_known`` is False; ``limit`` is what
    was asked for, 0 where the list takes no limit. The costs are those of
    :class:`~pipedrive_assets.api.response.ApiResponse`.
    """

    rows: list[dict[str, Any]] = field(repr=False)
    next: PageToken | None
    server_time: datetime
    requested_at: datetime
    tokens: int
    requests: int
    retries: int
    wait_seconds: float
    seconds: float
    limit: int
    server_time_known: bool = True
