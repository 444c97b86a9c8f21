"""The repair sensor leaves to Dagster what Dagster starts again, and counts all tries of a run together."""

from __future__ import annotations

import dagster as dg

from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.partitions import Calendar, Granularity, KeyRange
from pipedrive_assets.defs.reported import REPAIRED_RUN
from pipedrive_assets.defs.run_tags import ROOT_RUN, WILL_RETRY, range_tags
from pipedrive_assets.defs.sensors import build_repair_sensor
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.e2e.world import MakeWorld, World

SPAN = KeyRange("2024-01", "2026-06")


def broken_run(world: World, sandbox: Sandbox, **tags: str) -> str:
    """A run that ends half-way and, like a killed one, has reported nothing; its run id."""
    sandbox.faults.add("status", path="/persons", status=422, after=3, count=1)
    result = world.run(["persons"], SPAN, **tags)
    assert not result.success
    world.instance.wipe_assets([entity_key("persons")])
    return result.run_id


def repaired(world: World) -> list[str]:
    """Partitions for which one tick of the sensor would emit events."""
    sensor = build_repair_sensor(world.settings, world.calendar, ["persons"])
    answer = sensor(dg.build_sensor_context(instance=world.instance))
    if isinstance(answer, dg.SkipReason):
        return []
    assert isinstance(answer, dg.SensorResult)
    return sorted(event.partition or "" for event in answer.asset_events)


def test_a_run_that_dagster_starts_again_is_left_to_its_successor(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, min_batch_size=5, max_batch_size=5)
    run_id = broken_run(world, sandbox)
    assert repaired(world)
    world.instance.add_run_tags(run_id, {WILL_RETRY: "true"})
    assert repaired(world) == []


def test_what_any_try_of_a_run_has_covered_counts(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, min_batch_size=5, max_batch_size=5)
    run_id = broken_run(world, sandbox)
    done = repaired(world)
    world.instance.add_run_tags(run_id, {WILL_RETRY: "true"})
    # The second try dies before it has fetched anything.
    world.instance.create_run_for_job(
        world.defs.resolve_job_def("sync_pipedrive_entity"),
        tags={**range_tags(SPAN), ROOT_RUN: run_id},
        root_run_id=run_id,
        parent_run_id=run_id,
        status=dg.DagsterRunStatus.FAILURE,
    )
    assert repaired(world) == done != []


def test_a_partition_that_was_reported_since_is_not_reported_again(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, min_batch_size=5, max_batch_size=5)
    broken_run(world, sandbox, mode="incremental")
    first, *rest = repaired(world)
    world.instance.report_runless_asset_event(dg.AssetMaterialization(entity_key("persons"), partition=first))
    assert repaired(world) == rest


def test_what_a_run_read_again_is_reported_once_though_others_reported_it_meanwhile(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, min_batch_size=5, max_batch_size=5)
    run_id = broken_run(world, sandbox, mode="window")
    first, *rest = repaired(world)
    for metadata, left in (({}, [first, *rest]), ({REPAIRED_RUN: run_id}, rest)):
        event = dg.AssetMaterialization(entity_key("persons"), partition=first, metadata=metadata)
        world.instance.report_runless_asset_event(event)
        assert repaired(world) == left


def test_runs_of_another_granularity_or_of_no_partition_are_no_business_of_the_sensor(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, partition_granularity="weekly")
    for tags in ({}, range_tags(KeyRange("2024-W01-1", "2024-W02-1"))):
        world.instance.create_run_for_job(
            world.defs.resolve_job_def("sync_pipedrive_entity"),
            tags=tags,
            status=dg.DagsterRunStatus.FAILURE,
        )
    monthly = Calendar(Granularity.MONTHLY, world.settings.start_date)
    sensor = build_repair_sensor(world.settings, monthly, ["persons"])
    answer = sensor(dg.build_sensor_context(instance=world.instance))
    assert isinstance(answer, dg.SensorResult)
    assert answer.asset_events == []
