"""Reads one list over one window: page by page into batches, with coverage and position in step.

What a batch proves depends on the order in which the list is read. In update order everything below the
last time seen is covered as soon as it is committed; in any other order only the whole window is, at its
end. No interval ends later than the server's time at the first response less the overlap: Pipedrive's
lists lag their writes (reference section 5.1), and a client's clock proves nothing. A scan whose first answer
carries no time proves nothing either: its rows are kept, and no coverage is recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pipedrive_assets.api.pages import ListRequest, Page, PageToken, PipedriveCursorException
from pipedrive_assets.catalog.spec import Variants
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.logs import log_event
from pipedrive_assets.sync.batcher import Batcher
from pipedrive_assets.sync.job import EntityJob
from pipedrive_assets.sync.parsing import PageFacts, ParsedPage
from pipedrive_assets.sync.plan import BEGINNING, Order, Scan, rest_of
from pipedrive_assets.warehouse.batch import CoverageSpan, Position

logger = logging.getLogger(__name__)

_SCALE = "memory_scale"
"""Kept with a position beside the page's token: how small batches had become (1: not at all)."""
_VARIANT = "variant"
"""Kept likewise: the number of the list, where an entity has one for each of several variants."""
_OWES_LOOK = "owes_look"
"""Kept likewise: that the rows without time are still to be looked for."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The page to be read next, of which of the list's variants."""

    token: PageToken
    variant: int = 0


@dataclass(slots=True)
class _Walk:
    """Where a scan stands."""

    t0: datetime | None = None
    newest: datetime | None = None
    last_id: str | None = None
    rows: int = 0
    pages: int = 0
    resumed: bool = False
    committed: Position | None = None
    saw_timeless: bool = False
    owes_look: bool = False


class ListScan:
    """Runs one :class:`Scan` for a job."""

    def __init__(self, job: EntityJob, scan: Scan) -> None:
        self._job = job
        self._scan = scan
        self._hash = scan.query_hash(job.catalog_version)
        self._batcher = Batcher(job.spec, job.options, job.context, job.tally)
        self._walk = _Walk()

    def run(self) -> list[Scan]:
        """Read the list to its end, its limit or the deadline; return the scans that are needed besides.

        Errors raised: whatever the client or the warehouse raises. Everything fetched before an error of the
        client is committed, with the position from which the next run goes on.
        """
        resume = self._load_position()
        try:
            finished = self._read(resume)
        except PipedriveCursorException:
            if resume is None:
                raise
            return self._start_over()
        if finished and self._walk.resumed and self._walk.t0 is not None:
            return rest_of(self._scan, self._horizon(self._walk.t0))
        return []

    # Walking ------------------------------------------------------------------------------------

    def _read(self, resume: _Place | None) -> bool:
        place, walk = resume, self._walk
        pages = self._pages(resume)
        while True:
            try:
                if walk.owes_look:
                    self._look_for_rows_without_time()
                page, following = next(pages)
                if walk.pages == 0 and page.server_time_known:
                    # The moment before the request: what is written while it is answered is not proven seen.
                    walk.t0 = min(page.server_time, page.requested_at)
                complete, ended = self._take(page)
                place = following
                if walk.pages == 1 and following is not None:
                    self._expect_rows_without_time(page)
                if walk.owes_look:
                    self._look_for_rows_without_time()
            except BaseException:
                # Also when a person or Dagster interrupts: what was fetched has been paid for.
                self._save(place)
                raise
            finished = complete and (ended or place is None)
            halted = not finished and self._job.should_stop()
            if not (finished or halted or self._batcher.due):
                continue
            self._commit(place, finished)
            self._job.after_commit()
            if finished or halted:
                return finished
            self._job.require_memory(self._scan.stream, walk.committed)

    def _pages(self, resume: _Place | None) -> Iterator[tuple[Page, _Place | None]]:
        """Pages of the list, each with the place of the next; the union of its variants where it has some."""
        fan = self._scan.stream.fan
        variants = fan.combinations if isinstance(fan, Variants) else ((),)
        place = resume or _Place(PageToken())
        for number in range(place.variant, len(variants)):
            request = self._request((*self._scan.params, *variants[number]))
            following = _Place(PageToken(), number + 1) if number + 1 < len(variants) else None
            token = place.token if number == place.variant else None
            for page in self._job.context.paginator.pages(request, token):
                yield page, following if page.next is None else _Place(page.next, number)

    def _request(self, params: Sequence[tuple[str, str]]) -> ListRequest:
        return self._job.list_request(self._scan.stream, self._scan.stream.path, dict(params))

    def _take(self, page: Page) -> tuple[bool, bool]:
        """Parse and keep ``page``; whether all of it was kept, and whether the window ends in it."""
        self._job.tally.count_page(page)
        wanted, ended = self._cut(page.rows)
        records = wanted[: self._job.room()]
        parsed = self._parse(records, page)
        self._batcher.add(parsed)
        walk = self._walk
        walk.rows += parsed.rows.num_rows
        walk.pages += 1
        walk.newest = max(filter(None, (walk.newest, parsed.newest)), default=None)
        walk.last_id = parsed.last_id or walk.last_id
        self._job.report_page(self._scan.stream)
        return len(records) == len(wanted), ended

    def _parse(self, records: Sequence[Any], page: Page) -> ParsedPage:
        return self._job.parse(records, PageFacts(self._scan.stream, page.requested_at))

    def _cut(self, records: Sequence[Any]) -> tuple[Sequence[Any], bool]:
        """The records that belong to the window, and whether the window ends in this page."""
        scan = self._scan
        if scan.order is Order.UPDATE_ASC and scan.stops_at_until:
            for index, record in enumerate(records):
                moment = self._job.update_time(record)
                if moment is not None and scan.until is not None and moment >= scan.until:
                    # Records without a time may sort behind all others.
                    rest = [each for each in records[index:] if self._job.update_time(each) is None]
                    return [*records[:index], *rest], True
        if scan.order is Order.NEWEST_FIRST and scan.since is not None:
            times = (self._job.update_time(record) for record in records)
            return records, any(moment is not None and moment < scan.since for moment in times)
        return records, False

    def _expect_rows_without_time(self, first: Page) -> None:
        """Find out from the first page where the rows without ``update_time`` are, if there are any.

        They sort to one end, and which one is not documented: where the first row has a time, they can only
        be at the other end, which a scan that stops early never sees.
        """
        scan, walk = self._scan, self._walk
        if scan.order is not Order.UPDATE_ASC or scan.since is not None:
            return
        walk.saw_timeless = bool(first.rows) and self._job.update_time(first.rows[0]) is None
        walk.owes_look = not walk.saw_timeless and scan.until is not None

    def _look_for_rows_without_time(self) -> None:
        """Read the rows without ``update_time`` that a bounded scan from the beginning would not reach."""
        request = self._request((*self._scan.params, ("sort_direction", "desc")))
        for page in self._job.context.paginator.pages(request, None):
            self._job.tally.count_page(page)
            timeless = [record for record in page.rows if self._job.update_time(record) is None]
            self._batcher.add(self._parse(timeless, page))
            if len(timeless) < len(page.rows):
                break
        self._walk.saw_timeless, self._walk.owes_look = True, False

    # Committing ---------------------------------------------------------------------------------

    def _commit(self, place: _Place | None, finished: bool) -> None:
        job, walk = self._job, self._walk
        coverage: list[CoverageSpan] = []
        position: Position | None = None
        if walk.t0 is not None and not job.options.dry_run and job.options.limit is None:
            coverage = self._coverage(walk.t0, finished)
            position = self._position(walk.t0, place, finished)
        self._batcher.commit(coverage, position)
        walk.committed = position or walk.committed

    def _save(self, place: _Place | None) -> None:
        """Commit what has been gathered while an error is on its way up; that error is the one to tell."""
        try:
            self._commit(place, finished=False)
        except PipedriveException as error:
            log_event(
                logger, "progress_not_saved", logging.ERROR, entity=self._job.spec.name, error=str(error)
            )

    def _horizon(self, t0: datetime) -> datetime:
        return t0.replace(microsecond=0) - timedelta(seconds=self._job.context.settings.sync_overlap)

    def _coverage(self, t0: datetime, finished: bool) -> list[CoverageSpan]:
        scan, walk, horizon = self._scan, self._walk, self._horizon(t0)
        start = scan.since
        if finished:
            end = horizon if scan.until is None or scan.reads_to_now else min(scan.until, horizon)
        elif scan.order is Order.UPDATE_ASC and walk.newest is not None:
            # Others of the same second may follow on the next page.
            end = min(walk.newest.replace(microsecond=0), horizon)
            if start is None and not walk.saw_timeless:
                start = BEGINNING
        else:
            return []
        if start is not None and start >= end:
            return []
        return [CoverageSpan(scan.stream.name, start, end)]

    def _position(self, t0: datetime, place: _Place | None, finished: bool) -> Position | None:
        walk = self._walk
        if not self._scan.resumable or (finished and walk.committed is None):
            return None
        token: dict[str, Any] | None = None
        if place is not None:
            besides: dict[str, Any] = {_SCALE: self._job.context.memory.scale, _VARIANT: place.variant}
            if walk.owes_look:
                besides[_OWES_LOOK] = True
            token = asdict(place.token) | besides
        return Position(
            stream=self._scan.stream.name,
            query_hash=self._hash,
            token=token,
            last_update_time=walk.newest,
            last_id=walk.last_id,
            t0=t0,
            catalog_version=self._job.catalog_version,
            rows=walk.rows,
            pages=walk.pages,
            finished=finished,
        )

    # Resuming -----------------------------------------------------------------------------------

    def _load_position(self) -> _Place | None:
        job = self._job
        position = job.take_position(self._scan.stream, self._hash) if self._scan.resumable else None
        if position is None or position.token is None:
            return None
        if self._scan.order is Order.AS_LISTED and not self._still_tells(position):
            return None
        token = dict(position.token)
        self._walk = _Walk(
            t0=position.t0,
            newest=position.last_update_time,
            last_id=position.last_id,
            rows=position.rows,
            pages=position.pages,
            resumed=True,
            committed=position,
            owes_look=bool(token.pop(_OWES_LOOK, False)),
        )
        log_event(
            logger, "scan_resumed", entity=job.spec.name, stream=self._scan.stream.name, rows=position.rows
        )
        # Where memory was short, a new process must not begin with the pages that filled it.
        job.context.memory.start_at(float(token.pop(_SCALE, 1.0)))
        variant = int(token.pop(_VARIANT, 0))
        return _Place(PageToken(**token), variant)

    def _still_tells(self, position: Position) -> bool:
        """Whether a list without times may go on from ``position`` although rows read then may have changed.

        For a run that resumes the one which read them they are what was asked for, as long as they cover the
        whole window: paying for them again each day, a list dearer than a day's budget would never end.
        """
        job = self._job
        if position.run_id in job.options.resumes:
            until = job.options.until
            return until is None or self._horizon(position.t0) >= until
        age = (job.context.server_time() - position.t0).total_seconds()
        return age <= job.context.settings.sync_overlap

    def _start_over(self) -> list[Scan]:
        """Scans in place of one whose stored cursor the server refuses."""
        scan, walk = self._scan, self._walk
        log_event(
            logger, "cursor_refused", logging.WARNING, entity=self._job.spec.name, stream=scan.stream.name
        )
        if walk.t0 is not None:
            self._batcher.commit(position=self._position(walk.t0, None, finished=True))
        if scan.order is Order.UPDATE_ASC and scan.since is not None and walk.newest is not None and walk.t0:
            covered_to = max(scan.since, min(walk.newest.replace(microsecond=0), self._horizon(walk.t0)))
            return rest_of(scan, covered_to)
        return [scan]
