"""The queues of runs, in an instance with the checkout's own ``dagster.yaml``: no queue delays another."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.types import DaemonHeartbeat

from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import calendar_of
from pipedrive_assets.defs.launch import LOCATION, MODULE, QUEUE_DAEMON, submit
from pipedrive_assets.defs.pricing import plan_schedules
from pipedrive_assets.defs.schedules import runs_due
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import Source

# Dagster's own doing, where it serialises a schedule.
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")

ROOT = Path(__file__).parents[2]
LIMIT = 2
"""Runs of one queue at a time, by ``dagster.yaml``."""
WEBHOOK = {run_tags.SOURCE: Source.WEBHOOK.value}


@pytest.fixture
def instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_definitions: None
) -> Iterator[dg.DagsterInstance]:
    """An instance whose daemon is alive, as far as its heartbeats say."""
    for name in os.environ:
        if name.startswith("PIPEDRIVE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.get() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", None))
        yield instance


@dg.job
def something() -> None:
    """A run's tags are all that counts here."""


def fill(instance: dg.DagsterInstance, queue: str) -> None:
    """Let as many runs of ``queue`` be under way as may be."""
    for _ in range(LIMIT):
        instance.create_run_for_job(
            something, tags={run_tags.QUEUE: queue}, status=dg.DagsterRunStatus.STARTED
        )


def started_next(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the queued runs that the daemon would start now."""
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
        runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [run.run_id for run in runs]


def queue_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """The queue in which a run is waiting."""
    run = _run(instance, run_id)
    assert run.status is dg.DagsterRunStatus.QUEUED
    return run.tags[run_tags.QUEUE]


def repetition_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Fail the run and let Dagster repeat it, as its daemon does while a try is left; the new run's id."""
    instance.report_run_failed(_run(instance, run_id))
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=LOCATION)
    target = InProcessWorkspaceLoadTarget(origin)
    with create_test_daemon_workspace_context(target, instance) as workspace:
        retry_run(_run(instance, run_id), workspace)
    (repeated,) = instance.get_runs(dg.RunsFilter(tags={run_tags.PARENT_RUN: run_id}))
    return repeated.run_id


def _run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def test_a_full_sync_queue_does_not_delay_a_run_of_a_webhook(instance: dg.DagsterInstance) -> None:
    sync, webhook = submit(["users"]), submit(["users"], tags=WEBHOOK)
    assert set(started_next(instance)) == {sync, webhook}
    fill(instance, load_settings().sync_queue)
    assert started_next(instance) == [webhook]
    fill(instance, load_settings().webhook_queue)
    assert started_next(instance) == []


def test_each_kind_of_run_waits_under_the_name_its_setting_gives(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPEDRIVE_SYNC_QUEUE", "slow-lane")
    monkeypatch.setenv("PIPEDRIVE_WEBHOOK_QUEUE", "fast-lane")
    assert queue_of(instance, submit(["users"])) == "slow-lane"
    assert queue_of(instance, submit(["users"], tags=WEBHOOK)) == "fast-lane"
    settings = load_settings()
    core = plan_schedules(settings)["core"]
    (tick,) = runs_due(core, settings, calendar_of(settings), {}, datetime.now(UTC))
    assert tick.tags[run_tags.QUEUE] == "slow-lane"


def test_what_dagster_repeats_does_not_wait_behind_other_syncs(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPEDRIVE_RETRY_QUEUE", "second-chance")
    run_id = submit(["users"])
    fill(instance, load_settings().sync_queue)
    repeated = repetition_of(instance, run_id)
    assert queue_of(instance, repeated) == "second-chance"
    assert started_next(instance) == [repeated]


def test_a_repeated_run_is_queued_even_where_the_settings_are_wrong(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit(["users"])
    queue = load_settings().sync_queue
    monkeypatch.setenv("PIPEDRIVE_SEATS", "many")
    assert queue_of(instance, repetition_of(instance, run_id)) == queue
