"""What keeps an alert channel from telling anybody: found when settings are read, and never an error.

A wrong address must not stop a sync; the channel is left out and the reason is shown by ``config``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pipedrive_assets.settings_fields import Alerts
from pipedrive_assets.settings_retired import PREFIX

_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def mail_receivers(settings: Alerts) -> tuple[str, ...]:
    """The addresses of ``PIPEDRIVE_ALERT_MAIL_TO``."""
    return tuple(filter(None, (part.strip() for part in settings.alert_mail_to.split(","))))


def unusable_channels(settings: Alerts) -> Mapping[str, str]:
    """Name of each channel that is enabled and cannot be used, with the reason."""
    found = {
        "mail": _wrong_with_mail(settings) if settings.alert_mail_enabled else "",
        "slack": _wrong_with_slack(settings) if settings.alert_slack_enabled else "",
    }
    return {name: reason for name, reason in found.items() if reason}


def channel_notices(settings: Alerts) -> Iterator[str]:
    """A line for each thing that keeps alerts from arriving, or a password from staying one."""
    if not settings.alerting_enabled:
        return
    for name, reason in unusable_channels(settings).items():
        yield f"{PREFIX}ALERT_{name.upper()}_ENABLED sends nothing: {reason}"
    if (
        settings.alert_mail_enabled
        and settings.alert_smtp_username
        and settings.alert_smtp_security == "none"
    ):
        yield f"{PREFIX}ALERT_SMTP_SECURITY=none sends the mail server's password unencrypted"
    if not (settings.alert_mail_enabled or settings.alert_slack_enabled or settings.alert_log_enabled):
        yield f"{PREFIX}ALERTING_ENABLED tells nobody: no channel is enabled (mail, Slack, log)"


def _wrong_with_mail(settings: Alerts) -> str:
    receivers = mail_receivers(settings)
    if not receivers:
        return f"{PREFIX}ALERT_MAIL_TO names no receiver"
    for variable, addresses in (("TO", receivers), ("FROM", (settings.alert_mail_from or receivers[0],))):
        for address in addresses:
            if not _ADDRESS.fullmatch(address):
                return f"{PREFIX}ALERT_MAIL_{variable} has {address!r}, which is no mail address"
    if bool(settings.alert_smtp_username) != (settings.alert_smtp_password is not None):
        return f"{PREFIX}ALERT_SMTP_USERNAME and {PREFIX}ALERT_SMTP_PASSWORD work only together"
    return ""


def _wrong_with_slack(settings: Alerts) -> str:
    # The address is the secret: whoever has it can post. No message may show it.
    if settings.alert_slack_webhook is None:
        return f"{PREFIX}ALERT_SLACK_WEBHOOK is not set"
    try:
        parts = urlsplit(settings.alert_slack_webhook.get_secret_value())
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ({"https", "http"} if host in _LOCAL else {"https"}):
        return f"{PREFIX}ALERT_SLACK_WEBHOOK is not the https address that Slack gave for an incoming webhook"
    return ""
