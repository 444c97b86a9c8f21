"""What a sync did: one frozen model, kept as a row of ``pipedrive_meta.sync_runs``."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from pipedrive_assets.sync.options import Source, SyncMode


class SyncStatus(StrEnum):
    """How a sync ended."""

    COMPLETE = "complete"
    """Everything asked for is in the warehouse."""
    PARTIAL = "partial"
    """Stopped early (limit or deadline); what was committed is kept and the next run goes on."""
    PAUSED = "paused"
    """The day's tokens are spent; what was committed is kept, and ``resumes_at`` says when to go on."""
    SKIPPED = "skipped"
    """The account's plan or the token's rights do not open the endpoint (402, 403, 415)."""
    BUSY = "busy"
    """Another run was syncing the entity; a scheduled run leaves it to that one."""
    FAILED = "failed"
    """Recorded in ``sync_runs`` only; the caller gets the exception."""


class CoverageSpan(BaseModel):
    """Half-open interval of ``update_time`` that the warehouse holds; None is unbounded below."""

    model_config = ConfigDict(frozen=True)

    stream: str
    since: datetime | None
    until: datetime


class ErrorSample(BaseModel):
    """One value that did not fit, as kept in ``pipedrive_meta.quarantine``."""

    model_config = ConfigDict(frozen=True)

    key: str
    column: str
    value: str
    reason: str


class SyncResult(BaseModel):
    """Counts, costs and coverage of one ``sync_entity`` call.

    ``resumes_at`` (UTC) is set where the sync is paused: the day's budget begins anew then.
    """

    model_config = ConfigDict(frozen=True)

    entity: str
    run_id: str
    mode: SyncMode
    source: Source
    status: SyncStatus
    reason: str = ""
    resumes_at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    started_at: datetime
    finished_at: datetime
    fetched: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    tombstoned: int = 0
    quarantined: int = 0
    pages: int = 0
    requests: int = 0
    tokens: int = 0
    retries: int = 0
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    dry_run: bool = False
    coverage_before: tuple[CoverageSpan, ...] = ()
    coverage_after: tuple[CoverageSpan, ...] = ()
    error_samples: tuple[ErrorSample, ...] = ()

    @property
    def rows_per_second(self) -> float:
        """Rows fetched by time taken; zero where it took none."""
        return self.fetched / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests by time taken; zero where it took none."""
        return self.requests / self.seconds if self.seconds else 0.0
