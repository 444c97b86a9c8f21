"""The account's figures for Prometheus, read from the state store whenever somebody asks.

Nothing is counted here: processes come and go, and what they counted is added up in the state store. A
scrape therefore shows all processes of the account, and costs a few reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipedrive_assets.alerts.snapshot import Snapshot, read_snapshot
from pipedrive_assets.api.health_verdict import is_current
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerState
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.outcomes import SyncOutcome
from pipedrive_assets.state.stats import RequestTotal
from pipedrive_assets.sync.session import Session
from pipedrive_assets.sync.status import EntityStatus, entity_status

PORT = 9464
"""The port that OpenTelemetry gave to Prometheus exporters."""


class PipedriveCollector(Collector):
    """Opens a session for each scrape, so that a server of weeks holds nothing open."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Session]]) -> None:
        self._opened = opened

    def collect(self) -> Iterator[Metric]:
        """All families; raises what opening a session raises, which fails the scrape."""
        with self._opened() as session:
            state, account = session.state, session.known_key
            snapshot = read_snapshot(session)
            yield from _account(session)
            yield from _requests(state.stats(account).totals())
            yield from _budget(snapshot)
            yield from _api(snapshot, session.settings)
            yield from _entities(entity_status(state, account, session.entities, snapshot.now))
            yield from _syncs(snapshot.outcomes)
            yield _alerts(snapshot, session.settings)


def exposition(opened: Callable[[], AbstractContextManager[Session]]) -> str:
    """The text that a scrape gets."""
    return generate_latest(_registry(opened)).decode()


def serve(
    opened: Callable[[], AbstractContextManager[Session]], host: str, port: int, stop: threading.Event
) -> None:
    """Answer scrapes until ``stop`` is set; raises ``OSError`` where the port cannot be had."""
    server, thread = start_http_server(port, addr=host, registry=_registry(opened))
    try:
        stop.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _registry(opened: Callable[[], AbstractContextManager[Session]]) -> CollectorRegistry:
    # Not the default one, which adds figures of this process, and asks for names by a scrape of its own.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipedriveCollector(opened))
    return registry


def _account(session: Session) -> Iterator[Metric]:
    identity = session.known_identity
    info = _gauge("pipedrive_account_info", "Whose account this is.", "company_id", "company")
    if identity is not None:
        info.add_metric([str(identity.company_id), identity.company_name], 1)
    yield info


def _requests(totals: Iterable[RequestTotal]) -> Iterator[Metric]:
    requests = _counter("pipedrive_requests", "Requests sent.", "endpoint", "status")
    retries = _counter("pipedrive_request_retries", "Of these, repetitions.", "endpoint", "status")
    tokens = _counter("pipedrive_tokens", "Tokens they cost.", "endpoint", "status")
    seconds = _counter("pipedrive_request_seconds", "Seconds until they were answered.", "endpoint", "status")
    waits = _counter(
        "pipedrive_wait_seconds", "Seconds they waited for the rate limit.", "endpoint", "status"
    )
    for total in totals:
        labels = [total.endpoint, total.status]
        requests.add_metric(labels, total.requests)
        retries.add_metric(labels, total.retries)
        tokens.add_metric(labels, total.tokens)
        seconds.add_metric(labels, total.seconds)
        waits.add_metric(labels, total.wait_seconds)
    yield from (requests, retries, tokens, seconds, waits)


def _budget(snapshot: Snapshot) -> Iterator[Metric]:
    budget = snapshot.budget
    yield _value("pipedrive_budget_tokens", "Tokens of the day.", budget.budget)
    yield _value("pipedrive_budget_spent_tokens", "Tokens spent today.", budget.spent)
    yield _value("pipedrive_budget_reserved_tokens", "Tokens of requests under way.", budget.reserved)
    yield _value("pipedrive_budget_left_tokens", "Tokens left today.", budget.remaining)
    yield _value(
        "pipedrive_budget_exhausted", "1 once Pipedrive has said that none are left.", budget.exhausted
    )
    yield _value(
        "pipedrive_budget_resets_timestamp_seconds", "When the day ends.", budget.resets_at.timestamp()
    )
    spent = _gauge("pipedrive_lane_spent_tokens", "Tokens spent today by lane.", "lane")
    left = _gauge("pipedrive_lane_left_tokens", "Tokens a lane may still spend today.", "lane")
    for lane, tokens in budget.by_lane.items():
        spent.add_metric([lane.value], tokens)
        left.add_metric([lane.value], budget.available[lane])
    yield from (spent, left)


def _alerts(snapshot: Snapshot, settings: PipedriveSettings) -> Metric:
    alerts = _gauge("pipedrive_alert_raised", "1 while an alert is raised.", "condition", "severity")
    # Where alerting is switched off nobody looks whether what was raised then is over.
    for alert in snapshot.alerts.values() if settings.alerting_enabled else ():
        alerts.add_metric([alert.condition, alert.severity.value], float(alert.raised))
    return alerts


def _api(snapshot: Snapshot, settings: PipedriveSettings) -> Iterator[Metric]:
    breaker = _gauge("pipedrive_circuit_breaker_state", "1 for the state it is in.", "state")
    for state in BreakerState:
        breaker.add_metric([state.value], float(snapshot.breaker.state is state))
    yield breaker
    yield _value("pipedrive_circuit_breaker_failures", "Failed requests in a row.", snapshot.breaker.failures)
    health = _gauge("pipedrive_api_health", "1 for the verdict that holds.", "verdict")
    holds = is_current(snapshot.health, settings, snapshot.now)
    present = snapshot.health.verdict if holds else Verdict.UNKNOWN
    for verdict in Verdict:
        health.add_metric([verdict.value], float(present is verdict))
    yield health
    yield _value(
        "pipedrive_api_health_checked_timestamp_seconds", "When it was formed.", snapshot.health.checked_at
    )


def _entities(entities: Iterable[EntityStatus]) -> Iterator[Metric]:
    rows = _gauge("pipedrive_entity_rows", "Rows of the copy.", "entity")
    lag = _gauge("pipedrive_entity_lag_seconds", "Age of the newest moment covered.", "entity")
    complete = _gauge("pipedrive_entity_complete_timestamp_seconds", "Everything before is held.", "entity")
    for each in entities:
        for family, value in (
            (rows, each.rows),
            (lag, each.lag_seconds),
            (complete, each.watermark.timestamp() if each.watermark else None),
        ):
            if value is not None:
                family.add_metric([each.entity], value)
    yield from (rows, lag, complete)


def _syncs(outcomes: Iterable[SyncOutcome]) -> Iterator[Metric]:
    """Gauges over the last day: outcomes are dropped after a month, so a counter of them would fall."""
    counts: dict[tuple[str, str], int] = {}
    fetched: dict[str, int] = {}
    last: dict[str, SyncOutcome] = {}
    for outcome in outcomes:
        key = (outcome.entity, outcome.status)
        counts[key] = counts.get(key, 0) + 1
        fetched[outcome.entity] = fetched.get(outcome.entity, 0) + outcome.fetched
        last[outcome.entity] = outcome
    syncs = _gauge("pipedrive_syncs_last_day", "Syncs that ended within a day.", "entity", "status")
    for (entity, status), count in counts.items():
        syncs.add_metric([entity, status], count)
    rows = _gauge("pipedrive_rows_fetched_last_day", "Rows they fetched.", "entity")
    seconds = _gauge("pipedrive_last_sync_seconds", "Length of the last one.", "entity")
    ended = _gauge("pipedrive_last_sync_timestamp_seconds", "When it ended.", "entity")
    memory = _gauge("pipedrive_last_sync_memory_percent", "Its peak share of the memory limit.", "entity")
    rss = _gauge("pipedrive_last_sync_peak_rss_bytes", "Its peak of resident memory.", "entity")
    for entity, outcome in last.items():
        rows.add_metric([entity], fetched[entity])
        seconds.add_metric([entity], outcome.seconds)
        ended.add_metric([entity], outcome.finished_at)
        memory.add_metric([entity], outcome.memory_percent)
        rss.add_metric([entity], outcome.peak_rss_mb * 1_048_576)
    yield from (syncs, rows, seconds, ended, memory, rss)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)


def _value(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
