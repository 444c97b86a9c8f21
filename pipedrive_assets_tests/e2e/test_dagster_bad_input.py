"""A bad file or setting fails a run's step at once with the same clear sentence, and is left as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets_tests.damage import DAMAGES, Damage, digest
from pipedrive_assets_tests.e2e.world import MakeWorld, World

MONTHS = KeyRange("2026-01", "2026-03")
FILES = {"state": "state.db", "warehouse": "warehouse.duckdb"}
ONE_OF_EACH_KIND = [
    damage
    for damage in DAMAGES
    if str(damage) in {"state-garbage", "state-newer", "warehouse-cut-short", "warehouse-of-another-loader"}
]


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7)) as running:
        yield running


@pytest.fixture
def synced(make_world: MakeWorld, account: Sandbox) -> World:
    world = make_world(account, job_max_tries=3)
    assert world.run(["users"], MONTHS).success
    return world


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the one failed step says; it was not tried again."""
    assert not result.success
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    error = failed.step_failure_data.error
    assert error is not None
    return error.message


@pytest.mark.parametrize("damage", ONE_OF_EACH_KIND, ids=str)
def test_a_bad_file_fails_the_step_with_its_place_and_the_remedy_and_is_left_as_it_was(
    damage: Damage, synced: World
) -> None:
    path = Path(synced.env["DAGSTER_HOME"]) / FILES[damage.of]
    damage.do(path)
    before = digest(path)
    said = failure_of(synced.run(["users"], MONTHS))
    assert str(path) in said
    assert re.search(damage.told, said), said
    assert digest(path) == before


def test_a_setting_that_became_wrong_fails_the_step_by_its_name(synced: World) -> None:
    synced.env = {**synced.env, "PIPEDRIVE_SEATS": "0", "PIPEDRIVE_PLAN": "gold"}
    said = failure_of(synced.run(["users"], MONTHS))
    assert "PIPEDRIVE_SEATS=0: must be" in said
    assert "PIPEDRIVE_PLAN=gold: must be" in said
