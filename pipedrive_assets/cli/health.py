"""``health``: how Pipedrive's API is doing, and since when."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.cli.status import age
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.health import HealthSample, Verdict
from pipedrive_assets.sync.session import open_session

if TYPE_CHECKING:
    from pipedrive_assets.api.health import HealthReport

LAST_SAMPLES = 5
HISTORY_SECONDS = 86_400


@click.command()
@click.option("--check", is_flag=True, help="Probe the API now (2 tokens) instead of using what is known.")
@click.option("--history", is_flag=True, help="Every check of the last 24 hours, not only the last five.")
@json_option
@click.pass_obj
def health(output: Output, check: bool, history: bool) -> None:
    """Show the verdict on the API, what it rests on, and the last checks.

    Exit code 1 if the API is unhealthy.
    """
    settings = load_settings()
    if check and not settings.health_monitoring_enabled:
        raise PipedriveConfigException(
            "PIPEDRIVE_HEALTH_MONITORING_ENABLED is off, so that nothing may be probed"
        )
    with open_session(settings) as session:
        report = session.health.check(force=True) if check else session.health.look()
        now = session.clock.time()
        samples = session.health.history(now - HISTORY_SECONDS)
    shown = samples if history else samples[-LAST_SAMPLES:]
    if output.as_json:
        output.emit(_as_json(report, shown))
    else:
        _print(output, report, shown, now)
    if report.verdict is Verdict.UNHEALTHY:
        raise click.exceptions.Exit(1)


def _as_json(report: HealthReport, samples: tuple[HealthSample, ...]) -> dict[str, Any]:
    return {
        "ok": report.verdict is not Verdict.UNHEALTHY,
        **asdict(report),
        "since": _moment(report.since),
        "checked_at": _moment(report.checked_at),
        "latency_ms": report.latency_ms,
        "failure_percent": report.failure_percent,
        "samples": [{**asdict(sample), "at": _moment(sample.at)} for sample in samples],
    }


def _print(output: Output, report: HealthReport, samples: tuple[HealthSample, ...], now: float) -> None:
    window, breaker = report.window, report.breaker
    since = f" for {age(now - report.since)}" if report.since else ""
    output.say(f"The API is {report.verdict.value}{since}: {report.reason}")
    output.say(
        f"Last 15 minutes: {window.requests:,} requests, {window.failures:,} failed"
        f" ({report.failure_percent:.1f} %), {window.refusals:,} refused, {window.tokens:,} tokens"
        + ("" if report.latency_ms is None else f", {report.latency_ms:.0f} ms on average")
    )
    output.say(f"Circuit breaker: {breaker.state.value}, {breaker.failures} failures in a row")
    if breaker.next_try_at:
        output.say(f"  next try at {_moment(breaker.next_try_at):%Y-%m-%d %H:%M:%S} UTC")
    output.say(f"Tokens today: {report.tokens_spent:,} spent, {report.tokens_left:,} left")
    if samples:
        output.say()
        output.table(
            ("checked at", "by", "verdict", "latency ms", "failed %", "tokens left", "memory %", "reason"),
            [
                (
                    _moment(each.at),
                    each.source,
                    each.verdict.value,
                    each.latency_ms,
                    each.failure_percent,
                    each.tokens_left,
                    each.memory_percent,
                    each.reason,
                )
                for each in samples
            ],
            title="Last checks",
        )


def _moment(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)
