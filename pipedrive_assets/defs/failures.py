"""From the package's exceptions to Dagster's: what a step may try again, and what a person is told.

The client has already repeated what repeating helps within one request. Dagster repeats a step only where
a process or a connection was lost for longer than that; everything else ends the step at once.
"""

from __future__ import annotations

import dagster as dg

from pipedrive_assets.exceptions import (
    PipedriveCircuitOpenException,
    PipedriveException,
    PipedriveRateLimitException,
)
from pipedrive_assets.settings import PipedriveSettings

RETRY_DELAY_SECONDS = 30


def as_failure(error: PipedriveException) -> dg.Failure:
    """``error`` with its advice as a ``Failure``, retried by Dagster only where that may help."""
    metadata: dict[str, dg.MetadataValue] = {
        "error": dg.MetadataValue.text(type(error).__name__),
        "context": dg.MetadataValue.json(error.to_dict()["context"]),
    }
    # A moment rather than a number of seconds: who reads it comes later.
    for name, moment in (
        ("resets_at", error.resets_at if isinstance(error, PipedriveRateLimitException) else None),
        ("next_try_at", error.next_try_at if isinstance(error, PipedriveCircuitOpenException) else None),
    ):
        if moment is not None:
            metadata[name] = dg.MetadataValue.timestamp(moment)
    if error.retry_after is not None:
        metadata["retry_after_seconds"] = dg.MetadataValue.float(float(error.retry_after))
    return dg.Failure(error.explained, metadata=metadata, allow_retries=error.retryable)


def retry_policy(settings: PipedriveSettings) -> dg.RetryPolicy:
    """``PIPEDRIVE_JOB_MAX_TRIES`` tries of a step, further and further apart."""
    return dg.RetryPolicy(
        max_retries=settings.job_max_tries - 1,
        delay=RETRY_DELAY_SECONDS,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )
