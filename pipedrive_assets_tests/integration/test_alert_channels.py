"""The ways alerts take, against real servers: what arrives, what a failure says, and that none waits long."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.alerts.channels import ChannelError, MailChannel, SlackChannel, channels
from pipedrive_assets.alerts.messages import Text
from pipedrive_assets.logs import RedactingFilter
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.alerts import Severity
from pipedrive_assets_tests.mail_server import (
    dripping_server,
    mail_server,
    silent_server,
    unreachable_addresses,
)
from pipedrive_assets_tests.scripted_server import SELF_SIGNED, Fault, Reply, ScriptedServer

TEXT = Text(
    "[critical] It is down (Ümläut & Söhne)", "What: <down>\nDo: wait\n", Severity.CRITICAL, False, "1.5"
)
PATIENCE = 2.0
PASSWORD = "correct horse"
SLACK_SECRET = "T000/B000/verysecretpath"


def settings(tmp_path: Path, **variables: Any) -> PipedriveSettings:
    named = {f"PIPEDRIVE_{name.upper()}": str(value) for name, value in variables.items()}
    return load_settings({"DAGSTER_HOME": str(tmp_path), "PIPEDRIVE_ALERTING_ENABLED": "true", **named})


def mail(tmp_path: Path, port: int = 25, alert_smtp_security: str = "none", **variables: Any) -> MailChannel:
    given = {
        "alert_mail_enabled": True,
        "alert_mail_to": "data@example.com, ops@example.com",
        "alert_mail_from": "alerts@example.com",
        "alert_smtp_host": "127.0.0.1",
        "alert_smtp_port": port,
        "alert_smtp_security": alert_smtp_security,
        **variables,
    }
    return MailChannel(settings(tmp_path, **given), seconds=PATIENCE)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the test's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))


@pytest.fixture
def slack_server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply(body=b"ok")).running() as server:
        yield server


def slack(tmp_path: Path, server: ScriptedServer, **variables: Any) -> SlackChannel:
    address = f"{server.url}/services/{SLACK_SECRET}"
    return SlackChannel(
        settings(tmp_path, alert_slack_enabled=True, alert_slack_webhook=address, **variables),
        seconds=PATIENCE,
    )


def test_a_mail_goes_to_the_receivers_over_the_server_of_the_settings(tmp_path: Path) -> None:
    # Another address of the loopback, so that the default host would not do.
    with mail_server(host="127.0.0.2") as box:
        given = {
            "alert_smtp_host": "127.0.0.2",
            "alert_smtp_port": box.port,
            "alert_mail_to": "data@example.com, ops@example.com",
        }
        mail(tmp_path, **given).send(TEXT)
    (arrived,) = box.mails
    assert arrived["Subject"] == TEXT.subject
    assert arrived["To"] == "data@example.com, ops@example.com"
    assert arrived["From"] == "alerts@example.com"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert arrived.get_content().replace("\r\n", "\n") == TEXT.body


def test_without_a_sender_the_first_receiver_is_it(tmp_path: Path) -> None:
    with mail_server() as box:
        mail(tmp_path, box.port, alert_mail_from="").send(TEXT)
    assert box.mails[0]["From"] == "data@example.com"


@pytest.mark.usefixtures("trusted")
def test_the_way_is_encrypted_before_the_user_logs_in(tmp_path: Path) -> None:
    with mail_server("starttls", login=True) as box:
        login = {"alert_smtp_username": "me", "alert_smtp_password": PASSWORD}
        mail(tmp_path, box.port, alert_smtp_security="starttls", **login).send(TEXT)
    assert box.encrypted == [True]
    assert box.logins == [("me", PASSWORD)]


@pytest.mark.usefixtures("trusted")
def test_a_server_that_speaks_tls_alone_is_spoken_to_in_tls(tmp_path: Path) -> None:
    with mail_server("tls") as box:
        mail(tmp_path, box.port, "tls").send(TEXT)
    assert len(box.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_whose_certificate_is_not_trusted_gets_neither_password_nor_mail(
    tmp_path: Path, security: str
) -> None:
    with mail_server(security, login=security == "starttls") as box:
        channel = mail(tmp_path, box.port, security, alert_smtp_username="me", alert_smtp_password=PASSWORD)
        with pytest.raises(ChannelError, match="CERTIFICATE_VERIFY_FAILED"):
            channel.send(TEXT)
    assert (box.logins, box.mails) == ([], [])


def test_a_server_without_starttls_is_not_told_in_the_clear(tmp_path: Path) -> None:
    with mail_server("none") as box, pytest.raises(ChannelError, match="SMTPNotSupportedError"):
        mail(tmp_path, box.port, "starttls").send(TEXT)
    assert box.mails == []


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    with mail_server("starttls", login=True) as box:
        channel = mail(
            tmp_path, box.port, "starttls", alert_smtp_username="me", alert_smtp_password="batterystaple"
        )
        with pytest.raises(ChannelError, match="535") as raised:
            channel.send(TEXT)
    assert "batterystaple" not in str(raised.value)
    assert box.mails == []


@pytest.mark.usefixtures("trusted")
def test_a_password_that_smtp_cannot_say_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    login = {"alert_smtp_username": "me", "alert_smtp_password": "pässwort-geheim"}
    with (
        mail_server("starttls", login=True) as box,
        pytest.raises(ChannelError, match=r"UnicodeEncodeError$") as raised,
    ):
        mail(tmp_path, box.port, "starttls", **login).send(TEXT)
    assert "geheim" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_receiver_that_is_refused_does_not_keep_it_from_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server() as box:
        box.unknown = ("ops@example.com",)
        mail(tmp_path, box.port).send(TEXT)
    assert len(box.mails) == 1
    assert "alert_receiver_refused receiver=ops@example.com" in caplog.text


def test_no_receiver_left_is_an_error_that_names_them(tmp_path: Path) -> None:
    with mail_server() as box:
        box.unknown = ("ops@example.com", "data@example.com")
        with pytest.raises(ChannelError, match=r"data@example.com, ops@example.com"):
            mail(tmp_path, box.port).send(TEXT)


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"])
def test_a_mail_server_that_falls_silent_is_given_up_in_time(tmp_path: Path, greeting: bytes) -> None:
    with silent_server(greeting=greeting) as port:
        started = time.monotonic()
        with pytest.raises(ChannelError, match=r"timed out|deadline passed"):
            mail(tmp_path, port).send(TEXT)
        assert time.monotonic() - started < 3 * PATIENCE


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b"220-hello\r\n"),
        (b"220 hello\r\n", b"250-hello\r\n"),
        (b"220 hello\r\n", b"2"),
    ],
)
def test_a_mail_server_that_never_comes_to_an_end_is_given_up_in_time(
    tmp_path: Path, first: bytes, drop: bytes
) -> None:
    with dripping_server(first, drop, every=0.1) as port:
        started = time.monotonic()
        with pytest.raises(ChannelError):
            mail(tmp_path, port).send(TEXT)
        assert time.monotonic() - started < 1.5 * PATIENCE


def test_a_slack_that_never_comes_to_an_end_is_given_up_in_time(tmp_path: Path) -> None:
    with dripping_server(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", every=0.1) as port:
        channel = SlackChannel(
            settings(
                tmp_path, alert_slack_enabled=True, alert_slack_webhook=f"http://127.0.0.1:{port}/services/x"
            ),
            seconds=PATIENCE,
        )
        started = time.monotonic()
        with pytest.raises(ChannelError, match="was not reached"):
            channel.send(TEXT)
        assert time.monotonic() - started < 1.5 * PATIENCE


@pytest.mark.parametrize("kind", ["mail", "slack"])
def test_a_name_of_many_dead_addresses_takes_no_longer_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with unreachable_addresses(6) as (hosts, port):
        named(monkeypatch, hosts)
        channel = (
            mail(tmp_path, port, alert_smtp_host="many.example")
            if kind == "mail"
            else SlackChannel(
                settings(
                    tmp_path,
                    alert_slack_enabled=True,
                    alert_slack_webhook=f"https://many.example:{port}/services/x",
                ),
                seconds=PATIENCE,
            )
        )
        started = time.monotonic()
        with pytest.raises(ChannelError):
            channel.send(TEXT)
        assert time.monotonic() - started < 1.5 * PATIENCE


def test_a_mail_server_with_a_dead_address_is_reached_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unreachable_addresses(1) as (hosts, port), mail_server(host="127.0.0.9", port=port) as box:
        named(monkeypatch, [*hosts, "127.0.0.9"])
        mail(tmp_path, port, alert_smtp_host="many.example").send(TEXT)
    assert len(box.mails) == 1


def named(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    """Give these addresses to the name many.example, in this order."""
    look_up = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if host != "many.example":
            return look_up(host, port, *args, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_mail_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with mail_server() as box:
        pass
    with pytest.raises(ChannelError, match="ConnectionRefusedError"):
        mail(tmp_path, box.port).send(TEXT)


def test_a_repeated_mail_has_the_same_id_so_that_receivers_can_tell(tmp_path: Path) -> None:
    with mail_server() as box:
        channel = mail(tmp_path, box.port)
        channel.send(TEXT)
        channel.send(TEXT)
    assert box.mails[0]["Message-ID"] == box.mails[1]["Message-ID"]


def test_a_post_arrives_in_slack_with_what_slack_would_read_as_markup_escaped(
    tmp_path: Path, slack_server: ScriptedServer
) -> None:
    slack(tmp_path, slack_server, alert_slack_channel="#crm").send(TEXT)
    (seen,) = slack_server.seen
    posted = json.loads(seen.body)
    assert (seen.method, seen.path) == ("POST", f"/services/{SLACK_SECRET}")
    assert posted["channel"] == "#crm"
    assert posted["text"] == "[critical] It is down (Ümläut &amp; Söhne)"
    assert posted["attachments"][0]["text"].startswith("What: &lt;down&gt;")
    assert posted["attachments"][0]["fallback"] == posted["text"]


def test_no_line_of_the_http_library_shows_the_secret_of_the_address(
    tmp_path: Path, slack_server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        caplog.handler.addFilter(redacting := RedactingFilter())
        try:
            slack(tmp_path, slack_server).send(TEXT)
        finally:
            caplog.handler.removeFilter(redacting)
    assert "POST ***" in caplog.text
    assert SLACK_SECRET not in caplog.text


@pytest.mark.parametrize("status", [400, 403, 404, 410, 429, 500])
def test_an_answer_that_is_none_of_200_is_an_error(
    tmp_path: Path, slack_server: ScriptedServer, status: int
) -> None:
    slack_server.replies(Reply(status, b"no_service"))
    with pytest.raises(ChannelError, match=str(status)):
        slack(tmp_path, slack_server).send(TEXT)


def test_a_redirect_is_not_followed(tmp_path: Path, slack_server: ScriptedServer) -> None:
    slack_server.replies(Reply(307, b"", headers={"Location": f"{slack_server.url}/elsewhere"}))
    with pytest.raises(ChannelError, match="307"):
        slack(tmp_path, slack_server).send(TEXT)
    assert [seen.path for seen in slack_server.seen] == [f"/services/{SLACK_SECRET}"]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.RESET])
def test_a_slack_that_is_silent_or_hangs_up_is_an_error_without_its_address(
    tmp_path: Path, slack_server: ScriptedServer, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    slack_server.replies(Reply(fault=fault))
    started = time.monotonic()
    with pytest.raises(ChannelError, match="was not reached") as raised:
        slack(tmp_path, slack_server).send(TEXT)
    assert time.monotonic() - started < 3 * PATIENCE
    assert SLACK_SECRET not in str(raised.value)
    assert raised.value.__cause__ is None  # the library's error has the address in it
    assert SLACK_SECRET not in caplog.text


def test_the_log_has_a_line_at_the_level_of_the_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (channel,) = channels(settings(tmp_path, alert_log_level="warning"), logging.getLogger("somewhere"))
    channel.send(TEXT)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("somewhere", "WARNING")
    assert TEXT.subject in record.message


def test_channels_are_those_that_are_enabled_and_can_work(tmp_path: Path) -> None:
    def names(**variables: Any) -> list[str]:
        return [each.name for each in channels(settings(tmp_path, **variables), logging.getLogger("x"))]

    assert names() == ["log"]
    assert names(alert_log_enabled=False) == []
    assert names(alert_mail_enabled=True) == ["log"]
    assert names(alert_mail_enabled=True, alert_mail_to="a@example.com") == ["mail", "log"]
    assert names(alert_slack_enabled=True, alert_slack_webhook="http://example.com/x") == ["log"]
    assert names(alert_slack_enabled=True, alert_slack_webhook="https://example.com/x") == ["slack", "log"]


def test_settings_show_neither_password_nor_webhook(tmp_path: Path) -> None:
    shown = repr(
        settings(tmp_path, alert_smtp_password=PASSWORD, alert_slack_webhook=f"https://x.com/{SLACK_SECRET}")
    )
    assert PASSWORD not in shown
    assert SLACK_SECRET not in shown
