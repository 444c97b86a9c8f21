"""A run whose day has no tokens left: what Dagster is told, and how the rest is started after the reset."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from pipedrive_assets.catalog import resolve_entities
from pipedrive_assets.clock import Clock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import build_defs, calendar_of
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.defs.resources import PipedriveResource, build_resources
from pipedrive_assets.defs.resume import build_resume_sensors
from pipedrive_assets.defs.run_tags import range_tags
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets_tests.clocks import FollowingClock, ShiftedClock
from pipedrive_assets_tests.e2e.deployment import ENDS_WITHIN_SECONDS, ROOT, until
from pipedrive_assets_tests.e2e.world import MakeWorld, World
from pipedrive_assets_tests.equality import assert_equal_copy

ENTITIES = ("deals", "deal_products", "persons", "notes")
SMALL = {"min_batch_size": 10, "max_batch_size": 10, "incremental_schedule_enabled": "false", "plan": ""}
DAY = timedelta(days=1)
MORNING = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0) - timedelta(days=3)
"""In the past, so that no time limit of a run, which Dagster counts by the machine's clock, is over."""
NOON = f"{datetime.now(UTC):%Y-%m-%d}T12:00:00Z"
MIDNIGHT = MORNING.replace(hour=0) + DAY


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7, now=MORNING.isoformat())) as running:
        yield running


class Days:
    """A world whose runs and sensor go by the sandbox's clock."""

    def __init__(self, world: World, sandbox: Sandbox) -> None:
        clock = FollowingClock(sandbox.clock)

        class Following(PipedriveResource):
            def clock(self) -> Clock:
                return clock

        parts = {name: part for name, part in build_resources().items() if name != "pipedrive"}
        world.defs = build_defs(world.settings, resource_overrides={**parts, "pipedrive": Following(**parts)})
        self.world, self.sandbox = world, sandbox
        job = world.defs.resolve_job_def(ENTITY_JOB)
        (self._sensor,) = build_resume_sensors(world.settings, world.calendar, ENTITIES, [job], clock)

    @property
    def everything(self) -> KeyRange:
        keys = self.world.calendar.keys(MORNING)
        return KeyRange(keys[0], keys[-1])

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        answer: Any = self._sensor(dg.build_sensor_context(instance=self.world.instance))
        assert isinstance(answer, dg.SensorResult | dg.SkipReason)
        return answer

    def start(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """What the daemon does with a request."""
        self.world.enter()
        return self.world.defs.resolve_job_def(ENTITY_JOB).execute_in_process(
            instance=self.world.instance,
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def next_day(self) -> None:
        now = datetime.fromtimestamp(self.sandbox.clock.time(), UTC)
        tomorrow = now.replace(hour=6, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.sandbox.clock.set(tomorrow.timestamp())


def requested(answer: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(answer, dg.SensorResult), answer
    return list(answer.run_requests or ())


def names(request: dg.RunRequest) -> list[str]:
    return [key.path[-1] for key in request.asset_selection or ()]


def tags_of(world: World, run_id: str) -> dict[str, str]:
    run = world.instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def failures(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata of the failure of each step, by entity."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key is not None:
            told = event.step_failure_data.user_failure_data
            assert told is not None
            found[event.step_key.removeprefix("pipedrive__")] = {
                name: value.value for name, value in told.metadata.items()
            }
    return found


def days_of(make_world: MakeWorld, sandbox: Sandbox, **variables: Any) -> Days:
    months = {"start_date": f"{MORNING - 100 * DAY:%Y-%m}-01"}
    world = make_world(sandbox, enabled_entities=",".join(ENTITIES), **SMALL, **months, **variables)
    return Days(world, sandbox)


def test_a_sync_of_several_days_tokens_goes_on_each_day_where_it_stopped(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox)
    world = days.world
    sandbox.limits.set_budget(125)
    result = world.run(ENTITIES, days.everything, mode="full", lane="backfill", source="backfill")
    assert not result.success
    told = failures(result)
    assert {values["resets_at"] for values in told.values()} == {MIDNIGHT.timestamp()}
    assert all(values["tokens"] >= 0 for values in told.values())
    tags = tags_of(world, result.run_id)
    assert tags["pipedrive/resumes_at"] == MIDNIGHT.isoformat()
    assert tags["pipedrive/paused_entities"].split(",") == list(told)

    asked = len(sandbox.log)
    waiting = days.tick()
    assert isinstance(waiting, dg.SkipReason) and f"{MIDNIGHT:%Y-%m-%d %H:%M}" in str(waiting.skip_message)
    assert len(sandbox.log) == asked

    chain = [result.run_id]
    while not result.success:
        assert len(chain) < 8
        days.next_day()
        (request,) = requested(days.tick())
        assert request.tags["pipedrive/resumes"] == ",".join(chain)
        assert request.run_key == chain[-1]
        assert (request.tags["pipedrive/mode"], request.tags["pipedrive/lane"]) == ("full", "backfill")
        result = days.start(request)
        chain.append(result.run_id)
        assert isinstance(days.tick(), dg.SkipReason), "what has been resumed is not resumed again"
    assert len(chain) > 2
    assert all(record.status != 429 for record in sandbox.log)
    pages = [
        (record.raw_path, tuple(sorted(record.params.items())))
        for record in sandbox.log
        if record.path != "/users/me"
    ]
    assert len(pages) == len(set(pages)), "no page is paid twice"
    for name in ENTITIES:
        assert set(world.materialized(name)) == set(world.calendar.keys(MORNING))
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in ENTITIES})


def test_a_run_that_finds_the_day_spent_asks_nothing_and_waits_as_a_whole(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox)
    world = days.world
    assert world.run(["deals"], days.everything, mode="incremental").success
    sandbox.limits.set_budget(0)
    world.run(["persons"], days.everything, mode="incremental")
    asked = len(sandbox.log)
    world.enter()
    result = world.defs.resolve_job_def(ENTITY_JOB).execute_in_process(
        instance=world.instance,
        asset_selection=[entity_key(name) for name in ("account", "deals", "persons")],
        tags={**range_tags(days.everything), "pipedrive/mode": "incremental"},
        raise_on_error=False,
    )
    assert len(sandbox.log) == asked
    assert list(failures(result)) == ["account"]
    assert failures(result)["account"]["resets_at"] == MIDNIGHT.timestamp()
    assert tags_of(world, result.run_id)["pipedrive/paused_entities"] == "account"
    sandbox.limits.set_budget(10_000)
    days.next_day()
    (request,) = requested(days.tick())
    assert names(request) == ["account", "persons", "deals"]
    assert days.start(request).success


def test_a_paused_re_read_comes_to_the_running_partition_although_a_schedule_has_reported_it(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox)
    world = days.world
    assert world.run(["deals"], days.everything, mode="incremental", lane="push").success
    with duckdb.connect(str(world.settings.warehouse)) as connection:
        # What somebody reads again for: rows are missing, and the coverage does not know.
        connection.execute("DELETE FROM pipedrive.deals")
    sandbox.limits.reset()
    sandbox.limits.set_budget(45)
    days.next_day()
    assert not world.run(["deals"], days.everything, mode="window", lane="backfill", source="manual").success
    sandbox.limits.set_budget(100_000)
    days.next_day()
    month = days.everything.end
    assert world.run(["deals"], KeyRange(month, month), mode="incremental", source="schedule").success
    (request,) = requested(days.tick())
    assert request.tags[run_tags.RANGE_END] == month
    assert days.start(request).success
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {"deals": sandbox.rows("deals")})


def test_an_entity_that_failed_for_another_reason_is_not_resumed_nor_what_hangs_below_it(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox)
    sandbox.faults.add("status", path="/deals$", status=422)
    sandbox.limits.set_budget(35)
    result = days.world.run(ENTITIES, days.everything, mode="full")
    assert "paused" not in failures(result)["deals"]
    assert failures(result)["persons"]["paused"] is True
    days.next_day()
    (request,) = requested(days.tick())
    assert names(request) == ["persons", "notes"]


def test_a_run_that_ran_out_of_time_is_not_the_resume_sensors_business(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox)
    world = days.world
    result = world.defs.resolve_job_def(ENTITY_JOB).execute_in_process(
        instance=world.instance,
        asset_selection=[entity_key("persons")],
        # The sandbox's clock goes days behind Dagster's, by which the limit is counted.
        tags={**range_tags(days.everything), run_tags.MAX_RUNTIME: str(-10 * DAY.total_seconds())},
        raise_on_error=False,
    )
    assert failures(result)["persons"]["status"] == "partial"
    days.next_day()
    assert "no run is paused" in str(days.tick())


def test_a_run_started_by_hand_while_pipedrive_is_down_says_when_the_next_try_is(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    days = days_of(make_world, sandbox, circuit_breaker_threshold=1, max_retry_attempts=0)
    sandbox.faults.add("status", path="/persons", status=500)
    assert not days.world.run(["persons"], days.everything).success
    asked = len(sandbox.log)
    result = days.world.run(["deals"], days.everything)
    assert len(sandbox.log) == asked
    next_try = failures(result)["deals"]["next_try_at"]
    assert 0 < next_try - sandbox.clock.time() <= 300


def test_a_run_killed_after_it_was_paused_is_resumed_with_what_it_never_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7, daily_budget=200, now=NOON)) as sandbox:
        # What is left is enough for the account (2) and the stages (5), not for a page of activities (10).
        sandbox.limits.spent[sandbox.clock.day()] = 191
        env = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_START_DATE": f"{datetime.now(UTC):%Y-%m}-01",
            "PIPEDRIVE_ENABLED_ENTITIES": "activities,stages,users",
        }
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        stuck, killed = threading.Event(), threading.Event()

        def stick(version: str, path: str, params: dict[str, str]) -> None:
            if path.endswith("/stages"):
                stuck.set()
                killed.wait(ENDS_WITHIN_SECONDS)

        sandbox.account.hook_before_page(stick)
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: stuck.is_set() or worker.poll() is not None, ENDS_WITHIN_SECONDS)
            assert stuck.is_set(), "the worker ended by itself"
        finally:
            worker.kill()
            worker.wait()
            killed.set()
    settings = load_settings(env)
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.tags["pipedrive/paused_entities"] == "activities"
        # What run monitoring does when it finds the worker gone.
        instance.report_run_failed(run)
        enabled = resolve_entities(settings.enabled_entities)
        job = build_defs(settings).resolve_job_def(ENTITY_JOB)
        clock = ShiftedClock(DAY.total_seconds())
        (sensor,) = build_resume_sensors(settings, calendar_of(settings), enabled, [job], clock)
        answer: Any = sensor(dg.build_sensor_context(instance=instance))
        (request,) = requested(answer)
    assert request.tags["pipedrive/resumes"] == run.run_id
    assert names(request) == ["users", "stages", "activities"]


_WORKER = """
from datetime import UTC, datetime
import dagster as dg
from pipedrive_assets.definitions import defs
with dg.DagsterInstance.get() as instance:
    defs.resolve_job_def("sync_pipedrive_entity").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["pipedrive", name]) for name in ("activities", "stages", "users")],
        tags={
            "dagster/asset_partition_range_start": f"{datetime.now(UTC):%Y-%m}",
            "dagster/asset_partition_range_end": f"{datetime.now(UTC):%Y-%m}",
            "pipedrive/mode": "full",
            # Leaves nothing to others, at whatever time of the day.
            "pipedrive/lane": "push",
        },
        raise_on_error=False,
    )
"""
