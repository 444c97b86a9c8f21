"""The two alert sensors in a Dagster instance: which failed runs are told, and when that is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from pipedrive_assets.alerts.channels import SEND_SECONDS
from pipedrive_assets.defs import alerting, run_tags
from pipedrive_assets.defs.account import ACCOUNT_KEY
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.jobs import ENTITY_JOB, FULL_JOB
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.alerts import AlertState
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.e2e.world import MakeWorld, World
from pipedrive_assets_tests.mail_server import Mailbox, mail_server, silent_server

SPAN = KeyRange("2026-10", "2026-10")
LOOK, HEAR = alerting.ALERTS_SENSOR, alerting.RUN_FAILURES_SENSOR


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def world(make_world: MakeWorld, sandbox: Sandbox, mailbox: Mailbox) -> World:
    return make_world(
        sandbox,
        alerting_enabled="true",
        alert_log_enabled="false",
        alert_mail_enabled="true",
        alert_mail_to="data@example.com",
        alert_smtp_host=mailbox.host,
        alert_smtp_port=mailbox.port,
        alert_smtp_security="none",
        max_retry_attempts=0,
    )


class Sensors:
    """Ticks of the world's sensors, each with its cursor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._repository = world.defs.get_repository_def()
        self._cursors: dict[str, str | None] = {}
        self.tick(HEAR)  # the first one only remembers where it begins

    def tick(self, name: str) -> dg.SkipReason | None:
        context = dg.build_sensor_context(
            instance=self._world.instance,
            cursor=self._cursors.get(name),
            repository_def=self._repository,
            sensor_name=name,
        )
        with context:
            data = self._repository.get_sensor_def(name).evaluate_tick(context)
        self._cursors[name] = data.cursor
        return dg.SkipReason(data.skip_message) if data.skip_message else None


def subjects(box: Mailbox) -> list[str]:
    """Of the mails since the last call, without the account's name."""
    found = [str(mail["Subject"]).partition(" (")[0] for mail in box.mails]
    box.mails.clear()
    return found


def states(world: World) -> dict[str, AlertState]:
    with open_session(world.settings) as session:
        return {each.condition: each for each in session.state.alerts(session.known_key).states()}


def fail(world: World, sandbox: Sandbox, *entities: str, job: str = ENTITY_JOB, **tags: str) -> None:
    sandbox.faults.add("status", path="/api/v", status=422)
    assert not world.run(list(entities), SPAN, job=job, **tags).success
    sandbox.faults.clear()


def test_the_sensors_exist_where_alerting_is_enabled(make_world: MakeWorld, sandbox: Sandbox) -> None:
    def status(**variables: Any) -> dict[str, dg.DefaultSensorStatus]:
        env = {f"PIPEDRIVE_{name.upper()}": value for name, value in variables.items()}
        sensors = build_defs(load_settings(env)).sensors or []
        return {each.name: each.default_status for each in sensors if each.name in (LOOK, HEAR)}

    on, off = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    assert status(token=sandbox.token) == {}
    assert status(token=sandbox.token, alerting_enabled="true") == {LOOK: on, HEAR: on}
    assert status(alerting_enabled="true") == {LOOK: off, HEAR: off}


def test_a_failed_run_is_told_once_with_its_reason_and_its_end_by_the_next_success(
    world: World, sandbox: Sandbox, mailbox: Mailbox
) -> None:
    sensors = Sensors(world)
    for _ in range(2):
        fail(world, sandbox, "deals")
        sensors.tick(HEAR)
        sensors.tick(LOOK)
    (mail,) = mailbox.mails
    text = mail.get_content()
    assert f"Condition: run_failure:{ENTITY_JOB}:deals (critical)" in text
    assert "pipedrive__deals: Pipedrive answered 422" in text
    assert subjects(mailbox) == ["[critical] A run has failed"]
    # A run of something else is no sign that this is over.
    assert world.run(["persons"], SPAN).success
    sensors.tick(LOOK)
    assert subjects(mailbox) == []
    assert world.run(["deals"], SPAN).success
    skipped = sensors.tick(LOOK)
    assert subjects(mailbox) == ["[recovered] A run has failed"]
    assert skipped is not None
    assert skipped.skip_message == "0 raised; 1 messages delivered"


def test_failures_of_different_jobs_and_assets_are_different_alerts(
    world: World, sandbox: Sandbox, mailbox: Mailbox
) -> None:
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    fail(world, sandbox, "persons")
    fail(world, sandbox, "persons", job=FULL_JOB)
    for _ in range(3):
        sensors.tick(HEAR)
    sensors.tick(LOOK)
    assert set(states(world)) == {
        f"run_failure:{ENTITY_JOB}:deals",
        f"run_failure:{ENTITY_JOB}:persons",
        f"run_failure:{FULL_JOB}:persons",
    }
    assert len(subjects(mailbox)) == 3


def test_to_hear_of_failures_takes_no_longer_where_the_mail_server_hangs(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    with silent_server() as port:
        world = make_world(
            sandbox,
            alerting_enabled="true",
            alert_mail_enabled="true",
            alert_mail_to="data@example.com",
            alert_smtp_host="127.0.0.1",
            alert_smtp_port=port,
            alert_smtp_security="none",
            max_retry_attempts=0,
        )
        sensors = Sensors(world)
        fail(world, sandbox, "deals")
        started = time.monotonic()
        sensors.tick(HEAR)
        assert time.monotonic() - started < SEND_SECONDS / 2
    with open_session(world.settings) as session:
        waiting = session.state.alerts(session.known_key).messages(waiting=True)
    assert [(each.channel, each.attempts) for each in waiting] == [("log", 0), ("mail", 0)]


def test_a_failure_after_a_success_is_not_over(world: World, sandbox: Sandbox, mailbox: Mailbox) -> None:
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    sensors.tick(HEAR)
    sensors.tick(LOOK)
    assert world.run(["deals"], SPAN).success
    fail(world, sandbox, "deals")
    sensors.tick(HEAR)
    sensors.tick(LOOK)
    assert subjects(mailbox) == ["[critical] A run has failed"]
    assert [state.raised for state in states(world).values()] == [True]


def test_a_failure_noted_by_a_clock_that_was_set_back_is_over_by_a_success(
    world: World, sandbox: Sandbox
) -> None:
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    sensors.tick(HEAR)
    now = datetime.now(UTC).timestamp()
    ahead = [replace(each, since=now + 30 * 86_400) for each in states(world).values()]
    assert list(alerting.runs_recovered(world.instance, ahead, now)) == []
    assert world.run(["deals"], SPAN).success
    assert [each.raised for each in alerting.runs_recovered(world.instance, ahead, now + 60)] == [False]


def test_a_run_that_dagster_starts_again_is_not_told(world: World, sandbox: Sandbox) -> None:
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    (run,) = world.instance.get_runs(limit=1)
    world.instance.add_run_tags(run.run_id, {run_tags.WILL_RETRY: "true"})
    sensors.tick(HEAR)
    assert states(world) == {}


def test_a_run_paused_for_the_days_budget_is_not_told(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, alerting_enabled="true", daily_token_budget=5, alert_conditions="run_failure")
    sensors = Sensors(world)
    assert not world.run(["deals"], SPAN).success
    sensors.tick(HEAR)
    assert states(world) == {}


def test_a_paused_run_of_no_partition_is_told_since_nobody_resumes_it(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, alerting_enabled="true", daily_token_budget=1, alert_conditions="run_failure")
    sensors = Sensors(world)
    world.enter()
    job = world.defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=world.instance, asset_selection=[ACCOUNT_KEY], raise_on_error=False
    )
    assert not result.success
    sensors.tick(HEAR)
    (state,) = states(world).values()
    assert "the budget resets at" in state.detail


def test_of_a_paused_run_is_told_what_failed_for_another_reason(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(
        sandbox,
        alerting_enabled="true",
        alert_conditions="run_failure",
        daily_token_budget=22,
        lane_reserves="{}",
    )
    sensors = Sensors(world)
    sandbox.faults.add("status", path="/v2/deals", status=422)
    # Of 22 tokens 2 go to the question whose account it is, 10 to the list that fails, and a list is 20.
    assert not world.run(["deals", "users"], SPAN).success
    (run,) = world.instance.get_runs(limit=1)
    assert run_tags.RESUMES_AT in run.tags
    sensors.tick(HEAR)
    (state,) = states(world).values()
    assert "pipedrive__deals" in state.detail
    assert "pipedrive__users" not in state.detail


def test_where_run_failures_are_not_chosen_they_are_not_told(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, alerting_enabled="true", alert_conditions="api_unhealthy")
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    sensors.tick(HEAR)
    assert states(world) == {}


def test_a_failure_nobody_repeats_is_forgotten_after_a_day_and_one_that_goes_on_is_not(
    world: World, sandbox: Sandbox
) -> None:
    sensors = Sensors(world)
    fail(world, sandbox, "deals")
    sensors.tick(HEAR)
    raised = states(world).values()
    now = datetime.now(UTC).timestamp()
    assert alerting.runs_forgotten(world.instance, raised, now) == []
    two_days_on = now + 2 * alerting.QUIET_SECONDS
    assert alerting.runs_forgotten(world.instance, raised, two_days_on) == list(states(world))


def test_a_wrong_token_is_told_although_the_account_is_not_known(
    make_world: MakeWorld, sandbox: Sandbox, mailbox: Mailbox
) -> None:
    world = make_world(
        sandbox,
        token="f" * 40,
        alerting_enabled="true",
        alert_mail_enabled="true",
        alert_mail_to="data@example.com",
        alert_smtp_host=mailbox.host,
        alert_smtp_port=mailbox.port,
        alert_smtp_security="none",
    )
    sensors = Sensors(world)
    assert not world.run(["deals"], SPAN).success
    sensors.tick(HEAR)
    sensors.tick(LOOK)
    (mail,) = mailbox.mails
    assert "401" in mail.get_content()
    assert "f" * 40 not in mail.as_string()
