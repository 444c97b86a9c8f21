"""``sync_entity``: the one path from the API into the warehouse, for every caller.

Assets, schedules, sensors and the command line are thin callers of it; they differ in the options they
pass and in nothing else.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from pipedrive_assets.catalog import CATALOG_VERSION
from pipedrive_assets.catalog.spec import EntitySpec, PerParent, Stream
from pipedrive_assets.exceptions import (
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveException,
    PipedriveQuotaException,
    PipedriveRateLimitException,
    PipedriveStateException,
)
from pipedrive_assets.logs import log_event
from pipedrive_assets.state.leases import Lease, LeaseHolder, LeaseStore, OnWait
from pipedrive_assets.state.server_clock import day_of, reset_after
from pipedrive_assets.sync.context import SyncContext
from pipedrive_assets.sync.finish import finish, finish_failed, now_of, result_of
from pipedrive_assets.sync.job import EntityJob
from pipedrive_assets.sync.options import Source, SyncOptions
from pipedrive_assets.sync.parents import ParentScan
from pipedrive_assets.sync.parsing import PipedriveParsingService
from pipedrive_assets.sync.plan import NOTHING, plan_stream
from pipedrive_assets.sync.result import SyncResult, SyncStatus
from pipedrive_assets.sync.scan import ListScan
from pipedrive_assets.warehouse.intervals import IntervalSet
from pipedrive_assets.warehouse.store import Warehouse

logger = logging.getLogger(__name__)

BAD_REQUEST, FORBIDDEN, FEATURE_NOT_ENABLED = 400, 403, 415


def sync_entity(spec: EntitySpec, options: SyncOptions, context: SyncContext) -> SyncResult:
    """Bring the warehouse's copy of one entity to what ``options`` ask for.

    Returns counts, costs and coverage; the same is kept as a row of ``pipedrive_meta.sync_runs``. That the
    day's tokens are spent is no error: the result then is paused, and says until when.
    Errors raised: ``PipedriveException`` of the client (retries are behind it), the state store or the
    warehouse; what was fetched before is committed, and the next call goes on from there.
    """
    started_at = now_of(context)
    job = EntityJob(spec, options, context, CATALOG_VERSION, PipedriveParsingService(spec))
    with _lease(job) as holder:
        if holder is not None:
            reason = f"{spec.name} is being synced by {holder}"
            return result_of(job, SyncStatus.BUSY, reason, started_at, {})
        return _sync_under_lease(job, started_at)


def _sync_under_lease(job: EntityJob, started_at: datetime) -> SyncResult:
    spec, options, warehouse = job.spec, job.options, job.context.warehouse
    with warehouse.together():
        before = warehouse.coverage(spec.name)
        job.positions = warehouse.positions(spec.name)
        job.closed_streams = warehouse.closed_streams(spec.name)
        job.resumed = _covered_by(warehouse, options.resumes, spec)
    notes: list[_Note] = []
    streams = [stream for stream in spec.streams if options.tier in (None, stream.tier or spec.tier)]
    try:
        for stream in streams:
            if job.should_stop():
                break
            note = _sync_stream(job, stream, before.get(stream.name, IntervalSet()))
            if note is not None:
                notes.append(note)
    except PipedriveException as error:
        if isinstance(error, PipedriveRateLimitException) and error.kind == "daily":
            return _paused(job, error, started_at, before)
        finish_failed(job, result_of(job, SyncStatus.FAILED, str(error), started_at, before))
        raise
    if job.stopped:
        status, reason = SyncStatus.PARTIAL, job.stopped
    else:
        all_closed = bool(streams) and sum(note.closed for note in notes) == len(streams)
        status = SyncStatus.SKIPPED if all_closed else SyncStatus.COMPLETE
        reason = "; ".join([*(note.text for note in notes), *job.remarks])
    result = result_of(job, status, reason, started_at, before)
    finish(job, result)
    return result


def _covered_by(warehouse: Warehouse, run_ids: Iterable[str], spec: EntitySpec) -> dict[str, IntervalSet]:
    """What the runs ``run_ids`` have covered together, by stream."""
    covered: dict[str, IntervalSet] = {}
    for run_id in run_ids:
        for stream, spans in warehouse.spans_of_run(run_id, spec.name).items():
            covered[stream] = covered.get(stream, IntervalSet()) | spans
    return covered


def _paused(
    job: EntityJob,
    error: PipedriveRateLimitException,
    started_at: datetime,
    before: Mapping[str, IntervalSet],
) -> SyncResult:
    """The end of a sync for whose next page there are no tokens left; the scans have kept what they had."""
    resumes_at = error.resets_at or reset_after(day_of(job.context.server_time().timestamp()))
    result = result_of(job, SyncStatus.PAUSED, error.explained, started_at, before, resumes_at=resumes_at)
    finish(job, result)
    return result


@dataclass(frozen=True, slots=True)
class _Note:
    """What the account does not open: a whole stream (``closed``), or some fields of it."""

    text: str
    closed: bool


def _sync_stream(job: EntityJob, stream: Stream, covered: IntervalSet) -> _Note | None:
    """Sync one stream; a note if the account does not open all of it."""
    pages_before = job.tally.pages
    lacking = bool(stream.optional_fields) and _fields_of(stream) in job.closed_streams
    try:
        if isinstance(stream.fan, PerParent):
            ParentScan(job, stream, stream.fan).run(covered)
        else:
            # Rows read while the fields were refused lack them, and no time filter would bring them again.
            _run_scans(job, stream, NOTHING if lacking and _asks_for_all(job.options) else covered)
    except PipedriveApiException as error:
        refused_at_once = job.tally.pages == pages_before
        if stream.optional_fields and refused_at_once and _may_be_about_fields(error):
            # Some of the extra fields exist only on some plans; the records matter more. Once a page was
            # answered the fields are open, and leaving them out would empty them row by row.
            fields = ", ".join(stream.optional_fields)
            _say_closed(job, stream, error)
            # Said before the first row without them is written: this run may end at any moment.
            _mark(job, _fields_of(stream), closed=True, reason=str(error))
            closed = _sync_stream(job, _without_optional_fields(stream), covered)
            return closed or _Note(f"{stream.name}: without {fields}, which the account does not open", False)
        if not _is_closed(error):
            raise
        _say_closed(job, stream, error)
        _mark(job, stream.name, closed=True, reason=str(error))
        return _Note(f"{stream.name}: {error}", closed=True)
    _mark(job, stream.name, closed=False, reason="")
    if lacking and _asks_for_all(job.options) and not job.stopped:
        _mark(job, _fields_of(stream), closed=False, reason="")
    return None


def _mark(job: EntityJob, name: str, *, closed: bool, reason: str) -> None:
    """Keep apart what the account does not open and what has only not been synced yet."""
    if job.options.dry_run or closed == (name in job.closed_streams):
        return
    job.context.warehouse.mark_stream(
        job.spec.name, name, closed=closed, reason=reason, run_id=job.context.run_id
    )
    job.closed_streams ^= {name}


def _fields_of(stream: Stream) -> str:
    """Name under which is kept whether the account opens the stream's optional fields."""
    return f"{stream.name}: optional fields"


def _asks_for_all(options: SyncOptions) -> bool:
    return options.since is None and options.until is None and options.limit is None and not options.resumes


def _may_be_about_fields(error: PipedriveApiException) -> bool:
    abuse = isinstance(error, PipedriveAuthException) and error.kind == "abuse"
    return error.status in (BAD_REQUEST, FORBIDDEN) and not abuse


def _say_closed(job: EntityJob, stream: Stream, error: PipedriveApiException) -> None:
    log_event(
        logger,
        "stream_not_open",
        logging.WARNING,
        entity=job.spec.name,
        stream=stream.name,
        status=error.status,
    )


def _run_scans(job: EntityJob, stream: Stream, covered: IntervalSet) -> None:
    scans = deque(plan_stream(stream, job.options, covered, job.resumed.get(stream.name, NOTHING)))
    while scans and not job.stopped:
        scans.extendleft(reversed(ListScan(job, scans.popleft()).run()))


def _without_optional_fields(stream: Stream) -> Stream:
    params = dict(stream.params)
    kept = [name for name in params["include_fields"].split(",") if name not in stream.optional_fields]
    params["include_fields"] = ",".join(kept)
    return replace(stream, params=tuple(params.items()), optional_fields=())


def _is_closed(error: PipedriveApiException) -> bool:
    """Whether plan or rights do not open the endpoint, rather than something being broken."""
    if isinstance(error, PipedriveAuthException):
        return error.kind in ("permission", "scope")
    return isinstance(error, PipedriveQuotaException) or error.status == FEATURE_NOT_ENABLED


@contextmanager
def _lease(job: EntityJob) -> Iterator[str | None]:
    """Hold the entity's lease; yields None, or who holds it where the run leaves the entity to them.

    A scheduled run does so at once, any other at its deadline.
    """
    context = job.context
    if job.options.dry_run:
        yield None
        return
    leases = context.state.leases(context.account)
    name = f"sync:{job.spec.name}"
    job.lease = leases.acquire(name, context.run_id)
    if job.lease is None and job.options.source is not Source.SCHEDULE:
        job.lease = _wait_for_lease(job, leases, name)
    if job.lease is None:
        holder = leases.holder(name)
        yield f"run {holder.owner}" if holder is not None else "another run"
        return
    with job.lease.kept():
        yield None


def _wait_for_lease(job: EntityJob, leases: LeaseStore, name: str) -> Lease | None:
    deadline = job.options.deadline
    timeout = None if deadline is None else max(0.0, deadline.timestamp() - job.context.clock.time())
    try:
        return leases.wait(name, job.context.run_id, timeout=timeout, on_wait=_say_waiting(job.spec))
    except PipedriveStateException:
        if timeout is None or leases.holder(name) is None:
            raise
        return None


def _say_waiting(spec: EntitySpec) -> OnWait:
    def say(holder: LeaseHolder | None) -> None:
        whom = f"run {holder.owner}" if holder is not None else "another run"
        log_event(logger, "waiting_for_lease", entity=spec.name, held_by=whom)

    return say
