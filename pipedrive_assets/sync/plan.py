"""Which scans a sync needs: from what was asked and what is covered to lists with filters and an order.

Pure values. A scan reads one stream of an entity over one window of ``update_time``. How it is read
follows from what the endpoint can do (reference section 5.3) and from what keeps rows from slipping
through while the account is edited:

========================  =============  ===========================================================
endpoint can              order          why
========================  =============  ===========================================================
filter, cursor            update_asc     a row edited meanwhile moves ahead of the cursor: seen again
filter, offset            id_asc         in update order an edited row would shift its neighbours
                                         back across a page border, out of sight
no filter, sortable       newest_first   read down to the watermark; ``id_asc`` when everything is read
neither                   as_listed      whole list
========================  =============  ===========================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pipedrive_assets.catalog.spec import Incremental, Paging, Stream
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.warehouse.intervals import IntervalSet

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
"""Before every time a record can carry: the finite start of a scan that has not yet proven that it saw
the records without any time, which is what minus infinity in a coverage stands for."""
OPEN_END = datetime(9999, 1, 1, tzinfo=UTC)
NOTHING = IntervalSet()


class Order(StrEnum):
    """How a scan walks its list."""

    UPDATE_ASC = "update_asc"
    ID_ASC = "id_asc"
    NEWEST_FIRST = "newest_first"
    AS_LISTED = "as_listed"


@dataclass(frozen=True, slots=True)
class Scan:
    """One list to read: ``[since, until)`` of ``update_time``, None being open; ``params`` without paging."""

    stream: Stream
    since: datetime | None
    until: datetime | None
    order: Order
    params: tuple[tuple[str, str], ...]

    @property
    def reads_to_now(self) -> bool:
        """Whether everything changed after ``since`` is read, whatever ``until`` says."""
        return self.order is not Order.UPDATE_ASC

    @property
    def resumable(self) -> bool:
        """Whether a stored position can be continued: the order must be stable under edits."""
        if self.order is Order.AS_LISTED:
            return self.stream.paging is not Paging.NONE
        return self.order is not Order.NEWEST_FIRST

    @property
    def stops_at_until(self) -> bool:
        """Whether the upper bound is kept by the client, since the request does not carry it."""
        return self.until is not None and not any(name == "updated_until" for name, _ in self.params)

    def query_hash(self, *facts: str) -> str:
        """Identity of the query: a position is continued only by the same one."""
        text = "\n".join(
            [self.stream.name, self.stream.path, self.order, str(self.since), str(self.until), *facts]
        )
        text += "\n" + "\n".join(f"{name}={value}" for name, value in sorted(self.params))
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def plan_stream(
    stream: Stream, options: SyncOptions, covered: IntervalSet, resumed: IntervalSet = NOTHING
) -> list[Scan]:
    """Scans that bring ``stream`` to what ``options`` ask for, the newest window first.

    ``covered`` is what is held, ``resumed`` that part of it which the runs to be resumed have brought. Newest
    first, because a schedule that falls behind should be fresh before it is complete.
    """
    if stream.incremental is Incremental.NONE:
        return [] if read_whole(options, resumed) else list(_scans(stream, [(None, None)]))
    windows = list(missing(options, covered, resumed))
    if not windows:
        return []
    if _order(stream, windows[0][0]) is not Order.UPDATE_ASC:
        # These lists cannot be cut off above: one scan from the oldest gap reads all the others too.
        windows = [(windows[-1][0], None)]
    return list(_scans(stream, windows))


def read_whole(options: SyncOptions, resumed: IntervalSet) -> bool:
    """Whether the runs to be resumed have read all that is wanted of a list that is only ever read whole.

    Such a list is covered from the beginning or not at all.
    """
    return resumed.head is not None and (options.until is None or resumed.head >= options.until)


def missing(
    options: SyncOptions, covered: IntervalSet, resumed: IntervalSet = NOTHING
) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Windows of ``update_time`` to be read for ``options``, newest first; None is open.

    Who asks for a window again has read of it only what the runs it resumes have.
    """
    held = covered if options.mode is SyncMode.INCREMENTAL else resumed
    wanted = IntervalSet.of(options.since, options.until or OPEN_END)
    if any(interval.start == BEGINNING for interval in held):
        # A first scan was cut short before it proved to have seen the records without a time.
        wanted |= IntervalSet.of(None, BEGINNING)
    for interval in reversed(list(wanted - held)):
        yield interval.start, None if interval.end == OPEN_END else interval.end


def rest_of(scan: Scan, covered_to: datetime) -> list[Scan]:
    """What is left of ``scan`` when it was resumed and its coverage ends at ``covered_to``, in the past."""
    if scan.order is Order.AS_LISTED or (scan.until is not None and scan.until <= covered_to):
        return []
    return list(_scans(scan.stream, [(covered_to, scan.until)]))


def _scans(stream: Stream, windows: Iterable[tuple[datetime | None, datetime | None]]) -> Iterator[Scan]:
    for since, until in windows:
        order = _order(stream, since)
        yield Scan(stream, since, until, order, tuple(_params(stream, since, until, order)))


def _order(stream: Stream, since: datetime | None) -> Order:
    match stream.incremental:
        case Incremental.NONE:
            return Order.AS_LISTED
        case Incremental.SORT_STOP:
            return Order.ID_ASC if since is None else Order.NEWEST_FIRST
        case _:
            return Order.UPDATE_ASC if stream.paging is Paging.CURSOR else Order.ID_ASC


def _params(
    stream: Stream, since: datetime | None, until: datetime | None, order: Order
) -> Iterator[tuple[str, str]]:
    yield from stream.params
    match order:
        case Order.UPDATE_ASC:
            yield from (("sort_by", "update_time"), ("sort_direction", "asc"))
        case Order.ID_ASC:
            yield "sort", "id ASC"
        case Order.NEWEST_FIRST:
            yield "sort", "update_time DESC"
    if stream.incremental in (Incremental.WINDOW, Incremental.SINCE) and since is not None:
        yield "updated_since", rfc3339(since)
        # With a lower bound only: any time filter hides the records that have no time, and a scan that
        # starts at minus infinity must see them. It stops at its end by itself.
        if stream.incremental is Incremental.WINDOW and until is not None:
            yield "updated_until", rfc3339(until)


def rfc3339(moment: datetime) -> str:
    """``moment`` as the API's time filters want it: UTC, whole seconds (reference section 5.1)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
