"""A run whose day has no tokens left: what Dagster is told, and how the rest is started after the reset."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipedrive_assets.clock import Clock
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.defs.resources import PipedriveResource, build_resources
from pipedrive_assets.defs.resume import build_resume_sensors
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets_tests.clocks import FollowingClock
from pipedrive_assets_tests.e2e.world import MakeWorld, World
from pipedrive_assets_tests.equality import assert_equal_copy

ENTITIES = ("deals", "deal_products", "persons", "notes")
SMALL = {"min_batch_size": 10, "max_batch_size": 10, "incremental_schedule_enabled": "false", "plan": ""}
MORNING = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0) - timedelta(days=3)
"""In the past, so that no time limit of a run, which Dagster counts by the machine's clock, is over."""


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


def test_a_sync_of_several_days_tokens_goes_on_each_day_where_it_stopped(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, enabled_entities=",".join(ENTITIES), **SMALL)
    days = Days(world, sandbox)
    sandbox.limits.set_budget(125)
    result = world.run(ENTITIES, days.everything, mode="full", lane="backfill", source="backfill")
    assert not result.success
    midnight = MORNING.replace(hour=0) + timedelta(days=1)
    told = failures(result)
    assert {values["resets_at"] for values in told.values()} == {midnight.timestamp()}
    assert all(values["tokens"] >= 0 for values in told.values())
    tags = tags_of(world, result.run_id)
    assert tags["pipedrive/resumes_at"] == midnight.isoformat()
    assert tags["pipedrive/paused_entities"].split(",") == list(told)

    asked = len(sandbox.log)
    waiting = days.tick()
    assert isinstance(waiting, dg.SkipReason) and f"{midnight:%Y-%m-%d %H:%M}" in str(waiting.skip_message)
    assert len(sandbox.log) == asked

    chain = [result.run_id]
    while not result.success:
        assert len(chain) < 8
        days.next_day()
        (request,) = requested(days.tick())
        assert request.tags["pipedrive/resumes"] == ",".join(chain)
        assert request.run_key == f"{chain[0]}:{len(chain)}"
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
