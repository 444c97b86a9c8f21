"""A real instance: webserver, daemon and queue as `dagster dev` starts them, driven through GraphQL.

One instance serves the whole file, since it takes seconds to start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.health import HEALTH_KEY
from pipedrive_assets.defs.launch import NO_DAEMON, partitions_between, submit
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.defs.reported import REPAIRED_RUN
from pipedrive_assets.defs.run_tags import range_tags
from pipedrive_assets.defs.sensors import build_repair_sensor
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.warehouse.store import Warehouse
from pipedrive_assets_tests.e2e.deployment import (
    ENDS_WITHIN_SECONDS,
    LAUNCH,
    ROOT,
    STARTS_WITHIN_SECONDS,
    Deployment,
    deployed,
    ended,
    until,
)
from pipedrive_assets_tests.equality import assert_equal_copy

BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("dagster_home")
    with (
        Sandbox.start(SandboxConfig(scale="tiny", seed=7)) as sandbox,
        deployed(
            home, sandbox, enabled_entities="deals,persons,notes,users", start_date="2025-10-01"
        ) as running,
    ):
        yield running


@pytest.fixture
def instance(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for key, value in deployment.env.items():
        monkeypatch.setenv(key, value)
    # Another test may have loaded the definitions for another environment.
    monkeypatch.delitem(sys.modules, "pipedrive_assets.definitions", raising=False)
    with dg.DagsterInstance.get() as found:
        yield found


def test_a_range_launched_through_graphql_is_one_run_and_one_event_per_partition(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    launched = deployment.ask(
        LAUNCH,
        {
            "selector": {
                "repositoryLocationName": "pipedrive_assets",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": ["pipedrive", "account"]}, {"path": ["pipedrive", "persons"]}],
            },
            "executionMetadata": {
                "tags": [
                    {"key": key, "value": value}
                    for key, value in range_tags(KeyRange("2025-10", "2026-03")).items()
                ]
            },
        },
    )
    assert launched["__typename"] == "LaunchRunSuccess", launched
    assert ended(instance, launched["run"]["runId"]) is dg.DagsterRunStatus.SUCCESS
    assert deployment.materialized(instance, "persons") == [
        "2025-10",
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
        "2026-03",
    ]


def test_the_daemon_keeps_the_health_of_the_api_on_its_asset_without_a_run(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    until(lambda: instance.get_latest_materialization_event(HEALTH_KEY) is not None, ENDS_WITHIN_SECONDS)
    event = instance.get_latest_materialization_event(HEALTH_KEY)
    assert event is not None and event.asset_materialization is not None
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert shown["verdict"] == "healthy"
    assert {"latency_ms", "failure_percent", "tokens_left", "tokens_spent", "memory_percent"} <= shown.keys()
    assert instance.get_run_by_id(event.run_id) is None


def test_a_backfill_of_a_range_is_a_single_run(deployment: Deployment, instance: dg.DagsterInstance) -> None:
    keys = ["2026-01", "2026-02", "2026-03"]
    params = {"assetSelection": [{"path": ["pipedrive", "notes"]}], "partitionNames": keys}
    launched = deployment.ask(BACKFILL, params)
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    runs = dg.RunsFilter(tags={"dagster/backfill": launched["backfillId"]})
    until(lambda: bool(instance.get_runs(runs)), ENDS_WITHIN_SECONDS)
    (run,) = instance.get_runs(runs)
    assert ended(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS
    assert deployment.materialized(instance, "notes") == keys


def test_a_run_submitted_from_outside_is_taken_from_the_queue(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    until(lambda: _has_daemon(instance), STARTS_WITHIN_SECONDS)
    run_id = submit(["deals", "users"], tags={"pipedrive/source": "cli"})
    assert ended(instance, run_id) is dg.DagsterRunStatus.SUCCESS
    settings = load_settings(deployment.env)
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.tags["pipedrive/queue"] == settings.sync_queue
    warehouse = _warehouse(deployment.env)
    try:
        assert_equal_copy(warehouse, {name: deployment.sandbox.rows(name) for name in ("deals", "users")})
        sources = warehouse.query("SELECT DISTINCT _source FROM pipedrive.deals").to_pylist()
    finally:
        warehouse.close()
    assert sources == [{"_source": "cli"}]
    keys = calendar_of(settings).keys(datetime.now(UTC))
    assert deployment.materialized(instance, "deals") == keys


def test_a_queued_run_and_a_command_give_the_same_rows(
    deployment: Deployment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    until(lambda: _has_daemon(instance), STARTS_WITHIN_SECONDS)
    names = ("deals", "users", "notes")
    run_id = submit(list(names), tags={"pipedrive/source": "cli", "pipedrive/mode": "full"})
    assert ended(instance, run_id) is dg.DagsterRunStatus.SUCCESS
    in_process = {**deployment.env, "DAGSTER_HOME": str(tmp_path)}
    command = subprocess.run(
        [sys.executable, "-c", "from pipedrive_assets.cli import main; main()"]
        + ["sync-entities", "--full-data", "--force", "--json"]
        + [word for name in names for word in ("--entity", name)],
        env=in_process,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert command.returncode == 0, command.stderr
    for name in names:
        queued, direct = (_rows_of(env, name) for env in (deployment.env, in_process))
        assert queued == direct


def _rows_of(env: Mapping[str, str], entity: str) -> list[dict[str, Any]]:
    """All columns but those that say when, by whom and in which run a row was written."""
    warehouse = _warehouse(env)
    try:
        columns = "* EXCLUDE (_observed_at, _synced_at, _run_id, _source)"
        return warehouse.query(f"SELECT {columns} FROM pipedrive.{entity} ORDER BY id").to_pylist()
    finally:
        warehouse.close()


def test_an_entity_that_is_not_enabled_cannot_be_submitted(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    until(lambda: _has_daemon(instance), STARTS_WITHIN_SECONDS)
    with pytest.raises(PipedriveConfigException, match=r"PIPEDRIVE_ENABLED_ENTITIES.*goals"):
        submit(["goals"])


def test_without_an_instance_or_a_daemon_nothing_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(PipedriveConfigException, match="DAGSTER_HOME is not set"):
        submit(["deals"], settings=load_settings({}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(
        "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}"
    )
    with pytest.raises(PipedriveConfigException, match="does not queue runs"):
        submit(["deals"], settings=load_settings({}))
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    with pytest.raises(PipedriveConfigException) as caught:
        submit(["deals"], settings=load_settings({}))
    assert str(caught.value) == NO_DAEMON


def test_a_time_range_is_rounded_to_whole_partitions() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    settings = load_settings({})

    def moment(month: int, day: int) -> datetime:
        return datetime(2026, month, day, tzinfo=UTC)

    assert partitions_between(settings, None, None, now) == KeyRange("2024-01", "2026-11")
    assert partitions_between(settings, moment(3, 5), moment(5, 2), now) == KeyRange("2026-03", "2026-05")
    assert partitions_between(settings, moment(3, 5), moment(5, 1), now) == KeyRange("2026-03", "2026-04")
    assert partitions_between(settings, moment(3, 1), moment(3, 1), now) == KeyRange("2026-03", "2026-03")


def test_a_killed_run_is_repaired_by_the_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.start(SandboxConfig(scale="small", seed=7, latency_ms=60)) as sandbox:
        env = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_MIN_BATCH_SIZE": "5",
            "PIPEDRIVE_MAX_BATCH_SIZE": "5",
        }
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: len(sandbox.log.for_path("/persons")) > 60, ENDS_WITHIN_SECONDS)
        worker.kill()
        worker.wait()
    settings = load_settings(env)
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        # What run monitoring does when it finds the worker gone.
        instance.report_run_failed(run)
        assert instance.fetch_materializations(entity_key("persons"), limit=10).records == []
        sensor = build_repair_sensor(settings, calendar_of(settings), ["persons"])
        answer = sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(answer, dg.SensorResult)
        events = [event for event in answer.asset_events if isinstance(event, dg.AssetMaterialization)]
        assert {event.metadata[REPAIRED_RUN].value for event in events} == {run.run_id}
    partitions = sorted(event.partition or "" for event in events)
    assert partitions and partitions == calendar_of(settings).keys(datetime.now(UTC))[: len(partitions)]


_WORKER = """
import dagster as dg
from pipedrive_assets.definitions import defs
with dg.DagsterInstance.get() as instance:
    defs.resolve_job_def("sync_pipedrive_entity").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["pipedrive", "persons"])],
        tags={
            "dagster/asset_partition_range_start": "2024-01",
            "dagster/asset_partition_range_end": "2026-10",
        },
    )
"""


def _warehouse(env: Mapping[str, str]) -> Warehouse:
    settings = load_settings(env)
    return Warehouse(settings.warehouse, lock_timeout=20, memory_limit_mb=256, threads=1, clock=SystemClock())


def _has_daemon(instance: dg.DagsterInstance) -> bool:
    statuses = instance.get_daemon_statuses(["QUEUED_RUN_COORDINATOR"])
    return all(status.healthy for status in statuses.values())
