"""The words of an alert: what, since when, what it affects, what to do, and where that is written down."""

from __future__ import annotations

from dataclasses import dataclass

from pipedrive_assets.alerts.conditions import explain, moment
from pipedrive_assets.redaction import redact
from pipedrive_assets.state.alerts import Kind, Message, Severity

LONGEST_DETAIL = 1500
"""Characters; an error of a run may hold a whole page of HTML."""


@dataclass(frozen=True, slots=True)
class Text:
    """One message ready to be sent: a line, and the whole of it; no secret in either.

    ``key`` is the same for each attempt to deliver it, for receivers that can tell repetitions.
    """

    subject: str
    body: str
    severity: Severity
    recovered: bool
    key: str


def compose(message: Message, *, account: str, runbook_url: str) -> Text:
    """The text of a queued message; ``account`` names whose Pipedrive it is about."""
    meaning, account = explain(message.condition), _line(account)
    over = message.kind is Kind.RECOVERED
    subject = f"[{'recovered' if over else message.severity.value}] {meaning.title} ({account})"
    lines = [
        f"{'Over' if over else 'What'}: {meaning.title}: {_short(message.detail)}",
        f"Condition: {message.condition} ({message.severity.value})",
        f"Account: {account}",
        f"Since: {moment(message.since)}",
    ]
    if over:
        lines.append(f"Until: {moment(message.queued_at)}")
    else:
        lines += [f"Affects: {meaning.affects}", f"Do: {meaning.advice}"]
    lines.append(f"Runbook: {runbook_url}#{meaning.anchor}")
    return Text(
        subject=redact(subject),
        body=redact("\n".join(lines)) + "\n",
        severity=message.severity,
        recovered=over,
        key=f"{message.message_id}.{message.queued_at:.3f}",
    )


def trial(channel: str, *, account: str, runbook_url: str, now: float) -> Text:
    """A message that tells of nothing but that a channel works."""
    account = _line(account)
    return Text(
        subject=redact(f"[test] Alerts of pipedrive-assets arrive here ({account})"),
        body=redact(
            f"What: a test of the channel {channel}, sent by hand. Nothing is wrong.\n"
            f"Account: {account}\nSent: {moment(now)}\nRunbook: {runbook_url}\n"
        ),
        severity=Severity.WARNING,
        recovered=True,
        key=f"test.{now:.3f}",
    )


def _short(detail: str) -> str:
    text = _line(detail)
    return text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"


def _line(text: str) -> str:
    """Without line breaks, which no header may have; a company may be called anything."""
    return " ".join(text.split())
