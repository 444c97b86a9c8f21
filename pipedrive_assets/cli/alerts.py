"""``alerts``: what is raised and what people were told of it; ``--test`` tries each channel."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from pipedrive_assets.alerts.channels import Channel, ChannelError, channels
from pipedrive_assets.alerts.conditions import explain
from pipedrive_assets.alerts.dispatch import account_name, alert_store
from pipedrive_assets.alerts.messages import trial
from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.logs import get_logger
from pipedrive_assets.settings import load_settings
from pipedrive_assets.settings_alerts import unusable_channels
from pipedrive_assets.sync.session import Session, open_session

_log = get_logger(__name__)


@click.command()
@click.option("--test", "trying", is_flag=True, help="Send a test message through each channel.")
@json_option
@click.pass_obj
@click.pass_context
def alerts(ctx: click.Context, output: Output, trying: bool) -> None:
    """Show which alerts are raised since when, and which messages wait.

    Exit code 1 if --test finds a channel that does not work.
    """
    settings = load_settings()
    with open_session(settings) as session:
        ways = channels(settings, _log)
        if trying:
            failed = _try(output, session, ways)
            ctx.exit(1 if failed else 0)
        store = alert_store(session)
        # Switched off, nobody looks whether what was raised then is over.
        states = store.states() if settings.alerting_enabled else ()
        waiting = store.messages(waiting=True)
    unusable = unusable_channels(settings)
    if output.as_json:
        output.emit(
            {
                "ok": True,
                "enabled": settings.alerting_enabled,
                "channels": [way.name for way in ways],
                "unusable": dict(unusable),
                "alerts": [asdict(state) for state in states],
                "waiting": [asdict(message) for message in waiting],
            }
        )
        return
    names = ", ".join(way.name for way in ways) or "none"
    on = "on" if settings.alerting_enabled else "off (PIPEDRIVE_ALERTING_ENABLED)"
    output.say(f"Alerting is {on}; channels: {names}")
    if not any(state.raised for state in states):
        output.say("Nothing is raised.")
    output.table(
        ("condition", "severity", "raised", "since", "last told", "what"),
        [
            (
                state.condition,
                state.severity.value,
                "yes" if state.raised else "over",
                _moment(state.since),
                _moment(state.told_at),
                f"{explain(state.condition).title}: {state.detail}",
            )
            for state in states
        ],
    )
    if waiting:
        output.say()
        output.table(
            ("waiting for", "condition", "tells", "since", "attempts", "error"),
            [
                (
                    each.channel,
                    each.condition,
                    each.kind.value,
                    _moment(each.since),
                    each.attempts,
                    each.error,
                )
                for each in waiting
            ],
            title="Not delivered yet",
        )
    for name, reason in unusable.items():
        output.warn(f"{name}: {reason}")


def _try(output: Output, session: Session, ways: tuple[Channel, ...]) -> bool:
    """Send a test message each way; whether one of them, or the settings of one, does not work."""
    settings = session.settings
    results: dict[str, str] = dict(unusable_channels(settings))
    for way in ways:
        text = trial(
            way.name,
            account=account_name(session.known_identity),
            runbook_url=settings.alert_runbook_url,
            now=session.clock.time(),
        )
        try:
            way.send(text)
            results[way.name] = ""
        except ChannelError as error:
            results[way.name] = str(error)
    for name, reason in results.items():
        output.say(f"{name}: {reason or 'delivered'}")
    if not results:
        output.say("No channel is enabled: PIPEDRIVE_ALERT_MAIL_ENABLED, _SLACK_ENABLED, _LOG_ENABLED")
    failed = not results or any(results.values())
    if output.as_json:
        output.emit({"ok": not failed, "channels": results})
    return failed


def _moment(epoch_seconds: float | None) -> datetime | None:
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC)
