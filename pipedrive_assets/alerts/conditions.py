"""What is worth a message: pure functions from a snapshot to conditions, and what each means to people.

A condition says how things are now. Whether anybody is told, and how often, is decided by the state store
(:mod:`pipedrive_assets.state.alerts`), which remembers what they were told before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipedrive_assets.alerts.snapshot import Snapshot
from pipedrive_assets.api.health_verdict import is_current
from pipedrive_assets.api.lane_reserves import SECONDS_PER_DAY
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.settings_values import ALERT_CONDITIONS
from pipedrive_assets.state.alerts import Observation, Severity
from pipedrive_assets.state.breaker import BreakerState
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.outcomes import SyncOutcome

FAILURE_SECONDS = 3600.0
"""Failures older than this say little about now."""
FEWEST_SYNCS = 5
FEWEST_ROWS = 20
"""Below these one failure would be a high rate."""
MEMORY_SECONDS = 1800.0
"""Twice the default rhythm of the core schedule, so that pressure does not seem over between two syncs."""
BUDGET_WARNING_PERCENT = 80.0
CHEAPEST_PAGE_TOKENS = 10
"""Price of a page of a v2 list (reference section 2.2): with less left, no sync gets anywhere."""
FREE_AGAIN_PERCENT = 5.0
"""Of the budget. The reserves of other lanes melt all day, so that one page fits again and again."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a condition means: a title, what suffers, what to do, and its entry in the runbook."""

    title: str
    affects: str
    advice: str
    anchor: str


EXPLANATIONS: Mapping[str, Explanation] = {
    "circuit_breaker_open": Explanation(
        "The circuit breaker is open",
        "No request is made to Pipedrive; scheduled syncs wait, runs started by hand fail at once.",
        "Look at Pipedrive's status page, your network and PIPEDRIVE_BASE_URL. It closes by itself.",
        "the-circuit-breaker-is-open",
    ),
    "high_failure_rate": Explanation(
        "Many syncs or rows fail",
        "The copy falls behind in the entities that fail, or holds NULL where values did not fit.",
        "See what the last failed syncs say: pipedrive-assets status; then the entry of that error.",
        "many-syncs-or-rows-fail",
    ),
    "memory_threshold": Explanation(
        "Memory is short",
        "Pages become smaller, so that the same rows cost more tokens; in the end a sync stops.",
        "Give the process more memory, or run fewer syncs at a time (dagster.yaml, PIPEDRIVE_EXECUTOR).",
        "memory-is-short",
    ),
    "rate_limit_exhaustion": Explanation(
        "The day's token budget runs out",
        "Once it is spent, syncs stop with their progress kept and go on after the reset at midnight UTC.",
        "See who spends: pipedrive-assets budget --by entity. Stretch schedules, or buy tokens.",
        "the-daily-budget-is-exhausted",
    ),
    "api_unhealthy": Explanation(
        "Pipedrive's API is unhealthy",
        "Syncs fail or take long; the copy falls behind until the API answers again.",
        "See pipedrive-assets health --history, Pipedrive's status page, and your network.",
        "the-api-is-unhealthy",
    ),
    "run_failure": Explanation(
        "A run has failed",
        "What the run was to bring is missing, except for partitions it had finished.",
        "Open the run in the Dagster UI: the failed step says what happened and what to do.",
        "a-run-has-failed",
    ),
}
"""By name of the condition; ``run_failure:JOB`` is explained by ``run_failure``."""


def explain(condition: str) -> Explanation:
    """The explanation of a condition, which may be one of several of its kind (``kind:which``)."""
    return EXPLANATIONS[kind_of(condition)]


def kind_of(condition: str) -> str:
    """The name without what tells it from others of its kind."""
    return condition.partition(":")[0]


def watched(settings: PipedriveSettings) -> frozenset[str]:
    """The kinds of conditions that ``PIPEDRIVE_ALERT_CONDITIONS`` names."""
    if settings.alert_conditions == "all":
        return frozenset(ALERT_CONDITIONS)
    return frozenset(name.strip() for name in settings.alert_conditions.split(","))


def conditions(snapshot: Snapshot, settings: PipedriveSettings) -> tuple[Observation, ...]:
    """Every watched condition of a snapshot, raised or not."""
    names = watched(settings)
    return tuple(rule(snapshot, settings) for name, rule in RULES.items() if name in names)


def circuit_breaker_open(snapshot: Snapshot, settings: PipedriveSettings) -> Observation:
    """No request may be made, or one probe is under way."""
    breaker = snapshot.breaker
    return Observation(
        "circuit_breaker_open",
        breaker.state is not BreakerState.CLOSED,
        Severity.CRITICAL,
        snapshot.breaker_since,
        f"{breaker.failures} requests failed in a row; next try at {moment(breaker.next_try_at)}",
    )


def high_failure_rate(snapshot: Snapshot, settings: PipedriveSettings) -> Observation:
    """Too large a part of the last hour's syncs failed, or of their rows did not fit."""
    recent = _ended_within(snapshot, FAILURE_SECONDS)
    failed = [each for each in recent if each.status == "failed"]
    odd = [each for each in recent if each.quarantined]
    rows, quarantined = sum(each.fetched for each in recent), sum(each.quarantined for each in odd)
    limit = settings.failure_rate_threshold
    of_syncs = len(recent) >= FEWEST_SYNCS and 100.0 * len(failed) > limit * len(recent)
    of_rows = rows >= FEWEST_ROWS and 100.0 * quarantined > limit * rows
    causes = [*(failed if of_syncs else ()), *(odd if of_rows else ())]
    entities = ", ".join(sorted({each.entity for each in causes}))
    return Observation(
        "high_failure_rate",
        of_syncs or of_rows,
        Severity.WARNING,
        min((each.finished_at for each in causes), default=snapshot.now),
        f"{len(failed)} of {len(recent)} syncs failed within an hour, and {quarantined} of {rows} rows had"
        f" values that did not fit (threshold {limit:g} %): {entities}",
    )


def memory_threshold(snapshot: Snapshot, settings: PipedriveSettings) -> Observation:
    """A sync of the last half hour came near its memory limit, or reached it."""
    high = [
        each
        for each in _ended_within(snapshot, MEMORY_SECONDS)
        if each.memory_percent > settings.memory_alert_threshold
    ]
    worst = max(high, key=lambda each: each.memory_percent, default=None)
    percent = 0.0 if worst is None else worst.memory_percent
    critical = percent > settings.memory_critical_threshold
    limit = settings.memory_critical_threshold if critical else settings.memory_alert_threshold
    return Observation(
        "memory_threshold",
        worst is not None,
        Severity.CRITICAL if critical else Severity.WARNING,
        min((each.finished_at for each in high), default=snapshot.now),
        ""
        if worst is None
        else f"the sync of {worst.entity} used {percent:.0f} % of its memory limit"
        f" ({worst.peak_rss_mb:.0f} MB; threshold {limit} %)",
    )


def rate_limit_exhaustion(snapshot: Snapshot, settings: PipedriveSettings) -> Observation:
    """Most of the day's tokens are spent, or all that scheduled syncs may spend."""
    budget = snapshot.budget
    # What is reserved may come back; only what is spent is gone.
    left = budget.available[Lane.INCREMENTAL] + budget.reserved
    least: float = CHEAPEST_PAGE_TOKENS
    if _was_gone_today(snapshot):
        least = max(least, budget.budget * FREE_AGAIN_PERCENT / 100)
    gone = budget.exhausted or (budget.enforced and left < least)
    percent = 100.0 * budget.spent / budget.budget if budget.budget else 100.0
    return Observation(
        "rate_limit_exhaustion",
        # A budget of nothing is somebody's wish.
        budget.budget > 0 and (gone or percent >= BUDGET_WARNING_PERCENT),
        Severity.CRITICAL if gone else Severity.WARNING,
        snapshot.now,
        f"{budget.spent:,} of {budget.budget:,} tokens ({percent:.0f} %) are spent, {budget.remaining:,} are"
        f" left until {moment(budget.resets_at.timestamp())}",
        occasion=budget.day,
    )


def api_unhealthy(snapshot: Snapshot, settings: PipedriveSettings) -> Observation:
    """The health checker's verdict is unhealthy, and it still holds."""
    health = snapshot.health
    return Observation(
        "api_unhealthy",
        health.verdict is Verdict.UNHEALTHY and is_current(health, settings, snapshot.now),
        Severity.CRITICAL,
        health.since,
        f"{health.reason} (checked at {moment(health.checked_at)})",
    )


RULES: Mapping[str, Callable[[Snapshot, PipedriveSettings], Observation]] = {
    rule.__name__: rule
    for rule in (
        circuit_breaker_open,
        high_failure_rate,
        memory_threshold,
        rate_limit_exhaustion,
        api_unhealthy,
    )
}
"""What the state store can tell; that a run failed is told by Dagster."""


def _ended_within(snapshot: Snapshot, seconds: float) -> list[SyncOutcome]:
    """Syncs of the last ``seconds``; none of the future, noted by a clock that has been set back."""
    return [each for each in snapshot.outcomes if 0 <= snapshot.now - each.finished_at < seconds]


def _was_gone_today(snapshot: Snapshot) -> bool:
    before = snapshot.alerts.get("rate_limit_exhaustion")
    return (
        before is not None
        and before.raised
        and before.severity is Severity.CRITICAL
        and before.since >= snapshot.budget.resets_at.timestamp() - SECONDS_PER_DAY
    )


def moment(epoch_seconds: float) -> str:
    """A moment as people read it: ``2026-11-23 12:00:05 UTC``."""
    return f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
