"""Reads lists that exist only below records of another entity, in the largest batches the API takes.

Children carry no time filter, so their coverage is counted in their parents' ``update_time``: an interval
is covered when the children of every parent last changed in it have been read after that change. Which
parents those are is known from the warehouse, at no cost.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce

from pydantic import BaseModel

from pipedrive_assets.api.pages import Page
from pipedrive_assets.catalog import spec as spec_of
from pipedrive_assets.catalog.spec import EntitySpec, Incremental, PerParent, Stream
from pipedrive_assets.exceptions import PipedriveApiException, PipedriveAuthException, PipedriveException
from pipedrive_assets.logs import log_event
from pipedrive_assets.sync.batcher import Batcher
from pipedrive_assets.sync.job import EntityJob
from pipedrive_assets.sync.parsing import PageFacts
from pipedrive_assets.sync.plan import NOTHING, OPEN_END, missing, read_whole
from pipedrive_assets.warehouse.batch import CoverageSpan, MergeCounts, Position, ReplacedParents
from pipedrive_assets.warehouse.intervals import Interval, IntervalSet

logger = logging.getLogger(__name__)

ParentId = int | str
GONE = frozenset({404, 410})
REFUSALS_OF_A_CLOSED_ENDPOINT = 3


class _Token(BaseModel):
    """How far a window has been visited: the last parent read, and the end of what that proves."""

    after: ParentId
    end: datetime


@dataclass(slots=True)
class _Window:
    """Parents to visit, and the interval that is covered once all have been; ``stored`` is its position."""

    interval: Interval
    parents: list[ParentId]
    query_hash: str
    t0: datetime | None = None
    stored: Position | None = None


class ParentScan:
    """Reads one per-parent stream for a job."""

    def __init__(self, job: EntityJob, stream: Stream, fan: PerParent) -> None:
        self._job = job
        self._stream = stream
        self._fan = fan
        self._parent: EntitySpec = spec_of(fan.parent)
        column = job.spec.parent_column
        if column is None:
            raise ValueError(f"{job.spec.name} has no column that holds the id of its parent")
        self._column = column
        self._batcher = Batcher(job.spec, job.options, job.context, job.tally)
        self._read_parents: list[ParentId] = []
        self._read_at: datetime | None = None
        self._last: ParentId | None = None
        self._answered = 0
        self._refused: list[ParentId] = []

    def run(self, covered: IntervalSet) -> None:
        """Visit the parents that ``covered`` does not account for.

        Errors raised: whatever the client or the warehouse raises; parents visited before are committed.
        """
        available = self._parent_coverage()
        if not available:
            self._job.stopped = (
                f"{self._fan.parent}, whose records come first, is not synced yet, or not open to the token"
            )
            return
        for interval in self._windows(covered, available):
            for window in self._open(interval, is_newest=interval.end == available.head):
                self._visit(window)
                if self._job.stopped:
                    return
        job = self._job
        if not job.options.dry_run:
            buried = job.context.warehouse.bury_children_of_deleted(
                job.spec, self._parent, run_id=job.context.run_id, source=job.options.source.value
            )
            job.tally.merged += MergeCounts(tombstoned=buried)
        if self._refused:
            few = ", ".join(str(parent) for parent in self._refused[:5])
            job.remarks.append(
                f"{len(self._refused)} of {self._fan.parent} are not open to the token ({few} …)"
            )

    # Which parents ------------------------------------------------------------------------------

    def _parent_coverage(self) -> IntervalSet:
        """What is held of all the parent's streams; one that the account does not open has no records."""
        warehouse = self._job.context.warehouse
        with warehouse.together():
            by_stream = warehouse.coverage(self._fan.parent)
            closed = warehouse.closed_streams(self._fan.parent)
        open_streams = [stream.name for stream in self._parent.streams if stream.name not in closed]
        held = [by_stream.get(name, IntervalSet()) for name in open_streams]
        return reduce(IntervalSet.intersect, held) if held else IntervalSet()

    def _windows(self, covered: IntervalSet, available: IntervalSet) -> list[Interval]:
        head = available.head
        if head is None:
            return []
        options, resumed = self._job.options, self._job.resumed.get(self._stream.name, NOTHING)
        if all(stream.incremental is Incremental.NONE for stream in self._parent.streams):
            return [] if read_whole(options, resumed) else [Interval(None, head)]
        wanted = IntervalSet()
        for since, until in missing(options, covered, resumed):
            wanted |= IntervalSet.of(since, until or OPEN_END)
        return list(reversed(list(wanted & available)))

    def _open(self, interval: Interval, *, is_newest: bool) -> Iterator[_Window]:
        """The windows to visit for ``interval``: two, if an earlier run left the first half done.

        That run knew only the parents changed before its own end, so no more than that is covered by
        finishing it.
        """
        query_hash = self._hash(interval.start)
        position = self._job.take_position(self._stream, query_hash)
        if position is not None and position.token is not None:
            token = _Token.model_validate(position.token)
            end = min(token.end, interval.end)
            left = [parent for parent in self._parents(interval.start, None) if _follows(parent, token.after)]
            yield _Window(Interval(interval.start, end), left, query_hash, position.t0, position)
            if end == interval.end:
                return
            interval = Interval(end, interval.end)
        # The newest window reads beyond its end: parents changed since then are in the warehouse already,
        # only not proven complete.
        until = None if is_newest else interval.end
        yield _Window(interval, self._parents(interval.start, until), self._hash(interval.start))

    def _hash(self, start: datetime | None) -> str:
        facts = [self._stream.path, str(start), self._job.catalog_version]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]

    def _parents(self, since: datetime | None, until: datetime | None) -> list[ParentId]:
        return self._job.context.warehouse.parent_ids(
            self._parent,
            since=since,
            until=until,
            positive_column=self._fan.only_where_positive,
            children=(self._job.spec.name, self._column),
        )

    # Visiting -----------------------------------------------------------------------------------

    def _visit(self, window: _Window) -> None:
        job = self._job
        parents = window.parents
        size = self._fan.batch
        for start in range(0, len(parents), size):
            try:
                self._read_chunk(window, parents[start : start + size])
            except BaseException:
                self._save(window)
                raise
            halted = job.should_stop()
            due = self._batcher.due or len(self._read_parents) >= 10 * size
            if halted or due:
                self._commit(window, finished=False)
            if halted:
                return
            if due and start + size < len(parents):
                job.require_memory(self._stream, window.stored)
        self._commit(window, finished=True)
        self._last = None

    def _read_chunk(self, window: _Window, chunk: Sequence[ParentId]) -> None:
        job, fan = self._job, self._fan
        text = ",".join(str(parent) for parent in chunk)
        params = dict(self._stream.params)
        path = self._stream.path
        if fan.parameter in path:
            path = path.replace(fan.parameter, text)
        else:
            params[fan.parameter] = text
        pages: list[Page] = []
        try:
            for page in job.context.paginator.pages(job.list_request(self._stream, path, params), None):
                job.tally.count_page(page)
                pages.append(page)
            self._answered += 1
        except PipedriveApiException as error:
            if fan.batch > 1 or not self._is_of_one_parent(error):
                if self._answered == 0:
                    # The endpoint is closed, and none of these parents has been read.
                    self._read_parents.clear()
                    self._last = None
                raise
            if error.status not in GONE:
                self._refused.append(chunk[0])
                pages = []
        # Only a chunk read to its end may replace its parents' children.
        for page in pages:
            window.t0 = window.t0 or page.server_time
            facts = PageFacts(self._stream, page.requested_at, chunk[0] if len(chunk) == 1 else None)
            self._batcher.add(job.parse(page.rows, facts))
            self._read_at = min(filter(None, (self._read_at, page.requested_at)))
            job.report_page(self._stream)
        self._read_parents.extend(chunk)
        self._last = chunk[-1]

    def _is_of_one_parent(self, error: PipedriveApiException) -> bool:
        """Whether the answer speaks of this record, and not of the endpoint or the token.

        A record can be gone or hidden. That the whole endpoint is closed shows in the first records all
        being refused.
        """
        if error.status in GONE:
            return True
        hidden = isinstance(error, PipedriveAuthException) and error.kind == "permission"
        return hidden and (self._answered > 0 or len(self._refused) < REFUSALS_OF_A_CLOSED_ENDPOINT)

    # Committing ---------------------------------------------------------------------------------

    def _commit(self, window: _Window, *, finished: bool) -> None:
        job = self._job
        coverage: list[CoverageSpan] = []
        position: Position | None = None
        if job.options.limit is None and not job.options.dry_run:
            if finished:
                coverage = [CoverageSpan(self._stream.name, window.interval.start, window.interval.end)]
            if self._last is not None and not finished:
                position = window.stored = self._position(window, self._last)
            elif finished and window.stored is not None:
                position = replace(window.stored, token=None, finished=True)
        replaces = None
        if self._read_parents and self._read_at is not None:
            read = tuple(parent for parent in self._read_parents if parent not in self._refused)
            replaces = ReplacedParents(self._column, read, self._read_at)
        self._batcher.commit(coverage, position, replaces)
        self._read_parents.clear()
        self._read_at = None
        job.after_commit()

    def _save(self, window: _Window) -> None:
        try:
            self._commit(window, finished=False)
        except PipedriveException as error:
            log_event(
                logger, "progress_not_saved", logging.ERROR, entity=self._job.spec.name, error=str(error)
            )

    def _position(self, window: _Window, last: ParentId) -> Position:
        return Position(
            stream=self._stream.name,
            query_hash=window.query_hash,
            token=_Token(after=last, end=window.interval.end).model_dump(mode="json"),
            last_update_time=None,
            last_id=str(last),
            t0=window.t0 or datetime.fromtimestamp(self._job.context.clock.time(), UTC),
            catalog_version=self._job.catalog_version,
            rows=self._job.tally.fetched,
            pages=self._job.tally.pages,
        )


def _follows(parent: ParentId, visited: ParentId) -> bool:
    """Whether ``parent`` comes after ``visited`` in the warehouse's order of ids."""
    if isinstance(parent, int) and isinstance(visited, int):
        return parent > visited
    return str(parent) > str(visited)
