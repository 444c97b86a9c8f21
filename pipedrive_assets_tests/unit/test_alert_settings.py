"""Alert settings: what makes a channel useless is a warning that names it, and never stops anything."""

from __future__ import annotations

import pytest

from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import load_settings

SECRET = "T000/B000/verysecretpath"


def warned(**variables: str) -> str:
    given = {f"PIPEDRIVE_ALERT_{name.upper()}": value for name, value in variables.items()}
    return "\n".join(load_settings({"PIPEDRIVE_ALERTING_ENABLED": "true", **given}).warnings)


def test_alerts_are_off_by_default_and_then_nothing_is_said_of_their_channels() -> None:
    assert load_settings({}).alerting_enabled is False
    assert load_settings({"PIPEDRIVE_ALERT_MAIL_ENABLED": "true"}).warnings == ()


def test_the_log_alone_is_a_channel() -> None:
    assert warned() == ""
    assert "PIPEDRIVE_ALERTING_ENABLED tells nobody" in warned(log_enabled="false")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "PIPEDRIVE_ALERT_MAIL_TO names no receiver"),
        ({"mail_to": " , "}, "PIPEDRIVE_ALERT_MAIL_TO names no receiver"),
        ({"mail_to": "data"}, "PIPEDRIVE_ALERT_MAIL_TO has 'data', which is no mail address"),
        ({"mail_to": "a@x.com", "mail_from": "me"}, "PIPEDRIVE_ALERT_MAIL_FROM has 'me'"),
        ({"mail_to": "a@x.com", "smtp_username": "me"}, "PIPEDRIVE_ALERT_SMTP_PASSWORD work only together"),
        ({"mail_to": "a@x.com", "smtp_password": "hunter22"}, "PIPEDRIVE_ALERT_SMTP_USERNAME"),
    ],
)
def test_mail_that_cannot_be_sent_is_a_warning(variables: dict[str, str], said: str) -> None:
    line = warned(mail_enabled="true", **variables)
    assert line.startswith("PIPEDRIVE_ALERT_MAIL_ENABLED sends nothing")
    assert said in line
    assert "hunter22" not in line


def test_a_password_in_the_clear_is_a_warning() -> None:
    line = warned(
        mail_enabled="true",
        mail_to="a@x.com",
        smtp_username="me",
        smtp_password="hunter22",
        smtp_security="none",
    )
    assert line == "PIPEDRIVE_ALERT_SMTP_SECURITY=none sends the mail server's password unencrypted"


@pytest.mark.parametrize(
    "address",
    ["", "hooks.slack.com", f"http://hooks.slack.com/{SECRET}", f"ftp://x/{SECRET}", f"https://[{SECRET}"],
)
def test_a_webhook_that_is_none_is_a_warning_that_does_not_show_it(address: str) -> None:
    line = warned(slack_enabled="true", slack_webhook=address)
    assert line.startswith("PIPEDRIVE_ALERT_SLACK_ENABLED sends nothing: PIPEDRIVE_ALERT_SLACK_WEBHOOK")
    assert SECRET not in line


def test_conditions_are_named_from_a_list() -> None:
    assert warned(conditions="circuit_breaker_open, run_failure") == ""
    with pytest.raises(PipedriveConfigException, match="must be all, or names separated by commas") as raised:
        warned(conditions="breaker")
    assert "circuit_breaker_open" in str(raised.value)
