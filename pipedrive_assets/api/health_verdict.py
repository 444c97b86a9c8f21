"""From figures to a verdict: what counts as healthy, degraded and unhealthy. Pure; asks nobody anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot, BreakerState
from pipedrive_assets.state.health import HealthState, Verdict
from pipedrive_assets.state.stats import RequestWindow

WINDOW_SECONDS = 900.0
"""How far back requests are looked at."""
FEW_REQUESTS = 3
"""Below this many a mean or a share says nothing."""
FEW_FAILURES = 2
"""One failure is an accident, however few requests there were."""
STALE_INTERVALS = 3
"""A verdict that nobody has renewed for so many check intervals says nothing about now."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the sentence that explains it."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class HealthThresholds:
    """Where the lines are drawn: failed probes in a row, milliseconds, percent."""

    failures: int
    latency_ms: float
    failure_percent: float

    @classmethod
    def from_settings(cls, settings: PipedriveSettings) -> HealthThresholds:
        """As the health and monitoring settings say."""
        return cls(
            failures=settings.health_failure_threshold,
            latency_ms=settings.health_degradation_threshold,
            failure_percent=settings.failure_rate_threshold,
        )

    def judge(self, window: RequestWindow, breaker: BreakerSnapshot, probes_failed: int) -> Judgement:
        """The verdict on the requests of a window, the breaker, and how many probes failed in a row."""
        if breaker.state is not BreakerState.CLOSED:
            return Judgement(Verdict.UNHEALTHY, _breaker_reason(breaker))
        if probes_failed >= self.failures:
            return Judgement(Verdict.UNHEALTHY, f"{probes_failed} probes failed in a row")
        share = window.failure_percent
        if (
            window.requests >= FEW_REQUESTS
            and window.failures >= FEW_FAILURES
            and share > self.failure_percent
        ):
            return Judgement(
                Verdict.DEGRADED,
                f"{window.failures} of {window.requests} requests failed ({share:.1f} %, above"
                f" {self.failure_percent:g} %)",
            )
        latency = window.latency_ms
        if latency is not None and window.requests >= FEW_REQUESTS and latency > self.latency_ms:
            return Judgement(
                Verdict.DEGRADED, f"answers take {latency:.0f} ms on average, above {self.latency_ms:g} ms"
            )
        if window.last_success_at is None:
            said = "no request succeeded" if window.requests else "nothing was asked"
            return Judgement(Verdict.UNKNOWN, f"{said} in the last {WINDOW_SECONDS / 60:.0f} minutes")
        return Judgement(Verdict.HEALTHY, f"{window.requests} requests in {latency or 0.0:.0f} ms on average")


def is_current(state: HealthState, settings: PipedriveSettings, now: float) -> bool:
    """Whether a kept verdict still speaks of the present (``now`` in epoch seconds)."""
    age = now - state.checked_at
    return 0 <= age <= STALE_INTERVALS * settings.health_check_interval + settings.health_cache_ttl


def _breaker_reason(breaker: BreakerSnapshot) -> str:
    if breaker.state is BreakerState.HALF_OPEN:
        return "the circuit breaker is half-open: one request is testing whether the server is back"
    when = datetime.fromtimestamp(breaker.next_try_at, UTC)
    return (
        f"the circuit breaker is open after {breaker.failures} failures in a row;"
        f" next try at {when:%Y-%m-%d %H:%M:%S} UTC"
    )
