"""Asset checks of what surrounds an entity's copy: the API, failures, memory, budget.

They read the state store alone, and are there only while ``PIPEDRIVE_MONITORING_ENABLED`` is on. Whether the
copy itself can be trusted is asked in ``checks.py``; both run in one step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.defs.finding import Finding
from pipedrive_assets.defs.gate import dearest_request, lane_dry
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.result import SyncStatus

if TYPE_CHECKING:
    from pipedrive_assets.api.budget import BudgetState
    from pipedrive_assets.api.health import HealthReport
    from pipedrive_assets.state.outcomes import SyncOutcome
    from pipedrive_assets.sync.session import Session

OUTCOME_SECONDS = 86_400
"""How far back syncs are looked at."""
FEW_FAILURES = 2
"""One failed sync is an accident, and the next one makes up for it."""
BUDGET_WARNING_PERCENT = 80

_BY_VERDICT = {
    Verdict.DEGRADED: dg.AssetCheckSeverity.WARN,
    Verdict.UNHEALTHY: dg.AssetCheckSeverity.ERROR,
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known about the account and one entity's last day; read once for all checks of a step."""

    settings: PipedriveSettings
    health: "HealthReport"
    budget: "BudgetState"
    outcomes: tuple["SyncOutcome", ...]
    lane: Lane


Check = Callable[[Surroundings, EntitySpec], Finding]


def read_surroundings(session: "Session", spec: EntitySpec, lane: Lane) -> Surroundings:
    """Read the state store; asks the API nothing and leaves the warehouse closed."""
    since = session.clock.time() - OUTCOME_SECONDS
    return Surroundings(
        settings=session.settings,
        health=session.health.look(),
        budget=session.budget(),
        outcomes=session.state.outcomes(session.known_key).since(since, spec.name),
        lane=lane,
    )


def api_is_healthy(around: Surroundings, spec: EntitySpec) -> Finding:
    """Pipedrive answers, fast and mostly without failures; degraded is a warning, unhealthy an error."""
    health = around.health
    return Finding(
        health.verdict not in _BY_VERDICT,
        f"{health.verdict.value}: {health.reason}",
        {
            "verdict": health.verdict.value,
            "latency_ms": round(health.latency_ms or 0.0, 1),
            "failure_percent": round(health.failure_percent, 2),
            "requests": health.window.requests,
        },
        _BY_VERDICT.get(health.verdict, dg.AssetCheckSeverity.WARN),
    )


def failure_rate_is_low(around: Surroundings, spec: EntitySpec) -> Finding:
    """Of the last day's syncs of the entity few failed, and of their rows few had values that did not fit."""
    limit = around.settings.failure_rate_threshold
    syncs = len(around.outcomes)
    failed = sum(outcome.status == SyncStatus.FAILED.value for outcome in around.outcomes)
    rows = sum(outcome.fetched for outcome in around.outcomes)
    quarantined = sum(outcome.quarantined for outcome in around.outcomes)
    of_syncs, of_rows = _percent(failed, syncs), _percent(quarantined, rows)
    return Finding(
        not (failed >= FEW_FAILURES and of_syncs > limit) and of_rows <= limit,
        f"{failed} of {syncs} syncs failed in 24 hours ({of_syncs:.1f} %), and {quarantined} of {rows} rows"
        f" had values that did not fit ({of_rows:.1f} %); allowed: {limit:g} %",
        {
            "syncs": syncs,
            "failed_syncs": failed,
            "failed_syncs_percent": round(of_syncs, 2),
            "quarantined_rows_percent": round(of_rows, 2),
        },
        dg.AssetCheckSeverity.WARN,
    )


def memory_is_sufficient(around: Surroundings, spec: EntitySpec) -> Finding:
    """The last sync of the entity stayed below the memory thresholds; above the upper one it is an error."""
    if not around.outcomes:
        return Finding(True, "no sync in 24 hours", {})
    last = around.outcomes[-1]
    alert, critical = around.settings.memory_alert_threshold, around.settings.memory_critical_threshold
    return Finding(
        last.memory_percent <= alert,
        f"the last sync used {last.memory_percent:.1f} % of its memory limit; a warning above {alert} %,"
        f" an error above {critical} %",
        {"memory_percent": round(last.memory_percent, 2), "peak_rss_mb": last.peak_rss_mb},
        dg.AssetCheckSeverity.ERROR if last.memory_percent > critical else dg.AssetCheckSeverity.WARN,
    )


def budget_is_sufficient(around: Surroundings, spec: EntitySpec) -> Finding:
    """Tokens are left for the next sync: a warning with four fifths spent, an error where its lane is dry."""
    budget = around.budget
    spent = _percent(budget.spent, budget.budget)
    dry = lane_dry(budget, around.lane, dearest_request(around.settings, [spec.name]))
    said = (
        f"{budget.spent:,} of {budget.budget:,} tokens are spent ({spent:.0f} %), {budget.remaining:,} left"
    )
    return Finding(
        dry is None and spent < BUDGET_WARNING_PERCENT,
        dry or said,
        {
            "tokens_spent": budget.spent,
            "tokens_left": budget.remaining,
            "spent_percent": round(spent, 2),
            "lane": around.lane.value,
        },
        dg.AssetCheckSeverity.ERROR if dry else dg.AssetCheckSeverity.WARN,
    )


MONITORING_CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (api_is_healthy, failure_rate_is_low, memory_is_sufficient, budget_is_sufficient)
}


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
