"""Whatever goes wrong, each partition has one materialization event, and one entity never stops another."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import dagster as dg
import pytest

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.defs.run_tags import range_tags
from pipedrive_assets.defs.sensors import build_repair_sensor
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.e2e.world import MakeWorld, World
from pipedrive_assets_tests.equality import assert_equal_copy

YEARS = KeyRange("2024-01", "2026-06")
SMALL_PAGES = {"min_batch_size": 5, "max_batch_size": 5}


def failure_of(result: dg.ExecuteInProcessResult, step: str) -> str:
    """Message of the step's failure."""
    data = next(event for event in result.all_events if event.is_step_failure and event.step_key == step)
    error = data.step_failure_data.error
    assert error is not None
    return error.message


def once(keys: list[str]) -> bool:
    return max(Counter(keys).values(), default=1) == 1


def test_a_range_run_that_dies_half_way_leaves_the_committed_partitions_materialized(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, **SMALL_PAGES)
    sandbox.faults.add("status", path="/persons", status=422, after=3)
    result = world.run(["persons"], YEARS)
    assert not result.success
    done = world.materialized("persons")
    assert 0 < len(done) < len(world.calendar.keys_between(YEARS))
    assert once(done)
    until = world.calendar.next_start(world.calendar.start_of(done[-1]))
    expected = {
        row["id"]
        for row in sandbox.rows("persons")
        if row["update_time"] and row["update_time"] < f"{until:%Y-%m}"
    }
    assert expected <= {row["id"] for row in world.table("persons")}


def test_the_run_after_it_materializes_the_rest(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, **SMALL_PAGES)
    sandbox.faults.add("status", path="/persons", status=422, after=3, count=1)
    assert not world.run(["persons"], YEARS, mode="incremental").success
    done = world.materialized("persons")
    rest = KeyRange(world.calendar.keys_between(YEARS)[len(done)], YEARS.end)
    assert world.run(["persons"], rest, mode="incremental").success
    assert world.materialized("persons") == world.calendar.keys_between(YEARS)


def test_persons_answering_403_leave_deals_and_activities_alone(world: World, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", path="/persons", status=403)
    result = world.run(["persons", "deals", "activities"], YEARS)
    assert result.success
    assert len(world.materialized("deals")) == len(world.materialized("activities")) == 30
    shown = world.metadata("persons")
    assert (shown["status"], shown["skipped"], shown["dagster/row_count"]) == ("skipped", True, 0)
    check = next(
        each
        for each in result.get_asset_check_evaluations()
        if each.check_name == "endpoint_is_open" and each.asset_key.path[-1] == "persons"
    )
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    with world.warehouse() as warehouse:
        assert warehouse.coverage("persons") == {}


def test_an_entity_that_fails_leaves_the_others_alone(world: World, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", path="/persons", status=422)
    assert not world.run(["persons", "deals"], YEARS).success
    assert world.materialized("persons") == []
    assert len(world.materialized("deals")) == 30


def test_an_error_that_may_pass_is_tried_again_and_reports_each_partition_once(
    make_world: MakeWorld, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipedrive_assets.defs.failures.RETRY_DELAY_SECONDS", 0)
    world = make_world(sandbox, job_max_tries=2, max_retry_attempts=0, **SMALL_PAGES)
    sandbox.faults.add("status", path="/persons", status=503, after=3, count=1)
    result = world.run(["persons"], YEARS)
    assert result.success
    assert [event for event in result.all_events if event.is_step_restarted]
    assert world.materialized("persons") == world.calendar.keys_between(YEARS)


def test_a_spent_budget_ends_the_run_at_once_with_its_progress_kept_and_says_when_it_resets(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, daily_token_budget=45, **SMALL_PAGES)
    # The most urgent lane leaves nothing to others, at whatever time of the day.
    result = world.run(["persons"], YEARS, lane="push")
    assert not result.success
    assert "the budget resets at" in failure_of(result, "pipedrive__persons")
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert 0 < len(world.materialized("persons")) < 30
    assert world.table("persons")


def test_a_run_out_of_time_stops_between_pages_and_reports_what_is_done(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, **SMALL_PAGES)
    world.enter()
    result = world.defs.resolve_job_def("sync_pipedrive_entity").execute_in_process(
        instance=world.instance,
        asset_selection=[dg.AssetKey(["pipedrive", "persons"])],
        tags={**range_tags(YEARS), "dagster/max_runtime": "0"},
        raise_on_error=False,
    )
    assert not result.success
    assert "stopped at the deadline" in failure_of(result, "pipedrive__persons")


def test_a_missing_token_fails_the_account_with_one_clear_line_and_skips_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter()
    monkeypatch.delenv("PIPEDRIVE_TOKEN")
    result = world.defs.resolve_job_def("sync_pipedrive_entity").execute_in_process(
        instance=world.instance,
        tags={
            "dagster/asset_partition_range_start": "2026-01",
            "dagster/asset_partition_range_end": "2026-01",
        },
        raise_on_error=False,
    )
    assert not result.success
    assert "PIPEDRIVE_TOKEN is not set" in failure_of(result, "pipedrive__account")
    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    assert failed == {"pipedrive__account"}


def test_the_token_is_in_no_event_of_a_run(world: World, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", path="/persons", status=401)
    result = world.run(["persons", "deals"], YEARS)
    log = world.instance.all_logs(result.run_id)
    assert log
    assert all(sandbox.token not in repr(entry) for entry in log)
    assert sandbox.token not in repr(world.instance.get_run_by_id(result.run_id))


def test_a_scheduled_run_leaves_an_entity_that_another_run_has(world: World, sandbox: Sandbox) -> None:
    assert world.run(["persons"], KeyRange("2024-01", "2024-01")).success
    with StateStore.open(world.settings.state_url, clock=SystemClock()) as store:
        lease = store.leases(str(sandbox.config.company_id)).acquire("sync:persons", "a-backfill")
        assert lease is not None
        result = world.run(
            ["persons", "deals"], KeyRange("2024-01", "2024-02"), mode="incremental", source="schedule"
        )
        lease.release()
    assert result.success
    assert world.materialized("persons") == ["2024-01"]
    assert world.materialized("deals") == ["2024-01", "2024-02"]


def test_a_run_killed_half_way_is_repaired_once(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, **SMALL_PAGES)
    sandbox.faults.add("status", path="/persons", status=422, after=3, count=1)
    assert not world.run(["persons"], YEARS).success
    done = world.materialized("persons")
    # A killed worker has written coverage and no events.
    world.instance.wipe_assets([dg.AssetKey(["pipedrive", "persons"])])
    assert world.materialized("persons") == []
    sensor = build_repair_sensor(world.settings, world.calendar, ["persons"])

    def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(instance=world.instance, cursor=cursor)
        answer = sensor(context)
        assert isinstance(answer, dg.SensorResult | dg.SkipReason)
        return answer

    first = tick(None)
    assert isinstance(first, dg.SensorResult)
    assert sorted(event.partition or "" for event in first.asset_events) == done
    for event in first.asset_events:
        assert isinstance(event, dg.AssetMaterialization)
        world.instance.report_runless_asset_event(event)
    again = tick(None)
    assert isinstance(again, dg.SensorResult)
    assert again.asset_events == []
    assert isinstance(tick(first.cursor), dg.SkipReason)
    assert world.materialized("persons") == done


def test_after_all_failures_the_copy_equals_the_account(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, **SMALL_PAGES)
    keys = world.calendar.keys(datetime.now(UTC))
    everything = KeyRange(keys[0], keys[-1])
    sandbox.faults.add("status", path="/(deals|persons|notes)", status=422, probability=0.3, count=6)
    for _ in range(8):
        if world.run(["deals", "persons", "notes"], everything, mode="incremental").success:
            break
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in ("deals", "persons", "notes")})
