"""Materializing partitions in any way gives the same copy, and one event per partition."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.e2e.world import MakeWorld, World
from pipedrive_assets_tests.equality import assert_equal_copy

CORE = ["deals", "persons", "organizations", "activities", "products", "leads", "notes"]
ONE_MONTH = KeyRange("2025-03", "2025-03")
TWO_YEARS = KeyRange("2024-03", "2026-02")


def everything(world: World) -> KeyRange:
    keys = world.calendar.keys(datetime.now(UTC))
    return KeyRange(keys[0], keys[-1])


def test_a_past_partition_is_asked_with_its_own_bounds(world: World, sandbox: Sandbox) -> None:
    assert world.run(["deals"], ONE_MONTH).success
    asked = sandbox.log.for_path("/deals") + sandbox.log.for_path("/deals/archived")
    assert asked
    assert {request.params.get("updated_since") for request in asked} == {"2025-03-01T00:00:00Z"}
    assert {request.params.get("updated_until") for request in asked} == {"2025-04-01T00:00:00Z"}


def test_a_past_partition_holds_exactly_the_records_that_changed_in_it(
    world: World, sandbox: Sandbox
) -> None:
    assert world.run(["deals"], ONE_MONTH).success
    expected = [row for row in sandbox.rows("deals") if (row["update_time"] or "").startswith("2025-03")]
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {"deals": expected})


def test_a_range_of_24_partitions_is_one_run_with_one_event_for_each(world: World) -> None:
    assert world.run(["deals", "persons"], TWO_YEARS).success
    keys = world.calendar.keys_between(TWO_YEARS)
    assert len(keys) == 24
    assert world.materialized("deals") == keys
    assert world.materialized("persons") == keys
    assert len(world.instance.get_run_ids()) == 1


def test_each_partition_shows_its_own_number_of_rows(world: World, sandbox: Sandbox) -> None:
    assert world.run(["persons"], everything(world)).success
    events = world.instance.fetch_materializations(entity_key("persons"), limit=1000).records
    rows = {
        event.partition_key: event.asset_materialization.metadata["dagster/partition_row_count"].value
        for event in events
        if event.asset_materialization is not None
    }
    assert sum(rows.values()) == len(sandbox.rows("persons"))
    month = [row for row in sandbox.rows("persons") if (row["update_time"] or "").startswith("2025-03")]
    assert rows["2025-03"] == len(month)


def test_everything_at_once_equals_the_account(world: World, sandbox: Sandbox) -> None:
    assert world.run(CORE, everything(world)).success
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {name: sandbox.rows(name) for name in CORE})


def test_partitions_in_random_order_give_the_same_table_as_everything_at_once(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    entities = ["deals", "notes"]
    whole, pieces = make_world(sandbox, "whole"), make_world(sandbox, "pieces")
    keys = pieces.calendar.keys(datetime.now(UTC))
    spans = [KeyRange(keys[i], keys[min(i + 8, len(keys) - 1)]) for i in range(0, len(keys), 9)]
    random.Random(7).shuffle(spans)
    for span in spans:
        assert pieces.run(entities, span).success
    assert whole.run(entities, everything(whole)).success
    for name in entities:
        assert pieces.materialized(name) == keys
        assert pieces.table(name) == whole.table(name)


def test_the_running_partition_alone_is_asked_from_its_start_on(world: World, sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    running = world.calendar.key_of(now)
    assert world.run(["persons"], KeyRange(running, running)).success
    (request,) = sandbox.log.for_path("/persons")
    assert request.params["updated_since"] == f"{running}-01T00:00:00Z"
    assert "updated_until" not in request.params
    assert world.materialized("persons") == [running]


def test_what_is_asked_for_by_hand_is_read_again_and_what_a_schedule_asks_is_not(
    world: World, sandbox: Sandbox
) -> None:
    assert world.run(["persons"], ONE_MONTH).success
    sandbox.log.clear()
    assert world.run(["persons"], ONE_MONTH, mode="incremental", source="schedule").success
    assert sandbox.log.for_path("/persons") == []
    assert world.run(["persons"], ONE_MONTH).success
    assert len(sandbox.log.for_path("/persons")) == 1


def test_weekly_and_daily_partitions_hold_the_same_rows(make_world: MakeWorld, sandbox: Sandbox) -> None:
    tables = []
    for granularity in ("monthly", "weekly"):
        world = make_world(sandbox, granularity, partition_granularity=granularity, start_date="2026-06-01")
        assert world.run(["persons"], everything(world)).success
        assert world.materialized("persons") == world.calendar.keys(datetime.now(UTC))
        tables.append(world.table("persons"))
    assert tables[0] == tables[1]


def test_children_are_read_below_their_parents(world: World, sandbox: Sandbox) -> None:
    assert world.run(["deals", "deal_products"], everything(world)).success
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {"deal_products": sandbox.rows("deal_products")})
