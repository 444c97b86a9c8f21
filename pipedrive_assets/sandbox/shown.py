"""What lists show of a collection: sorted, filtered, possibly some seconds behind the truth.

Pipedrive's lists are eventually consistent (reference 5.1). Writes therefore reach this index through a
queue; with no lag they pass it at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipedrive_assets.sandbox.times import milliseconds

if TYPE_CHECKING:
    from pipedrive_assets.sandbox.collection import Source

Row = dict[str, Any]
Entry = tuple[Any, int]
"""Sort key and record number."""

NULL_LOW, NULL_HIGH = -(2**62), 2**62
"""Sort keys of a missing time, at whichever end the account is configured for."""

CREATION_ORDER = "#"
"""Sort by record number: the order of lists whose ids are not numbers."""

SELECTIONS_KEPT = 24
TEXTS_KEPT = 250_000


@dataclass(frozen=True, slots=True)
class Selection:
    """One list request without its paging; times are epoch milliseconds, ``since`` inclusive, ``until`` not.

    ``where`` holds (field, accepted values); a field that is a list matches when any element is accepted.
    """

    states: frozenset[int] = frozenset({0})
    sort: str = "id"
    descending: bool = False
    since: int | None = None
    until: int | None = None
    where: tuple[tuple[str, frozenset[Any]], ...] = ()
    numbers: tuple[int, ...] | None = None


class Shown:
    """Sorted views over the generated records and the edits that are already visible."""

    def __init__(
        self, source: Source, states: bytearray, generated: Callable[[int], Row], *, nulls_first: bool
    ) -> None:
        self._source = source
        self._states = states
        self._generated = generated
        self._null = NULL_LOW if nulls_first else NULL_HIGH
        self._edited: dict[int, Row] = {}
        self._pending: deque[tuple[float, int, Row, int]] = deque()
        self._sorts: dict[str, list[Entry]] = {}
        self._selections: OrderedDict[Selection, list[Entry]] = OrderedDict()
        self._below: dict[Any, list[int]] | None = None
        self._texts: dict[object, dict[int, bytes]] = {}

    def row(self, n: int) -> Row:
        """Record ``n`` as lists show it."""
        return self._edited.get(n) or self._generated(n)

    def publish(self, n: int, row: Row, state: int, visible_at: float, now: float) -> None:
        """Queue a write; it is applied at once when nothing earlier waits and it is due."""
        self._pending.append((visible_at, n, row, state))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Apply the queued writes that are due, in order."""
        while self._pending and self._pending[0][0] <= now:
            _, n, row, state = self._pending.popleft()
            self._apply(n, row, state)

    def _apply(self, n: int, row: Row, state: int) -> None:
        known = n < len(self._states)
        old_keys = {field: self._key(field, n) for field in self._sorts} if known else {}
        while len(self._states) <= n:
            self._states.append(3)
        self._edited[n] = row
        self._states[n] = state
        for field, entries in self._sorts.items():
            key = self._key(field, n)
            if known and old_keys[field] == key and _present(entries, (key, n)):
                continue
            if known:
                _remove(entries, (old_keys[field], n))
            insort(entries, (key, n))
        if self._below is not None and self._source.parent_field:
            siblings = self._below.setdefault(row.get(self._source.parent_field), [])
            if n not in siblings:
                insort(siblings, n)
        for texts in self._texts.values():
            texts.pop(n, None)
        self._selections.clear()

    def _key(self, field: str, n: int) -> Any:
        if field == CREATION_ORDER or (field == "id" and not self._source.text_ids):
            return n
        if field in ("add_time", "update_time"):
            if n in self._edited:
                value = self._edited[n].get(field)
                return self._null if value is None else milliseconds(value)
            at = self._source.times(n)[field == "update_time"]
            return self._null if at is None else at
        return self.sort_key(self.row(n).get(field))

    def sort_key(self, value: Any) -> Any:
        """Key of any other field's value: nulls at the configured end, then by value."""
        if value is None:
            return (0 if self._null == NULL_LOW else 2, 0)
        return (1, value)

    def time_key(self, value: str | None) -> int:
        """Key of a time as the record shows it."""
        return self._null if value is None else milliseconds(value)

    def _sorted(self, field: str) -> list[Entry]:
        entries = self._sorts.get(field)
        if entries is None:
            numbers = [n for n in range(1, len(self._states)) if self._states[n] != 3]
            entries = sorted((self._key(field, n), n) for n in numbers)
            self._sorts[field] = entries
        return entries

    def below(self, parent: Any) -> list[int]:
        """Numbers of the records whose ``parent_field`` is ``parent``, ascending."""
        if self._below is None:
            self._below = {}
            for n in range(1, len(self._states)):
                field = self._source.parent_field or ""
                value = self._edited[n].get(field) if n in self._edited else self._source.parent(n)
                self._below.setdefault(value, []).append(n)
        return self._below.get(parent, [])

    def select(self, wanted: Selection) -> list[Entry]:
        """Entries of a list in its order; the result is cached and must not be changed."""
        found = self._selections.get(wanted)
        if found is None:
            found = self._filtered(wanted)
            if wanted.descending:
                found.reverse()
            self._selections[wanted] = found
            if len(self._selections) > SELECTIONS_KEPT:
                self._selections.popitem(last=False)
        return found

    def _filtered(self, wanted: Selection) -> list[Entry]:
        where = list(wanted.where)
        states, accepted = self._states, wanted.states
        if wanted.numbers is not None:
            known = {n for n in wanted.numbers if 0 < n < len(states)}
            entries = sorted((self._key(wanted.sort, n), n) for n in known)
        elif parents := next((each for each in where if each[0] == self._source.parent_field), None):
            where.remove(parents)
            numbers = {n for parent in parents[1] for n in self.below(parent)}
            entries = sorted((self._key(wanted.sort, n), n) for n in numbers)
        else:
            entries = self._sorted(wanted.sort)
        if wanted.since is not None or wanted.until is not None:
            entries = self._between(entries, wanted)
        entries = [entry for entry in entries if states[entry[1]] in accepted]
        for field, values in where:
            entries = [entry for entry in entries if _matches(self.row(entry[1]).get(field), values)]
        return entries

    def _between(self, entries: list[Entry], wanted: Selection) -> list[Entry]:
        low = wanted.since if wanted.since is not None else NULL_LOW + 1
        high = wanted.until if wanted.until is not None else NULL_HIGH
        if wanted.sort == "update_time":
            return entries[bisect_left(entries, (low, 0)) : bisect_left(entries, (high, 0))]
        return [entry for entry in entries if low <= self._key("update_time", entry[1]) < high]

    def forget_texts(self) -> None:
        """Drop the cached JSON, after a change that no record shows (a field was added)."""
        self._texts.clear()

    def text(self, n: int, view: object, render: Callable[[Row], bytes]) -> bytes:
        """JSON of record ``n`` in a view, cached by view."""
        texts = self._texts.setdefault(view, {})
        found = texts.get(n)
        if found is None:
            found = render(self.row(n))
            if len(texts) < TEXTS_KEPT:
                texts[n] = found
        return found


def _matches(value: Any, accepted: frozenset[Any]) -> bool:
    if isinstance(value, list):
        return any(each in accepted for each in value)
    return value in accepted


def _present(entries: list[Entry], entry: Entry) -> bool:
    place = bisect_left(entries, entry)
    return place < len(entries) and entries[place] == entry


def _remove(entries: list[Entry], entry: Entry) -> None:
    place = bisect_left(entries, entry)
    if place < len(entries) and entries[place] == entry:
        del entries[place]
