"""How a sync ends: its result, the row and the log line that keep it, and the mirror of how far it came."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.logs import log_event
from pipedrive_assets.sync.context import SyncContext
from pipedrive_assets.sync.job import EntityJob
from pipedrive_assets.sync.outcome import log_performance, remember_outcome
from pipedrive_assets.sync.result import CoverageSpan, SyncResult, SyncStatus
from pipedrive_assets.warehouse.intervals import IntervalSet

logger = logging.getLogger(__name__)

MIB = 1024 * 1024


def now_of(context: SyncContext) -> datetime:
    """This host's time, aware UTC."""
    return datetime.fromtimestamp(context.clock.time(), UTC)


def result_of(
    job: EntityJob,
    status: SyncStatus,
    reason: str,
    started_at: datetime,
    before: Mapping[str, IntervalSet],
    *,
    resumes_at: datetime | None = None,
) -> SyncResult:
    """The result of ``job`` as it stands; ``before`` is the coverage that it found."""
    tally, options = job.tally, job.options
    finished_at = now_of(job.context)
    return SyncResult(
        entity=job.spec.name,
        run_id=job.context.run_id,
        mode=options.mode,
        source=options.source,
        status=status,
        reason=reason,
        resumes_at=resumes_at,
        since=options.since,
        until=options.until,
        started_at=started_at,
        finished_at=finished_at,
        fetched=tally.fetched,
        created=tally.merged.created,
        updated=tally.merged.updated,
        unchanged=tally.merged.unchanged,
        stale=tally.merged.stale,
        tombstoned=tally.merged.tombstoned,
        quarantined=tally.quarantined,
        pages=tally.pages,
        requests=tally.requests,
        tokens=tally.tokens,
        retries=tally.retries,
        seconds=max(0.0, (finished_at - started_at).total_seconds()),
        peak_rss_mb=round(tally.peak_rss_bytes / MIB, 1),
        dry_run=options.dry_run,
        coverage_before=_spans(before),
        coverage_after=_spans(_covered_after(job, before)),
        error_samples=tuple(tally.samples),
    )


def _spans(coverage: Mapping[str, IntervalSet]) -> tuple[CoverageSpan, ...]:
    return tuple(
        CoverageSpan(stream=stream, since=interval.start, until=interval.end)
        for stream, intervals in coverage.items()
        for interval in intervals
    )


def _covered_after(job: EntityJob, before: Mapping[str, IntervalSet]) -> dict[str, IntervalSet]:
    covered = dict(before)
    for span in job.tally.spans:
        covered[span.stream] = covered.get(span.stream, IntervalSet()) | IntervalSet.of(
            span.since, span.until
        )
    return covered


def finish_failed(job: EntityJob, result: SyncResult) -> None:
    """Record a failure whose exception is on its way up; that exception is the one to tell."""
    try:
        finish(job, result)
    except PipedriveException as error:
        log_event(logger, "failure_not_recorded", logging.ERROR, entity=result.entity, error=str(error))


def finish(job: EntityJob, result: SyncResult) -> None:
    """Log and record the result, and tell the state store how far the entity is."""
    log_event(
        logger,
        "entity_synced",
        logging.ERROR if result.status is SyncStatus.FAILED else logging.INFO,
        entity=result.entity,
        status=result.status.value,
        rows=result.fetched,
        created=result.created,
        updated=result.updated,
        unchanged=result.unchanged,
        tokens=result.tokens,
        requests=result.requests,
        seconds=round(result.seconds, 2),
    )
    log_performance(job, result)
    if job.options.dry_run:
        return
    remember_outcome(job, result)
    warehouse = job.context.warehouse
    with warehouse.together(read_only=False):
        warehouse.record_run(result.model_dump(mode="python"))
        rows = warehouse.row_count(job.spec.name)
    _mirror(job, result.coverage_after, rows)


def _mirror(job: EntityJob, coverage: tuple[CoverageSpan, ...], rows: int) -> None:
    """Schedules and ``status`` read the state store, so that they need not open the warehouse.

    A stream that the account does not open never gets a coverage; it must not hold the others back.
    """
    held: dict[str, list[CoverageSpan]] = {}
    for span in coverage:
        held.setdefault(span.stream, []).append(span)
    watermarks = [
        next((span.until for span in held.get(stream.name, []) if span.since is None), None)
        for stream in job.spec.streams
        if stream.name not in job.closed_streams
    ]
    heads = [max(span.until for span in spans) for spans in held.values()]
    job.context.state.watermarks(job.context.account).set(
        job.spec.name,
        watermark=None if None in watermarks else min(filter(None, watermarks), default=None),
        head=min(heads, default=None),
        rows=rows,
        recorded_at=now_of(job.context),
    )
