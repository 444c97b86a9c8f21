"""The checks notice what they are there for, and pass where nothing is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from pipedrive_assets.defs.checks import CHECKS
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.monitoring_checks import MONITORING_CHECKS
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.e2e.world import MakeWorld, World


def everything(world: World) -> KeyRange:
    keys = world.calendar.keys(datetime.now(UTC))
    return KeyRange(keys[0], keys[-1])


def evaluated(result: dg.ExecuteInProcessResult, entity: str) -> list[dg.AssetCheckEvaluation]:
    """Evaluations of the entity's checks."""
    return [each for each in result.get_asset_check_evaluations() if each.asset_key == entity_key(entity)]


def failed(result: dg.ExecuteInProcessResult, entity: str) -> set[str]:
    """Names of the entity's checks that did not pass."""
    evaluations = result.get_asset_check_evaluations()
    return {
        each.check_name for each in evaluations if not each.passed and each.asset_key == entity_key(entity)
    }


def test_every_check_passes_after_a_sync_of_everything(world: World) -> None:
    result = world.run(["persons", "users"], everything(world))
    evaluations = [
        each for each in result.get_asset_check_evaluations() if each.asset_key == entity_key("persons")
    ]
    assert {each.check_name for each in evaluations} == set(CHECKS) | set(MONITORING_CHECKS)
    assert failed(result, "persons") == set()


def test_an_old_partition_alone_is_not_fresh(world: World) -> None:
    result = world.run(["persons"], KeyRange("2025-03", "2025-03"))
    assert failed(result, "persons") == {"data_is_fresh"}


def test_a_gap_between_synced_partitions_is_an_incomplete_copy(world: World) -> None:
    world.run(["persons"], KeyRange("2025-03", "2025-03"))
    running = everything(world).end
    assert failed(world.run(["persons"], KeyRange(running, running)), "persons") == {"last_sync_is_complete"}


def test_a_bad_value_is_kept_and_named(world: World, sandbox: Sandbox) -> None:
    sandbox.faults.add("bad_value", path="/persons", column="owner_id", value="nobody", count=1)
    result = world.run(["persons"], everything(world))
    assert result.success
    assert failed(result, "persons") == {"values_fit"}


def test_rows_missing_on_the_other_side_of_a_reference_are_noticed(world: World, sandbox: Sandbox) -> None:
    world.run(["persons"], KeyRange("2026-01", "2026-06"))
    assert 0 < len(world.table("persons")) < len(sandbox.rows("persons"))
    result = world.run(["deals"], everything(world))
    assert "references_are_known" in failed(result, "deals")


def test_checks_can_be_run_on_their_own(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, enabled_entities="persons,users")
    world.run(["persons"], everything(world))
    sandbox.log.clear()
    result = world.defs.resolve_job_def("check_pipedrive_entities").execute_in_process(
        instance=world.instance
    )
    assert result.success
    assert failed(result, "persons") == set()
    assert failed(result, "users") == {"data_is_fresh", "last_sync_is_complete"}
    assert len(sandbox.log) == 0
