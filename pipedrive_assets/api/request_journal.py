"""What is told of each request: a line in the log, and its place in the statistics."""

from __future__ import annotations

import logging

from pipedrive_assets.api.call import Call
from pipedrive_assets.api.error_handler import Accepted, Failed
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.state.stats import RequestFacts, RequestStats

_log = get_logger(__name__)


class RequestJournal:
    """Writes down every attempt; without ``stats`` it only logs."""

    def __init__(self, stats: RequestStats | None) -> None:
        self._stats = stats

    def attempt(
        self,
        call: Call,
        outcome: Accepted | Failed,
        *,
        attempt: int,
        charged: int,
        seconds: float,
        wait_seconds: float,
    ) -> None:
        """One request has ended; ``charged`` in tokens, ``wait_seconds`` went to the rate limit."""
        answer = outcome.answer
        if self._stats is not None:
            self._stats.note(_facts(call, outcome, attempt, charged, seconds, wait_seconds))
        log_event(
            _log,
            "request_sent",
            logging.DEBUG,
            method=call.method,
            endpoint=call.endpoint,
            entity=call.context.entity,
            status=None if answer is None else answer.status,
            attempt=attempt,
            tokens=charged,
            ms=round(seconds * 1000),
            bytes=None if answer is None else answer.wire_bytes,
        )

    @staticmethod
    def retry(call: Call, error: PipedriveException, *, attempt: int, delay: float) -> None:
        """Attempt number ``attempt`` has failed; the next one comes in ``delay`` seconds."""
        log_event(
            _log,
            "request_retry",
            logging.WARNING,
            method=call.method,
            endpoint=call.endpoint,
            entity=call.context.entity,
            status=error.context.status,
            error=type(error).__name__,
            attempt=attempt,
            delay_s=delay,
        )

    def close(self) -> None:
        """Write what was counted and is not written yet."""
        if self._stats is not None:
            self._stats.flush()


def _facts(
    call: Call, outcome: Accepted | Failed, attempt: int, charged: int, seconds: float, wait_seconds: float
) -> RequestFacts:
    answer = outcome.answer
    failure = outcome if isinstance(outcome, Failed) else None
    failed = failure is not None and failure.rule.trips
    if answer is not None:
        seconds = answer.received - answer.sent
    return RequestFacts(
        endpoint=call.endpoint,
        status=_status(outcome),
        failed=failed,
        refused=failure is not None and not failed,
        retry=attempt > 1,
        tokens=charged,
        seconds=seconds,
        wait_seconds=wait_seconds,
    )


def _status(outcome: Accepted | Failed) -> str:
    """The HTTP status; where there is none, or one that belies the body, the class of the failure."""
    if isinstance(outcome, Failed) and (outcome.answer is None or outcome.answer.status < 300):
        return outcome.kind.value
    return "" if outcome.answer is None else str(outcome.answer.status)
