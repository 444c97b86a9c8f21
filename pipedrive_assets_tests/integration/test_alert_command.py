"""`pipedrive-assets alerts` and what `config` says: what is raised, what waits, and which channel works."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipedrive_assets.alerts.channels import MailChannel
from pipedrive_assets.alerts.dispatch import look
from pipedrive_assets.cli import main
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.integration.conftest import SettingsFor
from pipedrive_assets_tests.mail_server import mail_server

MAIL = {
    "alert_mail_enabled": "true",
    "alert_mail_to": "data@example.com",
    "alert_smtp_host": "127.0.0.1",
    "alert_smtp_security": "none",
}


@pytest.fixture
def run(sandbox: Sandbox, settings_for: SettingsFor) -> Any:
    def invoke(*words: str, **variables: Any) -> Result:
        home = settings_for(sandbox).dagster_home
        given = {f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()}
        env = {
            "DAGSTER_HOME": str(home),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_ALERTING_ENABLED": "true",
            **given,
        }
        return CliRunner().invoke(main, list(words), env=env)

    return invoke


def test_nothing_raised_is_said(run: Any) -> None:
    shown = run("alerts")
    assert shown.exit_code == 0
    assert "Alerting is on; channels: log" in shown.stdout
    assert "Nothing is raised." in shown.stdout
    assert "Alerting is off" in run("alerts", alerting_enabled=False).stdout


def test_what_is_raised_since_when_and_what_waits_for_its_channel(
    run: Any, sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    sandbox.faults.add("status", path="/v2/deals", status=503)
    with mail_server() as box:
        pass
    settings = settings_for(
        sandbox,
        **MAIL,
        alerting_enabled="true",
        alert_smtp_port=box.port,
        max_retry_attempts=0,
        circuit_breaker_threshold=1,
    )
    with open_session(settings) as session:
        with pytest.raises(PipedriveException):
            session.sync("deals")
        look(session, [MailChannel(settings)])
    shown = run("alerts")
    assert "circuit_breaker_open" in shown.stdout
    assert "Not delivered yet" in shown.stdout
    assert "ConnectionRefusedError" in shown.stdout
    told = json.loads(run("alerts", "--json").stdout)
    (alert,) = told["alerts"]
    assert (alert["condition"], alert["raised"], alert["told_at"]) == ("circuit_breaker_open", True, None)
    assert [each["channel"] for each in told["waiting"]] == ["mail"]
    # Switched off, nobody would notice its end.
    off = run("alerts", alerting_enabled=False).stdout
    assert "Nothing is raised." in off
    assert json.loads(run("alerts", "--json", alerting_enabled=False).stdout)["alerts"] == []


def test_a_test_message_goes_each_way_and_the_exit_code_says_whether_it_arrived(run: Any) -> None:
    with mail_server() as box:
        good = run("alerts", "--test", **MAIL, alert_smtp_port=box.port)
        as_json = run("alerts", "--test", "--json", **MAIL, alert_smtp_port=box.port)
    assert good.exit_code == 0
    assert good.stdout.splitlines() == ["mail: delivered", "log: delivered"]
    assert json.loads(as_json.stdout) == {"ok": True, "channels": {"mail": "", "log": ""}}
    assert str(box.mails[0]["Subject"]).startswith("[test]")
    bad = run("alerts", "--test", **MAIL, alert_smtp_port=box.port)
    assert bad.exit_code == 1
    assert "mail: the mail server did not take it: ConnectionRefusedError" in bad.stdout
    assert "log: delivered" in bad.stdout


def test_a_channel_that_cannot_work_fails_the_test_and_config_warns_of_it(run: Any) -> None:
    tested = run("alerts", "--test", alert_slack_enabled=True)
    assert tested.exit_code == 1
    assert "slack: PIPEDRIVE_ALERT_SLACK_WEBHOOK is not set" in tested.stdout
    shown = run("config", alert_slack_enabled=True)
    assert shown.exit_code == 0
    assert "PIPEDRIVE_ALERT_SLACK_ENABLED sends nothing" in shown.stderr
    warnings = json.loads(run("config", "--json", alert_slack_enabled=True).stdout)["warnings"]
    assert any("PIPEDRIVE_ALERT_SLACK_WEBHOOK is not set" in line for line in warnings)


def test_without_any_channel_the_test_fails(run: Any) -> None:
    tested = run("alerts", "--test", alert_log_enabled=False)
    assert tested.exit_code == 1
    assert "No channel is enabled" in tested.stdout


def test_no_output_shows_password_or_webhook(run: Any) -> None:
    secrets = {
        "alert_smtp_password": "correct horse",
        "alert_slack_webhook": "https://hooks.example.com/T000/B000/verysecretpath",
    }
    for words in (("config",), ("config", "--json"), ("alerts",), ("alerts", "--json")):
        shown = run(*words, **MAIL, **secrets, alert_smtp_username="me", alert_slack_enabled=True)
        assert "correct horse" not in shown.output
        assert "verysecretpath" not in shown.output
