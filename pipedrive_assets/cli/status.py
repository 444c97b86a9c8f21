"""``status``: how fresh the copy is and what stands in its way."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import open_session
from pipedrive_assets.sync.status import StatusReport


@click.command()
@click.option(
    "--runs", type=click.IntRange(0, 500), default=10, show_default=True, help="Last syncs to show."
)
@json_option
@click.pass_obj
def status(output: Output, runs: int) -> None:
    """Show coverage and lag by entity, the day's budget, the breaker and the last syncs."""
    with open_session(load_settings()) as session:
        report = session.status(runs)
        target = session.warehouse.target
    if output.as_json:
        output.emit({"ok": True, "warehouse": target, **report.model_dump(mode="json")})
    else:
        _print(output, report, target)


def _print(output: Output, report: StatusReport, target: str) -> None:
    account = report.account
    output.say(
        f"{account.company_name} ({account.company_domain})" if account else "No account was asked yet"
    )
    output.say(f"Warehouse: {target}")
    output.say()
    output.table(
        ("entity", "tier", "rows", "complete until", "head", "lag"),
        [
            (each.entity, each.tier, each.rows, each.watermark, each.head, age(each.lag_seconds))
            for each in report.entities
        ],
    )
    output.say()
    budget, breaker = report.budget, report.breaker
    lanes = "".join(f", {lane.value} {tokens:,}" for lane, tokens in budget.by_lane.items() if tokens)
    output.say(
        f"Budget: {budget.spent:,} of {budget.budget:,} tokens spent today ({budget.origin}){lanes};"
        f" {budget.remaining:,} left, resets {budget.resets_at:%Y-%m-%d %H:%M} UTC"
    )
    for line in report.warnings:
        output.warn(line)
    output.say(f"Circuit breaker: {breaker.state.value}, {breaker.failures} failures in a row")
    if breaker.next_try_at:
        output.say(f"  next try at {datetime.fromtimestamp(breaker.next_try_at, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if report.runs:
        columns = (
            "finished_at",
            "entity",
            "mode",
            "source",
            "status",
            "fetched",
            "tokens",
            "seconds",
            "reason",
        )
        output.say()
        output.table(
            [name.replace("_", " ") for name in columns],
            [[run[name] for name in columns] for run in report.runs],
            title="Last syncs",
        )


def age(seconds: float | None) -> str:
    """Seconds as people say them: ``12 min``, ``3.5 h``, ``2.0 d``."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3600)):
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
