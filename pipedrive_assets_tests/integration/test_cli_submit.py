"""``--async``: which partitions a run is asked for, and which runs there are."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.test_utils import environ
from dagster._daemon.types import DaemonHeartbeat

from pipedrive_assets.cli import main
from pipedrive_assets.cli.submit import partitions_of
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.launch import QUEUE_DAEMON
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions

# Dagster's own doing, where it serialises a schedule.
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")

YAML = """\
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}
telemetry: {enabled: false}
"""


def window(since: datetime | None, until: datetime | None) -> SyncOptions:
    return SyncOptions(mode=SyncMode.WINDOW, since=since, until=until)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        (datetime(2025, 3, 10, tzinfo=UTC), datetime(2025, 5, 2, tzinfo=UTC), "2025-03", "2025-05"),
        (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC), "2025-03", "2025-03"),
        (None, datetime(2024, 2, 1, tzinfo=UTC), "2024-01", "2024-01"),
        (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 1, 0, 0, 1, tzinfo=UTC), "2025-03", "2025-03"),
    ],
)
def test_a_window_is_widened_to_whole_partitions(since, until, start, end, tmp_path):
    settings = load_settings({"DAGSTER_HOME": str(tmp_path)})
    span = partitions_of(settings, ["deals"], window(since, until))
    assert (span.start, span.end) == (start, end)


def test_a_full_sync_and_a_first_one_are_all_partitions_to_the_running_one(tmp_path):
    settings = load_settings({"DAGSTER_HOME": str(tmp_path)})
    running = datetime.now(UTC).strftime("%Y-%m")
    for mode in (SyncMode.FULL, SyncMode.INCREMENTAL):
        span = partitions_of(settings, ["deals"], SyncOptions(mode=mode))
        assert (span.start, span.end) == ("2024-01", running)


@pytest.fixture
def home(tmp_path: Path, fresh_definitions: None) -> Path:
    """An instance whose queue is taken care of, as far as its heartbeats say."""
    (tmp_path / "dagster.yaml").write_text(YAML)
    with environ({"DAGSTER_HOME": str(tmp_path)}), dg.DagsterInstance.get() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", None))
    return tmp_path


def submitted(
    sandbox: Sandbox, home: Path, *arguments: str, **settings: str
) -> tuple[dict[str, Any], list[dg.DagsterRun]]:
    variables = {
        "DAGSTER_HOME": str(home),
        "PIPEDRIVE_BASE_URL": sandbox.url,
        "PIPEDRIVE_TOKEN": sandbox.token,
        **{f"PIPEDRIVE_{name.upper()}": value for name, value in settings.items()},
    }
    result = CliRunner().invoke(main, ["sync-entities", *arguments, "--async", "--json"], env=variables)
    assert result.exit_code == 0, result.stderr
    with environ({"DAGSTER_HOME": str(home)}), dg.DagsterInstance.get() as instance:
        return json.loads(result.stdout), list(instance.get_runs())


def test_a_run_in_the_queue_carries_what_was_asked_for(sandbox, home):
    found, runs = submitted(
        sandbox,
        home,
        "--entity",
        "users",
        "--entity",
        "deals",
        "--full-data",
        sync_queue="mine",
        job_timeout="120",
    )
    (run,) = runs
    assert found["run_ids"] == [run.run_id]
    assert run.asset_selection == {dg.AssetKey(["pipedrive", "users"]), dg.AssetKey(["pipedrive", "deals"])}
    assert run.status is dg.DagsterRunStatus.QUEUED
    assert {
        run_tags.MODE: "full",
        run_tags.SOURCE: "cli",
        run_tags.LANE: "backfill",
        run_tags.QUEUE: "mine",
        run_tags.MAX_RUNTIME: "120",
        run_tags.RANGE_START: "2024-01",
    }.items() <= run.tags.items()
    assert len(sandbox.log) == 0


def test_without_batch_processing_each_entity_is_a_run_of_its_own(sandbox, home):
    _, runs = submitted(sandbox, home, "--entity", "users", "--entity", "deals", batch_processing="false")
    assert sorted(key.path[-1] for run in runs for key in run.asset_selection or ()) == ["deals", "users"]
    assert len(runs) == 2
