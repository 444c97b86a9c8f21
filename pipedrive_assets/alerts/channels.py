"""The ways an alert reaches people: mail, Slack, the log. Each sends one text or says why it could not.

Every wait is bounded, since a sensor's tick waits with it. No error shows a password or the webhook's
address, not even in part: libraries put both into their messages, so only the kind of an error is passed on.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Protocol

import requests

from pipedrive_assets.alerts.messages import Text
from pipedrive_assets.alerts.timed_smtp import TimedSMTP
from pipedrive_assets.api.connections import TimedSession, TimeLeft
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.redaction import redact
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.settings_alerts import mail_receivers, unusable_channels

SEND_SECONDS = 8.0
"""Longest time for one message, from the first connection tried to the last word of the answer."""

_log = get_logger(__name__)

_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_SLACK_COLOURS = {"warning": "#daa038", "critical": "#a30200", "recovered": "#2eb886"}


class ChannelError(Exception):
    """A channel has not taken a message; it may later. Its text shows no secret."""


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """Under which its messages wait."""
        ...

    def send(self, text: Text) -> None:
        """Tell it; raises :class:`ChannelError` if it was not taken."""
        ...


class MailChannel:
    """Plain-text mail over SMTP."""

    name = "mail"

    def __init__(self, settings: PipedriveSettings, *, seconds: float = SEND_SECONDS) -> None:
        self._settings = settings
        self._receivers = mail_receivers(settings)
        self._sender = settings.alert_mail_from or self._receivers[0]
        self._seconds = seconds

    def send(self, text: Text) -> None:
        """Hand the mail to the server; a receiver that the server refuses is an error if none is left."""
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = text.subject, self._sender, ", ".join(self._receivers)
        mail["Date"] = format_datetime(localtime())
        # The same for every attempt: a mail that was taken without our learning of it is not shown twice.
        mail["Message-ID"] = f"<{text.key}@alerts.pipedrive-assets>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Priority"] = "1" if text.severity == "critical" and not text.recovered else "3"
        mail.set_content(text.body)
        try:
            with self._server() as server:
                refused = server.send_message(mail, self._sender, list(self._receivers))
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            raise ChannelError(f"the mail server did not take it: {_kind(error)}") from None
        for receiver in sorted(refused):
            # The others have it: sending it again would repeat it to them.
            log_event(_log, "alert_receiver_refused", logging.WARNING, receiver=receiver)

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        security = settings.alert_smtp_security
        server = TimedSMTP(
            settings.alert_smtp_host,
            settings.alert_smtp_port or _PORTS[security],
            time_left=_ending_in(self._seconds),
            tls=ssl.create_default_context() if security == "tls" else None,
        )
        try:
            if security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.alert_smtp_username and settings.alert_smtp_password is not None:
                server.login(settings.alert_smtp_username, settings.alert_smtp_password.get_secret_value())
            yield server
            with suppress(smtplib.SMTPException, OSError):
                # The mail is taken; a server that is rude at parting does not make it untaken.
                server.quit()
        finally:
            server.close()


class SlackChannel:
    """One post to an incoming webhook."""

    name = "slack"

    def __init__(self, settings: PipedriveSettings, *, seconds: float = SEND_SECONDS) -> None:
        if settings.alert_slack_webhook is None:
            raise ChannelError("PIPEDRIVE_ALERT_SLACK_WEBHOOK is not set")
        self._address = settings.alert_slack_webhook
        self._channel = settings.alert_slack_channel
        self._seconds = seconds

    def send(self, text: Text) -> None:
        """Post it; a redirect is an error, since it would carry the message somewhere else."""
        subject = _escaped(text.subject)
        colour = _SLACK_COLOURS["recovered" if text.recovered else text.severity.value]
        try:
            with (
                TimedSession(_ending_in(self._seconds)) as session,
                session.post(
                    self._address.get_secret_value(),
                    json={
                        "channel": self._channel,
                        "text": subject,
                        "attachments": [{"color": colour, "text": _escaped(text.body), "fallback": subject}],
                    },
                    timeout=(self._seconds / 2, self._seconds / 2),
                    allow_redirects=False,
                    stream=True,  # the answer's body is of no interest, and may be endless
                ) as answer,
            ):
                status = answer.status_code
        except requests.RequestException as error:
            raise ChannelError(f"Slack was not reached: {type(error).__name__}") from None
        if status != requests.codes.ok:
            raise ChannelError(f"Slack answered {status}")


class LogChannel:
    """One line of log for each message."""

    name = "log"

    def __init__(self, settings: PipedriveSettings, logger: logging.Logger) -> None:
        self._level = logging.getLevelNamesMapping()[settings.alert_log_level.upper()]
        self._logger = logger

    def send(self, text: Text) -> None:
        """Write it; never fails."""
        log_event(self._logger, "alert", self._level, subject=text.subject, text=text.body)


def channels(settings: PipedriveSettings, logger: logging.Logger) -> tuple[Channel, ...]:
    """Those that are enabled and usable; why another is not, ``config`` says."""
    unusable = unusable_channels(settings)
    found: list[Channel] = []
    if settings.alert_mail_enabled and "mail" not in unusable:
        found.append(MailChannel(settings))
    if settings.alert_slack_enabled and "slack" not in unusable:
        found.append(SlackChannel(settings))
    if settings.alert_log_enabled:
        found.append(LogChannel(settings, logger))
    return tuple(found)


def _ending_in(seconds: float) -> TimeLeft:
    """What is left of ``seconds`` from now; by the machine's clock, since sockets wait by no other."""
    clock = SystemClock()
    ends = clock.monotonic() + seconds
    return lambda: ends - clock.monotonic()


def _kind(error: Exception) -> str:
    """What went wrong, without what the server said: that may repeat what was sent to it."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"no receiver was accepted ({', '.join(sorted(error.recipients))})"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, UnicodeError):
        # smtplib knows passwords in ASCII only, and the error quotes what it could not encode.
        return type(error).__name__
    return redact(f"{type(error).__name__}: {error}")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
