"""From figures to a verdict, and from a verdict to the pace of requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.health_pace import REREAD_SECONDS, HealthPace
from pipedrive_assets.api.health_verdict import HealthThresholds, is_current
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot, BreakerState
from pipedrive_assets.state.health import HealthState, Verdict
from pipedrive_assets.state.stats import RequestWindow
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

THRESHOLDS = HealthThresholds(failures=3, latency_ms=1000, failure_percent=10)
CLOSED = BreakerSnapshot()


def window(requests: int, failures: int = 0, latency_ms: float = 100.0) -> RequestWindow:
    return RequestWindow(
        requests=requests,
        failures=failures,
        seconds=requests * latency_ms / 1000,
        last_success_at=1.0 if requests > failures else None,
    )


@pytest.mark.parametrize(
    ("seen", "breaker", "probes_failed", "verdict", "reason"),
    [
        (window(10), CLOSED, 0, Verdict.HEALTHY, "10 requests in 100 ms on average"),
        (window(0), CLOSED, 0, Verdict.UNKNOWN, "nothing was asked in the last 15 minutes"),
        (window(1, 1), CLOSED, 1, Verdict.UNKNOWN, "no request succeeded in the last 15 minutes"),
        (window(10), CLOSED, 2, Verdict.HEALTHY, ""),
        (window(10), CLOSED, 3, Verdict.UNHEALTHY, "3 probes failed in a row"),
        (window(20, 2), CLOSED, 0, Verdict.HEALTHY, ""),
        (window(19, 2), CLOSED, 0, Verdict.DEGRADED, "2 of 19 requests failed (10.5 %, above 10 %)"),
        (window(5, 1), CLOSED, 0, Verdict.HEALTHY, ""),
        (window(3, latency_ms=1000), CLOSED, 0, Verdict.HEALTHY, ""),
        (window(3, latency_ms=1001), CLOSED, 0, Verdict.DEGRADED, "answers take 1001 ms on average"),
        (window(2, latency_ms=5000), CLOSED, 0, Verdict.HEALTHY, ""),
        (
            window(10),
            BreakerSnapshot(BreakerState.OPEN, failures=5, next_try_at=1_790_000_000.0),
            0,
            Verdict.UNHEALTHY,
            "open after 5 failures in a row; next try at 2026-09-21 14:13:20 UTC",
        ),
        (
            window(10),
            BreakerSnapshot(BreakerState.HALF_OPEN),
            0,
            Verdict.UNHEALTHY,
            "the circuit breaker is half-open",
        ),
    ],
)
def test_figures_decide_the_verdict(
    seen: RequestWindow, breaker: BreakerSnapshot, probes_failed: int, verdict: Verdict, reason: str
) -> None:
    judged = THRESHOLDS.judge(seen, breaker, probes_failed)
    assert judged.verdict is verdict
    assert reason in judged.reason


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0, 60_000), st.integers(0, 10), st.integers(0, 50))
def test_more_failures_and_slower_answers_never_make_the_verdict_better(
    requests: int, failures: int, latency_ms: float, probes_failed: int, more: int
) -> None:
    order = [Verdict.HEALTHY, Verdict.UNKNOWN, Verdict.DEGRADED, Verdict.UNHEALTHY]
    failures = min(failures, requests)
    before = THRESHOLDS.judge(window(requests, failures, latency_ms), CLOSED, probes_failed).verdict
    worse = window(requests, min(requests, failures + more), latency_ms + more)
    after = THRESHOLDS.judge(worse, CLOSED, probes_failed + more).verdict
    assert order.index(after) >= order.index(before)


def settings(**values: object) -> PipedriveSettings:
    return PipedriveSettings(**values)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> StateStore:
    return StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock)


def keep(store: StateStore, clock: ManualClock, verdict: Verdict) -> None:
    now = clock.time()
    store.health("7").save(HealthState(verdict, "", now, now, 0, now))


def test_a_degraded_api_gets_half_of_the_requests(store: StateStore, clock: ManualClock) -> None:
    with store:
        pace = HealthPace(store, settings(), clock)
        assert pace.slots(100, "7") == 100
        for verdict, slots in (
            (Verdict.DEGRADED, 50),
            (Verdict.UNHEALTHY, 100),
            (Verdict.DEGRADED, 50),
            (Verdict.HEALTHY, 100),
        ):
            keep(store, clock, verdict)
            clock.advance(REREAD_SECONDS)
            assert pace.slots(100, "7") == slots
        assert pace.slots(1, "7") == 1


def test_a_verdict_is_read_every_few_seconds_and_for_each_account(
    store: StateStore, clock: ManualClock
) -> None:
    with store:
        pace = HealthPace(store, settings(), clock)
        assert pace.slots(100, "7") == 100
        keep(store, clock, Verdict.DEGRADED)
        assert pace.slots(100, "7") == 100
        assert pace.slots(100, "8") == 100
        assert pace.slots(100, "7") == 50


def test_a_verdict_that_nobody_renews_slows_nobody_down(store: StateStore, clock: ManualClock) -> None:
    with store:
        keep(store, clock, Verdict.DEGRADED)
        pace = HealthPace(store, settings(health_check_interval=300, health_cache_ttl=60), clock)
        assert pace.slots(100, "7") == 50
        clock.advance(3 * 300 + 61)
        assert pace.slots(100, "7") == 100


def test_health_monitoring_switched_off_slows_nobody_down(store: StateStore, clock: ManualClock) -> None:
    with store:
        keep(store, clock, Verdict.DEGRADED)
        pace = HealthPace(store, settings(health_monitoring_enabled=False), clock)
        assert pace.slots(100, "7") == 100


def test_a_verdict_from_the_future_of_a_clock_set_back_is_not_current(clock: ManualClock) -> None:
    state = HealthState(Verdict.DEGRADED, "", 0.0, clock.time() + 60)
    assert not is_current(state, settings(), clock.time())
