"""The health checker against servers that are well, slow, broken, silent, or out of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.api.health import HEALTH_CHANGED
from pipedrive_assets.exceptions import PipedriveRateLimitException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.breaker import BreakerState
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.stats import RequestFacts
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.clocks import ManualClock
from pipedrive_assets_tests.integration.conftest import OpenSession

NOON = 1_790_078_400.0
"""2026-09-22 12:00 UTC."""
INTERVAL = 300


@dataclass
class Scene:
    """A server and a client whose clocks go together, and a session with the account known."""

    sandbox: Sandbox
    clock: ManualClock
    session: Session

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sandbox.clock.set(self.clock.time())

    @property
    def asked(self) -> list[str]:
        """Paths of all requests since the log was cleared."""
        return [record.path for record in self.sandbox.log]


OpenScene = Callable[..., Any]


@pytest.fixture
def scene_for(tmp_path: Path) -> OpenScene:
    @contextmanager
    def build(known: bool = True, daily_budget: int | None = None, **variables: Any) -> Iterator[Scene]:
        clock = ManualClock(NOON)
        config = SandboxConfig(
            seats=1,
            now="2026-09-22T12:00:00",
            frozen=True,
            daily_budget=daily_budget,
            # Its window runs on real time, in which a day passes here within seconds.
            burst_limit=10_000,
        )
        with Sandbox.start(config) as sandbox:
            environment = {
                "DAGSTER_HOME": str(tmp_path),
                "PIPEDRIVE_TOKEN": sandbox.token,
                "PIPEDRIVE_BASE_URL": sandbox.url,
                "PIPEDRIVE_PLAN": "ultimate",
                "PIPEDRIVE_ENABLED_ENTITIES": "deals,users",
                **{f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()},
            }
            with open_session(load_settings(environment), clock=clock) as session:
                if known:
                    session.identify()
                    sandbox.log.clear()
                yield Scene(sandbox, clock, session)

    return build


def test_nothing_is_asked_while_other_requests_succeed(scene_for: OpenScene) -> None:
    with scene_for() as scene:
        report = scene.session.health.check()
        assert (report.verdict, report.probed) == (Verdict.HEALTHY, False)
        assert scene.asked == []
        scene.advance(INTERVAL)
        assert scene.session.health.check().probed
        assert scene.asked == ["/users/me"]


def test_a_day_without_traffic_takes_288_probes_and_576_tokens(scene_for: OpenScene) -> None:
    with scene_for(known=False) as scene:
        scene.advance(12 * 3600)
        for _ in range(86_400 // INTERVAL):
            assert scene.session.health.check().verdict is not Verdict.UNHEALTHY
            scene.advance(INTERVAL)
        assert scene.asked == ["/users/me"] * 288
        assert list(scene.sandbox.log.tokens_by_day().values()) == [576]


def test_hours_with_traffic_take_no_probe(scene_for: OpenScene) -> None:
    with scene_for() as scene:
        client = scene.session.client
        for _ in range(6 * 3600 // INTERVAL):
            client.identity()
            scene.advance(INTERVAL / 2)
            assert not scene.session.health.check().probed
            scene.advance(INTERVAL / 2)
        assert len(scene.asked) == 72


def test_the_verdict_belongs_to_the_company_once_it_is_known(scene_for: OpenScene) -> None:
    with scene_for(known=False) as scene:
        scene.session.health.check()
        scene.session.identify()
        scene.session.health.check()
        kept = scene.session.state.health(scene.session.account_key).state()
        assert (kept.verdict, scene.session.health.look().window.requests) == (Verdict.HEALTHY, 2)


def test_a_verdict_is_good_for_its_time_to_live_and_formed_anew_on_demand(scene_for: OpenScene) -> None:
    with scene_for(known=False, health_cache_ttl=60, health_check_interval=30) as scene:
        health = scene.session.health
        first = health.check()
        assert first.probed
        scene.advance(59)
        again = health.check()
        assert (again.probed, again.checked_at) == (False, first.checked_at)
        assert health.check(force=True).probed
        scene.advance(61)
        assert health.check().probed
        assert len(scene.asked) == 3


def test_the_endpoint_is_the_one_configured_at_its_price(scene_for: OpenScene) -> None:
    for endpoint, path, tokens in (
        ("users/me", "/users/me", 2),
        ("leadSources", "/leadSources", 2),
        ("pipelines", "/pipelines", 5),
        ("currencies", "/currencies", 20),
    ):
        with scene_for(known=False, health_endpoint=endpoint) as scene:
            report = scene.session.health.check(force=True)
            assert (report.verdict, report.probed) == (Verdict.HEALTHY, True)
            assert [(record.path, record.cost) for record in scene.sandbox.log] == [(path, tokens)]


def test_monitoring_switched_off_asks_nothing_even_on_demand(scene_for: OpenScene) -> None:
    with scene_for(health_monitoring_enabled=False) as scene:
        scene.advance(INTERVAL)
        assert not scene.session.health.check(force=True).probed
        assert scene.asked == []


def test_failed_probes_in_a_row_make_it_unhealthy_and_one_answer_makes_it_well(scene_for: OpenScene) -> None:
    with scene_for(health_failure_threshold=2, circuit_breaker_threshold=50) as scene:
        health = scene.session.health
        scene.sandbox.faults.add("status", status=500)
        scene.advance(2 * INTERVAL)
        assert health.check().verdict is Verdict.HEALTHY
        scene.advance(INTERVAL)
        report = health.check()
        assert (report.verdict, report.probed) == (Verdict.UNHEALTHY, True)
        assert "2 probes failed in a row: Pipedrive answered 500" in report.reason
        # One attempt each, whatever the retries of other requests.
        assert len(scene.asked) == 2
        scene.sandbox.faults.clear()
        scene.advance(INTERVAL)
        assert health.check().verdict in (Verdict.DEGRADED, Verdict.HEALTHY)
        scene.advance(1800)
        assert health.check().verdict is Verdict.HEALTHY


def test_a_change_of_verdict_is_kept_as_an_event_and_others_are_not(scene_for: OpenScene) -> None:
    with scene_for(health_failure_threshold=1) as scene:
        health = scene.session.health
        health.check()
        scene.sandbox.faults.add("status", status=500)
        for _ in range(3):
            scene.advance(INTERVAL)
            health.check()
        scene.sandbox.faults.clear()
        scene.advance(1800)
        health.check()
        events = scene.session.state.events(scene.session.account_key).since(0, HEALTH_CHANGED)
        assert [(event.detail["was"], event.detail["now"]) for event in events] == [
            ("unknown", "healthy"),
            ("healthy", "unhealthy"),
            ("unhealthy", "healthy"),
        ]
        assert [sample.verdict.value for sample in health.history(0)] == [
            "healthy",
            *["unhealthy"] * 3,
            "healthy",
        ]


def test_failed_probes_open_the_breaker_and_the_probe_after_its_pause_closes_it(scene_for: OpenScene) -> None:
    with scene_for(circuit_breaker_threshold=3, circuit_breaker_timeout=1000) as scene:
        health = scene.session.health
        scene.sandbox.faults.add("reset")
        for _ in range(3):
            scene.advance(INTERVAL)
            health.check()
        report = health.check(force=True)
        assert report.breaker.state is BreakerState.OPEN
        assert report.verdict is Verdict.UNHEALTHY
        assert "the circuit breaker is open" in report.reason
        asked = len(scene.asked)
        for _ in range(3):
            scene.advance(INTERVAL)
            assert not health.check(force=True).probed
        assert len(scene.asked) == asked == 3
        scene.sandbox.faults.clear()
        scene.advance(INTERVAL)
        report = health.check()
        assert (report.probed, report.breaker.state) == (True, BreakerState.CLOSED)
        assert len(scene.asked) == asked + 1


def test_a_wrong_token_is_a_failed_probe_and_does_not_trip_the_breaker(scene_for: OpenScene) -> None:
    with scene_for(health_failure_threshold=1) as scene:
        scene.sandbox.faults.add("status", status=401)
        scene.advance(INTERVAL)
        report = scene.session.health.check()
        assert report.verdict is Verdict.UNHEALTHY
        assert "401" in report.reason
        assert report.breaker.state is BreakerState.CLOSED


def test_a_probe_that_gets_no_answer_ends_after_its_timeout(
    shared_sandbox: Sandbox, session_for: OpenSession
) -> None:
    shared_sandbox.faults.add("hang", seconds=3)
    variables = {"health_check_timeout": 0.2, "health_failure_threshold": 1}
    try:
        with session_for(shared_sandbox, **variables) as session:
            began = session.clock.monotonic()
            report = session.health.check()
            assert session.clock.monotonic() - began < 1.5
            assert (report.verdict, report.probed) == (Verdict.UNHEALTHY, True)
            assert "no answer in time" in report.reason
    finally:
        shared_sandbox.faults.clear()


def test_slow_answers_degrade_it_and_halve_the_requests_per_window(tmp_path: Path) -> None:
    with Sandbox.start(SandboxConfig(plan="lite", latency_ms=60)) as sandbox:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "lite",
            "PIPEDRIVE_HEALTH_DEGRADATION_THRESHOLD": "50",
        }
        with open_session(load_settings(environment)) as session:
            for _ in range(3):
                session.client.identity()
            session.client.close()
            report = session.health.check()
            assert report.verdict is Verdict.DEGRADED
            assert "on average, above 50 ms" in report.reason
        with open_session(load_settings(environment)) as session:
            # A fresh window: what was sent before must not count.
            session.clock.sleep(2.2)
            sandbox.log.clear()
            began = session.clock.monotonic()
            for _ in range(11):
                session.client.identity()
            assert session.clock.monotonic() - began > 2.0
            assert sandbox.log.max_in_window() <= 10


def test_failures_above_the_threshold_degrade_it(scene_for: OpenScene) -> None:
    with scene_for(failure_rate_threshold=20, circuit_breaker_threshold=100) as scene:
        scene.sandbox.faults.add("status", status=502, count=2)
        for _ in range(3):
            scene.session.client.identity()
        assert scene.session.health.check(force=True).verdict is Verdict.DEGRADED
        for _ in range(6):
            scene.session.client.identity()
        assert scene.session.health.check(force=True).verdict is Verdict.HEALTHY


def test_an_exhausted_day_is_asked_once_in_15_minutes_with_the_cheapest_request(scene_for: OpenScene) -> None:
    with scene_for(daily_budget=100, health_endpoint="currencies") as scene:
        scene.sandbox.limits.set_budget(0)
        health = scene.session.health
        scene.advance(INTERVAL)
        health.check()
        assert scene.session.budget().exhausted
        scene.sandbox.log.clear()
        for _ in range(12):
            scene.advance(INTERVAL)
            health.check()
            health.check(force=True)
        assert scene.asked == ["/users/me"] * 4


def test_a_probe_reopens_a_day_that_has_tokens_again(scene_for: OpenScene) -> None:
    with scene_for(daily_budget=100) as scene:
        scene.sandbox.limits.set_budget(0)
        scene.advance(INTERVAL)
        scene.session.health.check()
        assert scene.session.budget().exhausted
        scene.sandbox.limits.set_budget(90)
        scene.advance(900)
        assert scene.session.health.check().probed
        budget = scene.session.budget()
        assert not budget.exhausted
        assert budget.remaining == 90 - scene.sandbox.limits.spent[scene.sandbox.clock.day()]
        scene.session.client.identity(lane=Lane.BACKFILL)


def test_a_probe_reopens_a_day_that_the_server_has_begun_before_us(scene_for: OpenScene) -> None:
    with scene_for(daily_budget=20) as scene:
        client = scene.session.client
        for _ in range(9):
            client.identity()
        # Somebody else takes the rest, as only an answer can tell.
        scene.sandbox.limits.spent[scene.sandbox.clock.day()] = 20
        with pytest.raises(PipedriveRateLimitException):
            for _ in range(3):
                client.identity()
        scene.sandbox.limits.reset()
        scene.advance(60)
        assert scene.session.health.check().probed
        budget = scene.session.budget()
        assert (budget.exhausted, budget.remaining) == (False, 18)
        scene.session.client.identity()


def test_a_budget_of_our_own_that_is_spent_is_not_asked_beyond(scene_for: OpenScene) -> None:
    with scene_for(daily_token_budget=3) as scene:
        scene.advance(2 * INTERVAL)
        report = scene.session.health.check(force=True)
        assert not report.probed
        assert scene.asked == []


def test_two_processes_send_one_probe(scene_for: OpenScene) -> None:
    with (
        scene_for() as scene,
        open_session(scene.session.settings, clock=scene.clock) as other,
    ):
        scene.advance(INTERVAL)
        assert scene.session.health.check().probed
        assert not other.health.check().probed
        assert len(scene.asked) == 1


def test_a_clock_that_ran_ahead_and_was_set_back_keeps_nobody_from_asking(scene_for: OpenScene) -> None:
    with scene_for(circuit_breaker_threshold=3) as scene:
        scene.advance(30 * 86_400)
        scene.sandbox.faults.add("status", path="/users/me", status=500, count=3)
        for _ in range(3):
            scene.advance(INTERVAL)
            scene.session.health.check()
        scene.session.stats.note(RequestFacts("v2:/deals", "200", False, False, False, 10, 1.0, 0.0))
        scene.session.stats.flush()
        scene.advance(-30 * 86_400)
        report = scene.session.health.check()
        assert (report.verdict, report.probed) == (Verdict.HEALTHY, True)
        assert report.since <= scene.clock.time()


def test_failed_probes_of_a_clock_that_ran_ahead_are_forgotten_with_the_next_success(
    scene_for: OpenScene,
) -> None:
    with scene_for(health_failure_threshold=2, circuit_breaker_threshold=100) as scene:
        scene.advance(30 * 86_400)
        scene.sandbox.faults.add("status", path="/users/me", status=500, count=2)
        for _ in range(2):
            scene.advance(INTERVAL)
            assert scene.session.health.check().probed
        scene.advance(-30 * 86_400)
        scene.session.client.identity()
        scene.session.stats.flush()
        report = scene.session.health.check()
        assert (report.verdict, report.probed) == (Verdict.HEALTHY, False)


def test_looking_asks_nothing_and_does_not_trust_an_old_verdict(scene_for: OpenScene) -> None:
    with scene_for(health_failure_threshold=1, circuit_breaker_threshold=2) as scene:
        health = scene.session.health
        scene.sandbox.faults.add("status", status=500, count=1)
        assert health.check(force=True).verdict is Verdict.UNHEALTHY
        asked = len(scene.asked)
        assert health.look().verdict is Verdict.UNHEALTHY
        scene.advance(3600)
        report = health.look()
        assert (report.verdict, report.reason) == (
            Verdict.UNKNOWN,
            "nothing was asked in the last 15 minutes",
        )
        scene.session.client.identity()
        assert health.look().verdict is Verdict.HEALTHY
        assert len(scene.asked) == asked + 1
        assert health.history(0)[-1].verdict is Verdict.UNHEALTHY
