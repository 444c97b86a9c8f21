"""Each condition provoked in a sandbox account, told through real channels, and again when it is over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipedrive_assets.alerts.channels import MailChannel, SlackChannel
from pipedrive_assets.alerts.dispatch import Delivery, look
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.state.alerts import QUIET_SECONDS
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.clocks import FollowingClock
from pipedrive_assets_tests.integration.conftest import SettingsFor
from pipedrive_assets_tests.mail_server import Mailbox, mail_server, silent_server
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer

SLACK_SECRET = "T000/B000/verysecretpath"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def slack() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply(body=b"ok")).running() as server:
        yield server


class Watch:
    """An account that is synced, watched, and told of by mail and Slack; time goes as in the sandbox."""

    def __init__(
        self, sandbox: Sandbox, settings_for: SettingsFor, mailbox: Mailbox, slack: ScriptedServer
    ) -> None:
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.slack = slack
        self.variables: dict[str, Any] = {
            "alerting_enabled": True,
            "alert_log_enabled": False,
            "alert_mail_enabled": True,
            "alert_mail_to": "data@example.com",
            "alert_smtp_host": mailbox.host,
            "alert_smtp_port": mailbox.port,
            "alert_smtp_security": "none",
            "alert_slack_enabled": True,
            "alert_slack_webhook": f"{slack.url}/services/{SLACK_SECRET}",
            "max_retry_attempts": 0,
        }
        self._settings_for = settings_for
        self.clock = FollowingClock(sandbox.clock)

    def sync(self, *entities: str, **variables: Any) -> None:
        """Sync entities one after another, whatever comes of it."""
        settings = self._settings_for(self.sandbox, **{**self.variables, **variables})
        with open_session(settings, clock=self.clock) as session:
            for entity in entities:
                try:
                    session.sync(entity)
                except PipedriveException as error:
                    logging.getLogger(__name__).info("%s: %s", entity, error)

    def check(self, times: int, **variables: Any) -> None:
        """Ask the API for its health, some times over."""
        settings = self._settings_for(self.sandbox, **{**self.variables, **variables})
        with open_session(settings, clock=self.clock) as session:
            for _ in range(times):
                session.health.check(force=True)

    def look(self, *, patience: float = 5.0, **variables: Any) -> Delivery:
        """One tick of the sensor."""
        settings = self._settings_for(self.sandbox, **{**self.variables, **variables})
        with open_session(settings, clock=self.clock) as session:
            return look(session, [MailChannel(settings, seconds=patience), SlackChannel(settings)])

    def mails(self) -> list[str]:
        """Subjects of the mails since the last call, without the account's name."""
        subjects = [str(mail["Subject"]).removesuffix(" (Sandbox Industries)") for mail in self.mailbox.mails]
        self.mailbox.mails.clear()
        return subjects

    def posts(self) -> list[str]:
        """First lines of the posts since the last call, without the account's name."""
        texts = [str(json.loads(seen.body)["text"]) for seen in self.slack.seen]
        self.slack.seen.clear()
        return [text.removesuffix(" (Sandbox Industries)") for text in texts]


@pytest.fixture
def watch(sandbox: Sandbox, settings_for: SettingsFor, mailbox: Mailbox, slack: ScriptedServer) -> Watch:
    watch = Watch(sandbox, settings_for, mailbox, slack)
    watch.sync("users")
    return watch


def storm(watch: Watch) -> None:
    watch.sandbox.faults.add("status", path="/api/v2/", status=503)
    watch.sync("deals", "persons", circuit_breaker_threshold=2)


def storm_over(watch: Watch) -> None:
    watch.sandbox.faults.clear()
    watch.sandbox.clock.advance(301)
    watch.sync("deals")


def failing_syncs(watch: Watch) -> None:
    watch.sandbox.faults.add("status", path="/(deals|persons|products)", status=422)
    watch.sync("deals", "persons", "products", "users", "currencies")


def an_hour_later(watch: Watch) -> None:
    watch.sandbox.faults.clear()
    watch.sandbox.clock.advance(3601)
    watch.sync("deals")


def odd_rows(watch: Watch) -> None:
    watch.variables["failure_rate_threshold"] = 1
    watch.sandbox.faults.add("bad_value", path="/v2/deals", column="add_time", value="yesterday")
    watch.sync("deals")


def little_memory(watch: Watch) -> None:
    # What this process has already is nine tenths of what it may have.
    watch.variables["memory_critical_threshold"] = 100
    limit = int(psutil.Process().memory_info().rss / (1 << 20) / 0.9)
    watch.sync("currencies", memory_limit_mb=limit)


def half_an_hour_later(watch: Watch) -> None:
    watch.sandbox.clock.advance(1801)


def hanging_probes(watch: Watch) -> None:
    watch.sandbox.faults.add("hang", path="/users/me", seconds=2)
    watch.check(3, health_check_timeout=0.2)


def probe_answered(watch: Watch) -> None:
    watch.sandbox.faults.clear()
    watch.check(1)


CASES: dict[str, tuple[str, Callable[[Watch], None], Callable[[Watch], None]]] = {
    "5xx storm": ("[critical] The circuit breaker is open", storm, storm_over),
    "failing syncs": ("[warning] Many syncs or rows fail", failing_syncs, an_hour_later),
    "odd rows": ("[warning] Many syncs or rows fail", odd_rows, an_hour_later),
    "little memory": ("[warning] Memory is short", little_memory, half_an_hour_later),
    "hanging probes": ("[critical] Pipedrive's API is unhealthy", hanging_probes, probe_answered),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_once_everywhere_and_again_when_it_is_over(watch: Watch, case: str) -> None:
    subject, provoke, mend = CASES[case]
    watch.look()
    assert watch.mails() == []
    provoke(watch)
    for _ in range(2):
        watch.look()
    assert watch.posts() == [subject]
    assert_whole(watch.mailbox, watch.sandbox)
    assert watch.mails() == [subject]
    mend(watch)
    for _ in range(2):
        watch.look()
    over = f"[recovered] {subject.partition('] ')[2]}"
    assert (watch.mails(), watch.posts()) == ([over], [over])


def assert_whole(mailbox: Mailbox, sandbox: Sandbox) -> None:
    """Every mail has all its parts, and no secret."""
    for mail in mailbox.mails:
        text = mail.get_content()
        for part in ("What: ", "Since: 20", " UTC", "Affects: ", "Do: ", "Runbook: docs/runbook.md#"):
            assert part in text
        assert sandbox.token not in mail.as_string()
        assert SLACK_SECRET not in mail.as_string()


def test_the_budget_is_told_at_80_percent_and_when_it_is_gone_once_a_day(watch: Watch) -> None:
    # Of 60 tokens: users/me 2 and users 20 before this, then deals 30.
    entities = ["deals", "persons", "organizations"]
    watch.variables["daily_token_budget"] = 64
    watch.variables["lane_reserves"] = "{}"
    told: list[str] = []
    for entity in entities:
        watch.sync(entity)
        watch.look()
        told += watch.mails()
        watch.sandbox.clock.advance(1)
    assert told == [
        "[warning] The day's token budget runs out",
        "[critical] The day's token budget runs out",
    ]
    watch.sandbox.clock.advance(86_400)
    watch.sync("currencies")
    watch.look()
    assert watch.mails() == ["[recovered] The day's token budget runs out"]


def test_a_mail_server_that_hangs_costs_its_own_mails_only_and_gets_them_later(watch: Watch) -> None:
    storm(watch)
    with silent_server() as port:
        done = watch.look(patience=0.5, alert_smtp_port=port)
    assert list(done.failed) == ["mail"]
    assert len(watch.posts()) == 1
    watch.look()
    assert watch.mails() == ["[critical] The circuit breaker is open"]
    assert watch.posts() == []


def test_a_condition_that_is_not_chosen_is_not_told(watch: Watch) -> None:
    storm(watch)
    watch.look(alert_conditions="api_unhealthy, run_failure")
    assert watch.mails() == []
    watch.look(alert_conditions="circuit_breaker_open")
    assert len(watch.mails()) == 1


def test_one_that_is_no_longer_chosen_is_forgotten(watch: Watch) -> None:
    storm(watch)
    watch.look()
    watch.mails()
    watch.look(alert_conditions="run_failure")
    assert watch.mails() == []


def test_the_threshold_of_failures_is_a_setting(watch: Watch) -> None:
    failing_syncs(watch)
    watch.look(failure_rate_threshold=75)
    assert watch.mails() == []
    watch.look(failure_rate_threshold=40)
    assert len(watch.mails()) == 1


def test_the_threshold_of_memory_is_a_setting_and_a_second_one_is_critical(watch: Watch) -> None:
    little_memory(watch)
    watch.look(memory_alert_threshold=100, memory_critical_threshold=100)
    assert watch.mails() == []
    watch.look(memory_alert_threshold=60, memory_critical_threshold=70)
    assert watch.mails() == ["[critical] Memory is short"]


def test_what_flaps_is_told_once_an_hour(watch: Watch) -> None:
    for _ in range(3):
        hanging_probes(watch)
        watch.look()
        probe_answered(watch)
        watch.look()
        watch.sandbox.clock.advance(60)
    assert [subject.partition("]")[0] for subject in watch.mails()] == ["[critical", "[recovered"]
    watch.sandbox.clock.advance(QUIET_SECONDS)
    hanging_probes(watch)
    watch.look()
    assert watch.mails() == ["[critical] Pipedrive's API is unhealthy"]


def test_the_link_leads_to_the_runbook_of_the_setting(watch: Watch, tmp_path: Path) -> None:
    storm(watch)
    watch.look(alert_runbook_url="https://wiki.example.com/runbook")
    assert (
        "https://wiki.example.com/runbook#the-circuit-breaker-is-open" in watch.mailbox.mails[0].get_content()
    )
