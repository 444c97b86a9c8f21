"""How a list is continued: one small state machine per kind of paging (reference section 4).

Pure: they are given the rows of a page and what the API said about more, and answer which rows are new and
where to go on. Requests are the paginator's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from pipedrive_assets.api.pages import PageToken
from pipedrive_assets.exceptions import PipedriveDataException

Row = dict[str, Any]

_REMEMBERED_IDS = 5_000
"""Ten of the largest pages: rows shift by deletions between two requests, not by thousands."""
_MOST_STEPS_BACK = 40


@dataclass(frozen=True, slots=True)
class Step:
    """The rows of a page that are new, and where to go on; None at the end of the list."""

    rows: list[Row]
    next: PageToken | None


class Walk(Protocol):
    """One way of continuing a list."""

    smallest_limit: int

    def params(self, token: PageToken) -> dict[str, str]:
        """Query parameters, beside ``limit``, that ask for the page at ``token``."""
        ...

    def advance(self, token: PageToken, limit: int, rows: list[Row], more: Mapping[str, Any]) -> Step:
        """Take in the page at ``token``; ``more`` is the paging block of its answer."""
        ...


class SinglePage:
    """A list without paging: the first answer is all of it."""

    smallest_limit = 1

    def params(self, token: PageToken) -> dict[str, str]:
        """None."""
        return {}

    def advance(self, token: PageToken, limit: int, rows: list[Row], more: Mapping[str, Any]) -> Step:
        """The end."""
        return Step(rows, None)


class CursorWalk:
    """Cursors of v2 and v1: opaque, and the end only where ``next_cursor`` is null or absent.

    Errors raised: ``PipedriveDataException`` for a cursor that was given before, which would never end.
    """

    smallest_limit = 1

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def params(self, token: PageToken) -> dict[str, str]:
        """``cursor``, but on the first page."""
        return {} if token.cursor is None else {"cursor": token.cursor}

    def advance(self, token: PageToken, limit: int, rows: list[Row], more: Mapping[str, Any]) -> Step:
        """To ``next_cursor``."""
        if token.cursor is not None:
            self._seen.add(token.cursor)
        cursor = more.get("next_cursor")
        if not cursor:
            return Step(rows, None)
        if not isinstance(cursor, str):
            raise PipedriveDataException(f"next_cursor is no text but {cursor!r}")
        if cursor in self._seen:
            raise PipedriveDataException(f"the cursor {cursor!r} was given twice: the list would never end")
        return Step(rows, PageToken(cursor=cursor))


class OffsetWalk:
    """Offsets of v1, kept honest by overlapping pages by one row.

    A deleted row moves all rows behind it one place forward, past an offset that counts places. So each page
    starts at the last row seen, and must hold a row that was seen: rows between are then impossible. If it
    does not, the walk steps back, further each time, until it does. Works for every order in which a row
    changes its place only to the front or the very end: ids, and newest first.
    """

    def __init__(self, id_key: str, *, by_id: bool, last_id: str | None = None) -> None:
        self.smallest_limit = 2
        self._id_key = id_key
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_IDS)
        self._known: set[str] = set()
        # Sorted by numeric id, a row below the last one seen is known without being remembered.
        self._by_id = by_id
        self._steps_back = 0
        if last_id is not None:
            self._remember(last_id)

    def params(self, token: PageToken) -> dict[str, str]:
        """``start``, but on the first page."""
        return {"start": str(token.start)} if token.start else {}

    def advance(self, token: PageToken, limit: int, rows: list[Row], more: Mapping[str, Any]) -> Step:
        """To the last row of this page, or back where a gap is possible.

        Errors raised: ``PipedriveDataException`` for a row without id, and for a list that never settles.
        """
        start = token.start or 0
        ids = [self._id(row) for row in rows]
        self._by_id = self._by_id and _ascending(ids)
        known = [self._is_known(row_id, token.last_id) for row_id in ids]
        if start > 0 and token.last_id is not None and not any(known):
            return Step([], self._back(token, start, limit))
        fresh = [row for row, is_known in zip(rows, known, strict=True) if not is_known]
        for row_id in ids:
            self._remember(row_id)
        if fresh:
            self._steps_back = 0
        if not more.get("more_items_in_collection"):
            return Step(fresh, None)
        return Step(fresh, self._forward(token, start, ids, more))

    def _forward(
        self, token: PageToken, start: int, ids: Sequence[str], more: Mapping[str, Any]
    ) -> PageToken:
        if not ids:
            return PageToken(start=_next_start(start, 0, more), last_id=token.last_id)
        last_id = ids[-1]
        if self._by_id and token.last_id is not None:
            last_id = max(last_id, token.last_id, key=int)
        return PageToken(start=start + max(len(ids) - 1, 1), last_id=last_id)

    def _back(self, token: PageToken, start: int, limit: int) -> PageToken:
        self._steps_back += 1
        if self._steps_back > _MOST_STEPS_BACK:
            raise PipedriveDataException(f"the list shifts faster than it can be read (at {token.last_id})")
        stride = max(1, limit // 2) << (self._steps_back - 1)
        return PageToken(start=max(0, start - stride), last_id=token.last_id)

    def _is_known(self, row_id: str, last_id: str | None) -> bool:
        if row_id in self._known:
            return True
        return self._by_id and last_id is not None and last_id.isdecimal() and int(row_id) <= int(last_id)

    def _remember(self, row_id: str) -> None:
        if row_id in self._known:
            return
        if len(self._recent) == _REMEMBERED_IDS:
            self._known.discard(self._recent[0])
        self._recent.append(row_id)
        self._known.add(row_id)

    def _id(self, row: Row) -> str:
        row_id = row.get(self._id_key)
        if row_id is None:
            raise PipedriveDataException(f"a row has no {self._id_key}: {sorted(row)[:10]}")
        return str(row_id)


class UncheckedOffsetWalk:
    """Offsets of v1 for rows that nothing identifies: place after place, as the API counts them."""

    smallest_limit = 1

    def params(self, token: PageToken) -> dict[str, str]:
        """``start``, but on the first page."""
        return {"start": str(token.start)} if token.start else {}

    def advance(self, token: PageToken, limit: int, rows: list[Row], more: Mapping[str, Any]) -> Step:
        """To ``next_start``."""
        if not more.get("more_items_in_collection"):
            return Step(rows, None)
        return Step(rows, PageToken(start=_next_start(token.start or 0, len(rows), more)))


def _next_start(start: int, length: int, more: Mapping[str, Any]) -> int:
    """Where the API says the next page starts; never where this one did."""
    told = more.get("next_start")
    following = told if isinstance(told, int) else start + length
    if following <= start:
        raise PipedriveDataException(f"the list promises more rows, but gives none at {start}")
    return following


def _ascending(ids: Sequence[str]) -> bool:
    """Whether ``ids`` are whole numbers in rising order, as a list sorted by numeric id is."""
    if not all(row_id.isdecimal() for row_id in ids):
        return False
    numbers = [int(row_id) for row_id in ids]
    return all(low < high for low, high in pairwise(numbers))
