"""What monitoring is told of a sync that has ended, before the warehouse is: it may be what failed."""

from __future__ import annotations

from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.state.outcomes import SyncOutcome
from pipedrive_assets.sync.job import EntityJob
from pipedrive_assets.sync.result import SyncResult, SyncStatus

_log = get_logger(__name__)


def log_performance(job: EntityJob, result: SyncResult) -> None:
    """One line about speed and memory, where performance logging is on."""
    if not job.context.settings.performance_logging:
        return
    log_event(
        _log,
        "sync_performance",
        entity=result.entity,
        seconds=result.seconds,
        rows_per_second=result.rows_per_second,
        requests_per_second=result.requests_per_second,
        peak_rss_mb=result.peak_rss_mb,
    )


def remember_outcome(job: EntityJob, result: SyncResult) -> None:
    """Keep how the sync ended in the state store, where monitoring is on."""
    context = job.context
    if not context.settings.monitoring_enabled:
        return
    context.state.outcomes(context.account).record(
        SyncOutcome(
            entity=result.entity,
            run_id=result.run_id,
            status=result.status.value,
            source=result.source.value,
            finished_at=result.finished_at.timestamp(),
            seconds=result.seconds,
            fetched=result.fetched,
            quarantined=result.quarantined,
            tokens=result.tokens,
            requests=result.requests,
            retries=result.retries,
            peak_rss_mb=result.peak_rss_mb,
            memory_percent=max(context.memory.sample().percent, job.tally.peak_memory_percent),
            error=result.reason if result.status is SyncStatus.FAILED else "",
        )
    )
