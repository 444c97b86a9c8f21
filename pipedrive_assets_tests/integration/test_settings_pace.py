"""Settings of retries, breaker and memory, each by what the server sees when its value changes."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import Any

import pytest

from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.exceptions import (
    PipedriveCircuitOpenException,
    PipedriveException,
    PipedriveMemoryException,
    PipedriveServerException,
)
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.integration.conftest import OpenSession

FULL = SyncOptions(mode=SyncMode.FULL)
MIB = 1 << 20


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """One account for all tests, since none of them writes to it."""
    shared_sandbox.faults.clear()
    shared_sandbox.log.clear()
    return shared_sandbox


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_deadline", "requests"), [(31, 4), (61, 6)])
def test_request_deadline_is_how_long_one_call_goes_on_trying(
    request_deadline: int, requests: int, sandbox: Sandbox, session_for: OpenSession
) -> None:
    # Maintenance is waited for 4, 8, 16, 16 … seconds.
    sandbox.faults.add("status", path="/users$", status=503)
    with (
        session_for(
            sandbox,
            clock=SkippingClock(),
            request_deadline=request_deadline,
            max_retry_attempts=10,
            rate_limit_jitter="false",
            circuit_breaker_threshold=100,
        ) as session,
        pytest.raises(PipedriveServerException),
    ):
        session.sync("users", FULL)
    assert len(sandbox.log.for_path("/users")) == requests


@pytest.mark.parametrize(("rate_limit_max_delay", "delays"), [(2, [1, 2, 2, 2]), (16, [1, 2, 4, 8])])
def test_rate_limit_max_delay_caps_the_waits_between_tries(
    rate_limit_max_delay: int, delays: list[float], sandbox: Sandbox, session_for: OpenSession
) -> None:
    clock = SkippingClock()
    sandbox.faults.add("status", path="/users$", status=500)
    with (
        session_for(
            sandbox,
            clock=clock,
            rate_limit_max_delay=rate_limit_max_delay,
            rate_limit_jitter="false",
            max_retry_attempts=4,
            circuit_breaker_threshold=100,
        ) as session,
        pytest.raises(PipedriveServerException),
    ):
        session.sync("users", FULL)
    assert [slept for slept in clock.slept if slept >= 1] == delays


@pytest.mark.parametrize(("rate_limit_jitter", "exact"), [("true", False), ("false", True)])
def test_rate_limit_jitter_draws_the_waits_between_tries(
    rate_limit_jitter: str, exact: bool, sandbox: Sandbox, session_for: OpenSession
) -> None:
    clock = SkippingClock()
    sandbox.faults.add("status", path="/users$", status=503)
    with (
        session_for(sandbox, clock=clock, rate_limit_jitter=rate_limit_jitter) as session,
        pytest.raises(PipedriveServerException),
    ):
        session.sync("users", FULL)
    assert {4.0, 8.0, 16.0}.issubset(clock.slept) is exact
    assert sum(clock.slept) <= 28.5


@pytest.mark.parametrize("circuit_breaker_threshold", [1, 4])
def test_circuit_breaker_threshold_is_how_many_failures_close_the_door(
    circuit_breaker_threshold: int, sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("status", path="/users$", status=500)
    with session_for(
        sandbox, max_retry_attempts=0, circuit_breaker_threshold=circuit_breaker_threshold
    ) as session:
        for _ in range(6):
            with pytest.raises(PipedriveException):
                session.sync("users", FULL)
    assert len(sandbox.log.for_path("/users")) == circuit_breaker_threshold


@pytest.mark.parametrize(("circuit_breaker_timeout", "open_after_100_seconds"), [(90, False), (110, True)])
def test_circuit_breaker_timeout_is_how_long_the_door_stays_closed(
    circuit_breaker_timeout: int, open_after_100_seconds: bool, sandbox: Sandbox, session_for: OpenSession
) -> None:
    clock = SkippingClock()
    fault = sandbox.faults.add("status", path="/users$", status=500, count=1)
    with session_for(
        sandbox,
        clock=clock,
        max_retry_attempts=0,
        circuit_breaker_threshold=1,
        circuit_breaker_timeout=circuit_breaker_timeout,
    ) as session:
        with pytest.raises(PipedriveServerException):
            session.sync("users", FULL)
        clock.sleep(100)
        if open_after_100_seconds:
            with pytest.raises(PipedriveCircuitOpenException):
                session.sync("users", FULL)
        else:
            assert session.sync("users", FULL).fetched == len(sandbox.rows("users"))
    assert fault.fired == 1


# Memory -------------------------------------------------------------------------------------------


def page_sizes(sandbox: Sandbox, session_for: OpenSession, **variables: Any) -> list[int]:
    """Rows asked for in each page of one list."""
    with session_for(sandbox, **{"max_batch_size": 40, "min_batch_size": 15, **variables}) as session:
        session.sync("users", FULL)
        sandbox.log.clear()
        # A limit that this process cannot keep ends the sync once pages cannot get smaller.
        with suppress(PipedriveMemoryException):
            session.sync("activities", FULL)
    return [int(record.params["limit"]) for record in sandbox.log.for_path("/activities")]


@pytest.mark.parametrize("max_batch_size", [40, 60])
def test_max_batch_size_is_what_a_page_asks_for(
    max_batch_size: int, sandbox: Sandbox, session_for: OpenSession
) -> None:
    assert set(page_sizes(sandbox, session_for, max_batch_size=max_batch_size)) == {max_batch_size}


@pytest.mark.parametrize(
    ("variables", "smallest"),
    [
        ({"memory_limit_mb": 1_000_000}, 40),
        ({"memory_limit_mb": 64}, 15),
        ({"memory_limit_mb": 64, "min_batch_size": 25}, 25),
        ({"memory_limit_mb": 64, "adaptive_pagination": "false"}, 40),
    ],
)
def test_pages_shrink_to_min_batch_size_above_memory_limit_mb_unless_adaptive_pagination_is_off(
    variables: dict[str, Any], smallest: int, sandbox: Sandbox, session_for: OpenSession
) -> None:
    assert min(page_sizes(sandbox, session_for, **variables)) == smallest


@pytest.mark.parametrize(("memory_threshold", "shrinks"), [(50, True), (95, False)])
def test_memory_threshold_is_where_memory_counts_as_short(
    memory_threshold: int, shrinks: bool, sandbox: Sandbox, session_for: OpenSession
) -> None:
    limit = three_quarters_used(sandbox, session_for)
    sizes = page_sizes(
        sandbox,
        session_for,
        memory_limit_mb=limit,
        memory_threshold=memory_threshold,
        min_batch_size=1,
        max_batch_size=5,
    )
    assert (min(sizes) < 5) is shrinks


def three_quarters_used(sandbox: Sandbox, session_for: OpenSession) -> int:
    """A limit in MB of which this process, with all that a sync takes for itself, uses three quarters."""
    page_sizes(sandbox, session_for)
    return SystemProbe().rss_bytes() * 4 // 3 // MIB


@pytest.mark.parametrize(("memory_critical_threshold", "ends"), [(60, True), (100, False)])
def test_memory_critical_threshold_is_where_a_sync_ends_between_two_batches(
    memory_critical_threshold: int, ends: bool, sandbox: Sandbox, session_for: OpenSession
) -> None:
    limit = three_quarters_used(sandbox, session_for)
    sizes = page_sizes(
        sandbox,
        session_for,
        memory_limit_mb=limit,
        memory_threshold=50,
        memory_alert_threshold=55,
        memory_critical_threshold=memory_critical_threshold,
        min_batch_size=5,
        max_batch_size=5,
    )
    assert (len(sizes) == 1) is ends


@pytest.mark.parametrize(("memory_alert_threshold", "warns"), [(60, True), (95, False)])
def test_memory_alert_threshold_is_where_a_warning_is_given(
    memory_alert_threshold: int,
    warns: bool,
    sandbox: Sandbox,
    session_for: OpenSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = three_quarters_used(sandbox, session_for)
    page_sizes(sandbox, session_for, memory_limit_mb=limit, memory_alert_threshold=memory_alert_threshold)
    assert ("memory_high" in caplog.text) is warns


@pytest.mark.parametrize(("force_gc", "collects"), [("true", True), ("false", False)])
def test_force_gc_collects_garbage_after_each_batch(
    force_gc: str, collects: bool, sandbox: Sandbox, session_for: OpenSession
) -> None:
    collections: list[str] = []
    with session_for(sandbox, force_gc=force_gc) as session:
        session.account  # noqa: B018 - asked beforehand, so that only the sync is watched
        gc.disable()  # Python's own collections are not what is counted
        gc.callbacks.append(watch := lambda phase, _: collections.append(phase))
        try:
            session.sync("users", FULL)
        finally:
            gc.callbacks.remove(watch)
            gc.enable()
    assert bool(collections) is collects
