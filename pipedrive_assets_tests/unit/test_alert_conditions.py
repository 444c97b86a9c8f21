"""When a condition is raised, and how badly: at its thresholds, and with too little to judge by."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.alerts.conditions import (
    FAILURE_SECONDS,
    MEMORY_SECONDS,
    api_unhealthy,
    conditions,
    high_failure_rate,
    memory_threshold,
    rate_limit_exhaustion,
    watched,
)
from pipedrive_assets.alerts.snapshot import Snapshot
from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.alerts import AlertState, Severity
from pipedrive_assets.state.breaker import BreakerSnapshot
from pipedrive_assets.state.health import HealthState, Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.outcomes import SyncOutcome

NOW = 1_795_474_427.0
SETTINGS = PipedriveSettings()


def budget(spent: int, *, of: int = 1000, **changes: Any) -> BudgetState:
    left = max(0, of - spent)
    state = BudgetState(
        budget=of,
        origin="setting",
        spent=spent,
        reserved=0,
        remaining=left,
        resets_at=datetime(2026, 11, 24, tzinfo=UTC),
        day="2026-11-23",
        by_lane=dict.fromkeys(Lane, 0),
        available=dict.fromkeys(Lane, left),
        reserves=dict.fromkeys(Lane, 0),
        exhausted=False,
        enforced=True,
    )
    return replace(state, **changes)


def snapshot(**changes: Any) -> Snapshot:
    calm = Snapshot(
        now=NOW,
        breaker=BreakerSnapshot(),
        breaker_since=NOW,
        health=HealthState(Verdict.HEALTHY, "", NOW, NOW),
        budget=budget(0),
        outcomes=(),
        alerts={},
    )
    return replace(calm, **changes)


def outcome(status: str = "complete", *, ago: float = 0.0, **figures: Any) -> SyncOutcome:
    sync = SyncOutcome("deals", "r", status, "schedule", NOW - ago, 1.0, 0, 0, 0, 0, 0, 100.0, 10.0)
    return replace(sync, **figures)


def test_syncs_that_a_clock_ran_ahead_of_do_not_count() -> None:
    ahead = (outcome("failed", ago=-10 * 86_400, memory_percent=99),) * 9
    assert not high_failure_rate(snapshot(outcomes=ahead), SETTINGS).raised
    assert not memory_threshold(snapshot(outcomes=ahead), SETTINGS).raised


@pytest.mark.parametrize(("ago", "raised"), [(0, True), (600, True), (3600, False), (-86_400, False)])
def test_an_unhealthy_verdict_that_nobody_renews_is_no_alert(ago: float, raised: bool) -> None:
    health = HealthState(Verdict.UNHEALTHY, "3 probes failed in a row", NOW - 9000, NOW - ago)
    assert api_unhealthy(snapshot(health=health), SETTINGS).raised == raised


def test_nothing_is_raised_while_all_is_well() -> None:
    seen = conditions(snapshot(outcomes=(outcome(),) * 20), SETTINGS)
    assert len(seen) == 5
    assert not any(each.raised for each in seen)


def test_only_what_is_chosen_is_observed() -> None:
    some = PipedriveSettings(alert_conditions=" api_unhealthy ,run_failure")
    assert [each.condition for each in conditions(snapshot(), some)] == ["api_unhealthy"]
    assert watched(some) == {"api_unhealthy", "run_failure"}


@given(failed=st.integers(0, 30), good=st.integers(0, 30))
def test_a_failure_rate_is_high_above_the_threshold_of_five_syncs_or_more(failed: int, good: int) -> None:
    outcomes = (outcome("failed"),) * failed + (outcome(),) * good
    raised = high_failure_rate(snapshot(outcomes=outcomes), SETTINGS).raised
    assert raised == (failed + good >= 5 and failed / (failed + good) > 0.1)


def test_failures_of_more_than_an_hour_ago_and_what_was_only_paused_or_skipped_do_not_count() -> None:
    old = (outcome("failed", ago=FAILURE_SECONDS),) * 9
    other = (outcome("paused"), outcome("skipped"), outcome("partial")) * 3
    assert not high_failure_rate(snapshot(outcomes=old + other), SETTINGS).raised


def test_rows_whose_values_did_not_fit_count_as_failures_of_rows() -> None:
    outcomes = (outcome(fetched=90), outcome(fetched=10, quarantined=11, ago=60, entity="notes"))
    seen = high_failure_rate(snapshot(outcomes=outcomes), SETTINGS)
    assert (seen.raised, seen.since) == (True, NOW - 60)
    assert "11 of 100 rows" in seen.detail
    assert seen.detail.endswith("notes")
    few = (outcome(fetched=10, quarantined=9),)
    assert not high_failure_rate(snapshot(outcomes=few), SETTINGS).raised


@pytest.mark.parametrize(
    ("percent", "raised", "severity"),
    [
        (85.0, False, Severity.WARNING),
        (85.1, True, Severity.WARNING),
        (95.0, True, Severity.WARNING),
        (95.1, True, Severity.CRITICAL),
        (300.0, True, Severity.CRITICAL),
    ],
)
def test_memory_has_two_thresholds(percent: float, raised: bool, severity: Severity) -> None:
    seen = memory_threshold(snapshot(outcomes=(outcome(memory_percent=percent), outcome())), SETTINGS)
    assert (seen.raised, seen.severity) == (raised, severity)


def test_memory_is_no_longer_short_half_an_hour_after_the_last_such_sync() -> None:
    outcomes = (outcome(memory_percent=99, ago=MEMORY_SECONDS),)
    assert not memory_threshold(snapshot(outcomes=outcomes), SETTINGS).raised


@given(spent=st.integers(0, 1200), reserved=st.integers(0, 50))
def test_the_budget_warns_at_80_percent_and_is_critical_once_no_page_fits(spent: int, reserved: int) -> None:
    left = max(0, 1000 - spent)
    lanes = dict.fromkeys(Lane, max(0, left - reserved))
    state = budget(spent, reserved=reserved, available=lanes)
    seen = rate_limit_exhaustion(snapshot(budget=state), SETTINGS)
    assert seen.raised == (spent >= 800)
    if seen.raised and reserved == 0:
        assert (seen.severity is Severity.CRITICAL) == (left < 10)
    assert seen.occasion == "2026-11-23"


def test_a_budget_is_gone_when_pipedrive_says_so_and_not_when_somebody_set_it_to_nothing() -> None:
    said = rate_limit_exhaustion(snapshot(budget=budget(10, exhausted=True)), SETTINGS)
    assert (said.raised, said.severity) == (True, Severity.CRITICAL)
    assert not rate_limit_exhaustion(snapshot(budget=budget(0, of=0)), SETTINGS).raised


@pytest.mark.parametrize(
    ("left", "before", "raised"),
    [
        (49, Severity.CRITICAL, True),
        (50, Severity.CRITICAL, False),
        (49, Severity.WARNING, False),  # eight tenths were spent then, and something was left
        (9, None, True),
        (10, None, False),
    ],
)
def test_a_lane_that_was_dry_today_is_so_until_a_twentieth_of_the_day_is_free_again(
    left: int, before: Severity | None, raised: bool
) -> None:
    # Most of the rest is kept for more urgent lanes, and given free little by little.
    lanes = {**dict.fromkeys(Lane, left), Lane.PUSH: 400}
    state = budget(600, available=lanes)
    alerts = {} if before is None else {"rate_limit_exhaustion": raised_alert(before, since=NOW - 3600)}
    seen = rate_limit_exhaustion(snapshot(budget=state, alerts=alerts), SETTINGS)
    assert seen.raised == raised
    if raised:
        assert seen.severity is Severity.CRITICAL


def test_a_lane_that_was_dry_yesterday_or_is_dry_no_more_counts_afresh() -> None:
    state = budget(600, available=dict.fromkeys(Lane, 20))
    yesterday = raised_alert(Severity.CRITICAL, since=NOW - 86_400)
    over = replace(raised_alert(Severity.CRITICAL, since=NOW - 60), raised=False)
    for alert in (yesterday, over):
        seen = rate_limit_exhaustion(
            snapshot(budget=state, alerts={"rate_limit_exhaustion": alert}), SETTINGS
        )
        assert not seen.raised


def raised_alert(severity: Severity, *, since: float) -> AlertState:
    return AlertState("rate_limit_exhaustion", severity, True, since, "")


def test_where_limiting_is_off_our_own_figure_warns_and_only_pipedrives_word_is_critical() -> None:
    seen = rate_limit_exhaustion(snapshot(budget=budget(1500, enforced=False)), SETTINGS)
    assert (seen.raised, seen.severity) == (True, Severity.WARNING)


def test_a_degraded_api_is_no_alert() -> None:
    health = HealthState(Verdict.DEGRADED, "slow", NOW, NOW)
    seen = {each.condition: each for each in conditions(snapshot(health=health), SETTINGS)}
    assert not seen["api_unhealthy"].raised
