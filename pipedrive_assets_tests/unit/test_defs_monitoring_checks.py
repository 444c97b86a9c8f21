"""The checks of what surrounds a copy, at and around their thresholds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.api.health import HealthReport
from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.defs.monitoring_checks import (
    Surroundings,
    api_is_healthy,
    budget_is_sufficient,
    failure_rate_is_low,
    memory_is_sufficient,
)
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.outcomes import SyncOutcome
from pipedrive_assets.state.stats import RequestWindow

DEALS = CATALOG["deals"]
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def outcome(
    status: str = "complete", *, fetched: int = 100, quarantined: int = 0, memory_percent: float = 10.0
) -> SyncOutcome:
    return SyncOutcome(
        "deals",
        "r1",
        status,
        "schedule",
        0.0,
        1.0,
        fetched,
        quarantined,
        tokens=10,
        requests=1,
        retries=0,
        peak_rss_mb=90.0,
        memory_percent=memory_percent,
    )


def surroundings(
    *outcomes: SyncOutcome,
    verdict: Verdict = Verdict.HEALTHY,
    budget: int = 1000,
    spent: int = 0,
    exhausted: bool = False,
) -> Surroundings:
    health = HealthReport(verdict, "because", 0.0, 0.0, False, RequestWindow(), BreakerSnapshot(), 0, 0, 1.0)
    left = budget - spent
    state = BudgetState(
        budget=budget,
        origin="setting",
        spent=spent,
        reserved=0,
        remaining=left,
        resets_at=datetime(2026, 11, 24, tzinfo=UTC),
        day="2026-11-23",
        by_lane=dict.fromkeys(Lane, 0),
        available=dict.fromkeys(Lane, left),
        reserves=dict.fromkeys(Lane, 0),
        exhausted=exhausted,
        enforced=True,
    )
    return Surroundings(PipedriveSettings(), health, state, outcomes, Lane.INCREMENTAL)


@pytest.mark.parametrize(
    ("verdict", "passed", "severity"),
    [
        (Verdict.HEALTHY, True, WARN),
        (Verdict.UNKNOWN, True, WARN),
        (Verdict.DEGRADED, False, WARN),
        (Verdict.UNHEALTHY, False, ERROR),
    ],
)
def test_the_verdict_decides_about_the_api(
    verdict: Verdict, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    found = api_is_healthy(surroundings(verdict=verdict), DEALS)
    assert (found.passed, found.severity) == (passed, severity)
    assert found.description == f"{verdict.value}: because"


@given(st.lists(st.sampled_from(["complete", "failed", "paused", "partial", "skipped"]), max_size=40))
def test_only_failed_syncs_count_as_failures_and_one_is_an_accident(statuses: list[str]) -> None:
    failed = statuses.count("failed")
    found = failure_rate_is_low(surroundings(*map(outcome, statuses)), DEALS)
    assert found.passed == (failed < 2 or 100 * failed <= 10 * len(statuses))
    assert found.severity is WARN


@given(st.integers(0, 500), st.integers(0, 500))
def test_rows_whose_values_did_not_fit_count_by_their_share(rows: int, odd: int) -> None:
    odd = min(odd, rows)
    found = failure_rate_is_low(surroundings(outcome(fetched=rows, quarantined=odd)), DEALS)
    assert found.passed == (100 * odd <= 10 * rows)


@pytest.mark.parametrize(
    ("percent", "passed", "severity"),
    [(85.0, True, WARN), (85.1, False, WARN), (95.0, False, WARN), (95.1, False, ERROR)],
)
def test_memory_warns_above_one_threshold_and_fails_above_the_other(
    percent: float, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    # What counts is the last sync: an earlier peak is over.
    around = surroundings(outcome(memory_percent=99.0), outcome(memory_percent=percent))
    found = memory_is_sufficient(around, DEALS)
    assert (found.passed, found.severity) == (passed, severity)


def test_memory_is_not_judged_without_a_sync() -> None:
    assert memory_is_sufficient(surroundings(), DEALS).passed


@pytest.mark.parametrize(
    ("spent", "passed", "severity"),
    [(0, True, WARN), (799, True, WARN), (800, False, WARN), (980, False, WARN), (995, False, ERROR)],
)
def test_the_budget_warns_at_four_fifths_and_fails_when_no_page_can_be_paid(
    spent: int, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    found = budget_is_sufficient(surroundings(spent=spent), DEALS)
    assert (found.passed, found.severity) == (passed, severity)


def test_an_exhausted_day_is_an_error_whatever_the_figures_say() -> None:
    found = budget_is_sufficient(surroundings(exhausted=True), DEALS)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "resets at 2026-11-24" in found.description


def test_a_lane_of_its_own_is_what_a_run_looks_at() -> None:
    around = surroundings()
    dry = {**around.budget.available, Lane.BACKFILL: 0}
    around = replace(around, budget=replace(around.budget, available=dry))
    assert budget_is_sufficient(around, DEALS).passed
    assert not budget_is_sufficient(replace(around, lane=Lane.BACKFILL), DEALS).passed
