"""What monitoring adds to Dagster: the health asset and its sensor, four checks per entity, performance.

Each can be switched off, and takes exactly its own output with it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.health import HEALTH_KEY
from pipedrive_assets.defs.monitoring_checks import MONITORING_CHECKS
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.e2e.world import MakeWorld, World

PERFORMANCE = {"seconds", "rows_per_second", "requests_per_second", "peak_rss_mb"}


def everything(world: World) -> KeyRange:
    keys = world.calendar.keys(datetime.now(UTC))
    return KeyRange(keys[0], keys[-1])


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of persons, by name."""
    evaluations = result.get_asset_check_evaluations()
    return {each.check_name: each for each in evaluations if each.asset_key == entity_key("persons")}


def check_again(world: World) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of persons, run on their own."""
    world.enter()
    job = world.defs.resolve_job_def("check_pipedrive_entities")
    return checks(job.execute_in_process(instance=world.instance))


def tick(world: World) -> None:
    """One tick of the health sensor; what it reports is put on the asset as the daemon would."""
    world.enter()
    sensor = world.defs.get_repository_def().get_sensor_def("pipedrive_health")
    with dg.build_sensor_context(instance=world.instance) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    for event in data.asset_events:
        assert isinstance(event, dg.AssetMaterialization)
        world.instance.report_runless_asset_event(event)


def materialize_health(world: World) -> None:
    world.enter()
    job = world.defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=world.instance, asset_selection=[HEALTH_KEY]).success


def shown(world: World) -> Mapping[str, Any]:
    """Metadata of the latest materialization of the health asset."""
    event = world.instance.get_latest_materialization_event(HEALTH_KEY)
    assert event is not None and event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def rows(world: World, table: str) -> int:
    """How many rows a table of the state store has."""
    path = Path(world.settings.state_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_tick_of_the_sensor_puts_the_figures_on_the_asset_without_a_run(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, enabled_entities="persons", health_cache_ttl=0)
    tick(world)
    found = shown(world)
    assert (found["verdict"], found["probed"], found["breaker"]) == ("healthy", True, "closed")
    for name in (
        "latency_ms",
        "failure_percent",
        "tokens_left",
        "tokens_spent",
        "memory_percent",
        "requests",
    ):
        assert isinstance(found[name], int | float), name
    assert [record.path for record in sandbox.log] == ["/users/me"]
    tick(world)
    assert shown(world)["probed"] is False
    assert len(sandbox.log) == 1
    assert world.instance.get_runs() == []
    assert len(world.instance.fetch_materializations(HEALTH_KEY, limit=10).records) == 2


def test_asset_and_check_show_an_api_that_is_down_and_one_that_is_back(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, enabled_entities="persons", health_failure_threshold=1)
    assert checks(world.run(["persons"], everything(world)))["api_is_healthy"].passed
    sandbox.faults.add("status", path="/users/me", status=503)
    materialize_health(world)
    assert shown(world)["verdict"] == "unhealthy"
    assert "503" in shown(world)["reason"]
    check = check_again(world)["api_is_healthy"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "1 probes failed in a row" in (check.description or "")
    sandbox.faults.clear()
    materialize_health(world)
    assert shown(world)["verdict"] == "healthy"
    assert check_again(world)["api_is_healthy"].passed


def test_syncs_that_fail_again_and_again_fail_the_check_of_their_entity(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, enabled_entities="persons")
    sandbox.faults.add("status", path="/persons", status=422, count=2)
    for _ in range(2):
        assert not world.run(["persons"], everything(world)).success
    result = world.run(["persons"], everything(world))
    assert result.success
    check = checks(result)["failure_rate_is_low"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2 of 3 syncs failed in 24 hours" in (check.description or "")


def test_a_spent_budget_fails_the_check_of_every_entity(make_world: MakeWorld, sandbox: Sandbox) -> None:
    world = make_world(sandbox, enabled_entities="persons", daily_token_budget=1000)
    assert checks(world.run(["persons"], everything(world)))["budget_is_sufficient"].passed
    world.monkeypatch.setenv("PIPEDRIVE_DAILY_TOKEN_BUDGET", "15")
    job = world.defs.resolve_job_def("check_pipedrive_entities")
    check = checks(job.execute_in_process(instance=world.instance))["budget_is_sufficient"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "lane incremental has" in (check.description or "")


def test_monitoring_switched_off_removes_exactly_its_output(make_world: MakeWorld, sandbox: Sandbox) -> None:
    worlds, found = [], []
    switches = {"monitoring_enabled": False, "health_monitoring_enabled": False}
    for count, name in enumerate(("on", "off", "blind")):
        switched = dict(list(switches.items())[:count])
        worlds.append(make_world(sandbox, name, enabled_entities="persons", **switched))
        found.append(set(checks(worlds[-1].run(["persons"], everything(worlds[-1])))))
    on, off, blind = worlds
    assert found[0] - found[1] == set(MONITORING_CHECKS)
    assert found[1] == found[2] == found[0] - set(MONITORING_CHECKS)
    assert on.metadata("persons").keys() == off.metadata("persons").keys() == blind.metadata("persons").keys()
    assert on.table("persons") == off.table("persons") == blind.table("persons")
    assert (rows(on, "sync_outcomes"), rows(off, "sync_outcomes"), rows(blind, "sync_outcomes")) == (1, 0, 0)
    # Health needs to know of requests too, so they are counted unless both are off.
    assert rows(on, "request_totals") == rows(off, "request_totals") > 0
    assert rows(blind, "request_totals") == rows(blind, "request_minutes") == 0


def test_performance_logging_switched_off_removes_exactly_its_output(
    make_world: MakeWorld, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    metadata, events = [], []
    for setting in (True, False):
        world = make_world(
            sandbox, f"home-{setting}", enabled_entities="persons", performance_logging=setting
        )
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="pipedrive_assets"):
            assert world.run(["persons"], everything(world)).success
        metadata.append(world.metadata("persons"))
        named = [getattr(record, "pipedrive", {}).get("event") for record in caplog.records]
        events.append({name for name in named if name})
    assert metadata[0].keys() - metadata[1].keys() == PERFORMANCE
    assert metadata[1].keys() < metadata[0].keys()
    assert metadata[0]["rows_per_second"] == pytest.approx(
        metadata[0]["fetched"] / metadata[0]["seconds"], rel=0.1
    )
    assert events[0] - events[1] == {"sync_performance"}
    assert events[1] < events[0]
