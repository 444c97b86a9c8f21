"""How the API is doing: a verdict from the requests of all processes, and a probe where there were none.

A probe is a request like any other for breaker, budget and burst window, but made once and not repeated.
It is left out while other requests succeed, while the breaker says that nothing may be sent, and while our
own budget has no room. When Pipedrive itself has said that the day's tokens are used up, one cheap probe
in fifteen minutes asks whether that still holds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.health_verdict import WINDOW_SECONDS, HealthThresholds, is_current
from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import CLOCKS_APART_SECONDS, Clock
from pipedrive_assets.exceptions import (
    PipedriveCircuitOpenException,
    PipedriveException,
    PipedriveRateLimitException,
    PipedriveStateException,
)
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot
from pipedrive_assets.state.health import HealthSample, HealthState, Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.stats import RequestStats, RequestWindow
from pipedrive_assets.state.store import StateStore

EXHAUSTED_PAUSE_SECONDS = 900.0
"""Between two probes of a day whose tokens are used up."""
HEALTH_CHANGED = "health_changed"
"""Name of the event that a change of the verdict is kept as."""

_EARLY_SECONDS = 10.0
"""A tick that comes a moment early must not have to wait for another whole interval."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A request that shows whether the API answers, at its published price in tokens (reference appendix)."""

    version: Version
    path: str
    tokens: int
    params: tuple[tuple[str, str], ...] = ()


TARGETS = {
    "users/me": ProbeTarget(Version.V1, "/users/me", 2),
    "leadSources": ProbeTarget(Version.V1, "/leadSources", 2),
    "pipelines": ProbeTarget(Version.V2, "/pipelines", 5, (("limit", "1"),)),
    "currencies": ProbeTarget(Version.V1, "/currencies", 20),
}
"""By the value of ``PIPEDRIVE_HEALTH_ENDPOINT``."""
CHEAPEST = TARGETS["users/me"]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What a check found.

    ``window`` holds the requests of the last fifteen minutes, ``probed`` says whether this check sent one.
    ``since`` (epoch seconds) is when the verdict last became another one, ``checked_at`` when it was formed.
    ``tokens_left`` and ``tokens_spent`` are the day's; ``memory_percent`` is what is used of the limit.
    """

    verdict: Verdict
    reason: str
    since: float
    checked_at: float
    probed: bool
    window: RequestWindow
    breaker: BreakerSnapshot
    tokens_left: int
    tokens_spent: int
    memory_percent: float

    @property
    def latency_ms(self) -> float | None:
        """Mean time of an answer; None without requests."""
        return self.window.latency_ms

    @property
    def failure_percent(self) -> float:
        """Share of requests that failed."""
        return self.window.failure_percent


class PipedriveHealthChecker:
    """The health of one account's API, for any process that shares the state store.

    ``stats`` is what ``client`` counts its requests in.
    """

    def __init__(
        self,
        settings: PipedriveSettings,
        store: StateStore,
        account: str,
        *,
        client: PipedriveClient,
        stats: RequestStats,
        limiter: PipedriveRateLimitManager,
        memory: PipedriveMemoryManager,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._thresholds = HealthThresholds.from_settings(settings)
        self._store = store
        self._health = store.health(account)
        self._breaker = store.breaker(account)
        self._events = store.events(account)
        self._client = client
        self._stats = stats
        self._limiter = limiter
        self._memory = memory
        self._clock = clock

    def check(self, *, force: bool = False) -> HealthReport:
        """The verdict, formed anew unless it is younger than the cache allows; may send one probe.

        ``force`` forms it anew and probes even though other requests succeed; breaker and budget still hold.
        """
        now = self._clock.time()
        state = self._health.state()
        if self._is_fresh(state, now) and not force:
            return self._report(state, probed=False)
        probe = self._probe(force=force, now=now)
        self._stats.flush()
        return self._conclude(probe)

    def look(self) -> HealthReport:
        """The verdict that what is known allows; asks nothing and keeps nothing.

        That is the kept one while it is good, and after that one formed from the requests since.
        """
        self._stats.flush()
        now, state = self._clock.time(), self._health.state()
        if self._is_fresh(state, now):
            return self._report(state, probed=False)
        failed = state.failures if is_current(state, self._settings, now) else 0
        judged = self._thresholds.judge(self._window(now), self._breaker.snapshot(), failed)
        since = min(now, state.since) if judged.verdict is state.verdict else now
        seen = replace(state, verdict=judged.verdict, reason=judged.reason, since=since, checked_at=now)
        return self._report(seen, probed=False)

    def history(self, since: float) -> tuple[HealthSample, ...]:
        """Samples taken at ``since`` (epoch seconds) or later, oldest first."""
        return self._health.samples(since)

    def _probe(self, *, force: bool, now: float) -> _Probe:
        """Send a probe if one is due and nothing forbids it."""
        shut = self._breaker.snapshot().shut_until(now) is not None
        if shut or not self._settings.health_monitoring_enabled:
            return _Probe()
        budget = self._limiter.budget()
        target = TARGETS[self._settings.health_endpoint]
        if budget.exhausted:
            target = target if target.tokens <= CHEAPEST.tokens else CHEAPEST
            pause = EXHAUSTED_PAUSE_SECONDS
        elif budget.enforced and budget.available[Lane.INCREMENTAL] < target.tokens:
            # Only our own budget is spent: that is no reason to spend beyond it.
            return _Probe()
        else:
            pause = 0.0 if force else self._interval_seconds
            if not force and self._succeeded_since(now - pause):
                return _Probe()
        return self._send(target) if self._health.claim_probe(now, pause=pause) else _Probe()

    def _is_fresh(self, state: HealthState, now: float) -> bool:
        return 0 <= now - state.checked_at < self._settings.health_cache_ttl

    @property
    def _interval_seconds(self) -> float:
        interval = self._settings.health_check_interval
        return interval - min(_EARLY_SECONDS, interval / 10)

    def _succeeded_since(self, moment: float) -> bool:
        succeeded = self._stats.window(moment).last_success_at
        return succeeded is not None and succeeded > moment

    def _send(self, target: ProbeTarget) -> _Probe:
        try:
            self._client.probe(
                target.version,
                target.path,
                params=dict(target.params),
                cost=target.tokens,
                timeout=self._settings.health_check_timeout,
            )
        except PipedriveStateException:
            raise
        except PipedriveCircuitOpenException:
            return _Probe()
        except PipedriveRateLimitException as limited:
            # Refused here it tells nothing; a 429 of the server shows that it is up.
            return _Probe(sent=bool(limited.headers), ok=True)
        except PipedriveException as error:
            return _Probe(sent=True, error=str(error))
        return _Probe(sent=True, ok=True)

    def _conclude(self, probe: _Probe) -> HealthReport:
        """Form the verdict and keep it, with a sample and, where it changed, an event."""
        now = self._clock.time()
        with self._store.transaction():
            before = self._health.state()
            failed = self._failed_in_a_row(before, probe, now)
            window = self._window(now)
            judged = self._thresholds.judge(window, self._breaker.snapshot(), failed)
            reason = f"{judged.reason}: {probe.error}" if probe.error else judged.reason
            changed = before.verdict is not judged.verdict
            state = replace(
                before,
                verdict=judged.verdict,
                reason=reason,
                since=now if changed else min(now, before.since),
                checked_at=now,
                failures=failed,
            )
            self._health.save(state)
            report = self._report(state, probed=probe.sent)
            self._health.add(_sample(report, ok=not probe.error))
            if changed:
                self._events.record(
                    HEALTH_CHANGED,
                    {"was": before.verdict.value, "now": state.verdict.value, "reason": reason},
                )
        if changed:
            log_event(
                _log,
                HEALTH_CHANGED,
                logging.WARNING if state.verdict in (Verdict.DEGRADED, Verdict.UNHEALTHY) else logging.INFO,
                was=before.verdict,
                now=state.verdict,
                reason=reason,
            )
        return report

    def _failed_in_a_row(self, before: HealthState, probe: _Probe, now: float) -> int:
        if probe.sent:
            return 0 if probe.ok else before.failures + 1
        probed_at = before.probed_at or 0.0
        if probed_at > now + CLOCKS_APART_SECONDS:
            # Before the clock was set back: when that was nobody knows, so the window decides.
            probed_at = now - WINDOW_SECONDS
        return 0 if before.failures and self._succeeded_since(probed_at) else before.failures

    def _window(self, now: float) -> RequestWindow:
        return self._stats.window(now - WINDOW_SECONDS)

    def _report(self, state: HealthState, *, probed: bool) -> HealthReport:
        budget = self._limiter.budget()
        return HealthReport(
            verdict=state.verdict,
            reason=state.reason,
            since=state.since,
            checked_at=state.checked_at,
            probed=probed,
            window=self._window(self._clock.time()),
            breaker=self._breaker.snapshot(),
            tokens_left=budget.remaining,
            tokens_spent=budget.spent,
            memory_percent=self._memory.sample().percent,
        )


@dataclass(frozen=True, slots=True)
class _Probe:
    """What became of a probe; not sent by default."""

    sent: bool = False
    ok: bool = False
    error: str = ""


def _sample(report: HealthReport, *, ok: bool) -> HealthSample:
    return HealthSample(
        at=report.checked_at,
        source="probe" if report.probed else "traffic",
        verdict=report.verdict,
        reason=report.reason,
        ok=ok,
        latency_ms=report.latency_ms,
        failure_percent=report.failure_percent,
        tokens_left=report.tokens_left,
        memory_percent=report.memory_percent,
    )
