"""Schedules: when they tick, whether they are on, and which runs a tick starts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipedrive_assets.api.auth import token_fingerprint
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.partitions import Calendar, Granularity, KeyRange
from pipedrive_assets.defs.pricing import plan_schedules
from pipedrive_assets.defs.schedules import range_due, runs_due
from pipedrive_assets.defs.ticks import cron_line
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.state.watermarks import Watermark

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MONTHS = Calendar(Granularity.MONTHLY, date(2024, 1, 1))
TOKEN = "0123456789abcdef0123456789abcdef01234567"


def settings_for(**variables: str) -> PipedriveSettings:
    return load_settings({f"PIPEDRIVE_{name.upper()}": value for name, value in variables.items()})


def mark(entity: str, watermark: datetime | None, head: datetime | None = None) -> Watermark:
    return Watermark(entity, watermark, head or watermark, 1, NOW)


def cron_of(name: str, **variables: str) -> str:
    settings = settings_for(**variables)
    return cron_line(plan_schedules(settings)[name], settings.scheduler_time)


def test_cron_lines_follow_the_settings() -> None:
    assert cron_of("core", plan="ultimate") == "*/15 * * * *"
    assert cron_of("core", plan="ultimate", incremental_schedule_minutes="60") == "0 * * * *"
    assert cron_of("hourly", plan="ultimate") == "5 * * * *"
    assert cron_of("custom_fields", plan="ultimate", custom_fields_scheduler_frequency="6") == "35 */6 * * *"
    assert cron_of("custom_fields", plan="ultimate", custom_fields_scheduler_frequency="24") == "35 0 * * *"
    assert cron_of("daily") == "0 2 * * *"
    assert cron_of("daily", scheduler_time="22:30", scheduler_frequency="6") == "30 4,10,16,22 * * *"
    assert cron_of("daily", scheduler_frequency="5") == "0 2,8,14,20 * * *"


def statuses(**variables: str) -> dict[str, dg.DefaultScheduleStatus]:
    schedules = build_defs(settings_for(**variables)).schedules or []
    return {each.name: each.default_status for each in schedules if isinstance(each, dg.ScheduleDefinition)}


def test_every_schedule_is_stopped_while_there_is_no_token() -> None:
    assert set(statuses(scheduler_enabled="true").values()) == {dg.DefaultScheduleStatus.STOPPED}


@pytest.mark.parametrize(
    ("setting", "schedule"),
    [
        ("scheduler_enabled", "pipedrive_daily"),
        ("incremental_schedule_enabled", "pipedrive_core"),
        ("hourly_schedule_enabled", "pipedrive_hourly"),
        ("custom_fields_scheduler_enabled", "pipedrive_custom_fields"),
    ],
)
def test_each_schedule_is_on_or_off_by_its_setting(setting: str, schedule: str) -> None:
    assert statuses(token=TOKEN, **{setting: "true"})[schedule] is dg.DefaultScheduleStatus.RUNNING
    assert statuses(token=TOKEN, **{setting: "false"})[schedule] is dg.DefaultScheduleStatus.STOPPED


def test_schedules_keep_to_the_time_zone_of_the_settings() -> None:
    schedules = build_defs(settings_for(scheduler_timezone="Europe/Berlin")).schedules or []
    zones = {each.execution_timezone for each in schedules if isinstance(each, dg.ScheduleDefinition)}
    assert zones == {"Europe/Berlin"}


def test_a_tick_covers_the_oldest_watermark_to_the_running_partition() -> None:
    marks = {
        "deals": mark("deals", datetime(2026, 11, 23, 11, tzinfo=UTC)),
        "notes": mark("notes", datetime(2026, 9, 30, tzinfo=UTC)),
    }
    assert range_due(MONTHS, ["deals"], marks, NOW) == KeyRange("2026-11", "2026-11")
    assert range_due(MONTHS, ["deals", "notes"], marks, NOW) == KeyRange("2026-09", "2026-11")


def test_an_entity_that_was_never_synced_takes_everything() -> None:
    assert range_due(MONTHS, ["deals"], {}, NOW) == KeyRange("2024-01", "2026-11")


def test_an_entity_with_gaps_goes_on_from_its_newest_interval() -> None:
    marks = {"deals": mark("deals", None, datetime(2026, 10, 5, tzinfo=UTC))}
    assert range_due(MONTHS, ["deals"], marks, NOW) == KeyRange("2026-10", "2026-11")


def test_an_entity_that_is_closed_to_the_account_holds_nobody_back() -> None:
    marks = {"deals": mark("deals", NOW), "leads": mark("leads", None)}
    assert range_due(MONTHS, ["deals", "leads"], marks, NOW) == KeyRange("2026-11", "2026-11")


def test_one_run_carries_queue_mode_source_lane_and_time_limit() -> None:
    settings = settings_for(plan="ultimate", sync_queue="q", job_timeout="600")
    (run,) = runs_due(plan_schedules(settings)["core"], settings, MONTHS, {}, NOW)
    assert run.asset_selection is None
    assert {
        name: run.tags[name] for name in (run_tags.QUEUE, run_tags.MODE, run_tags.SOURCE, run_tags.LANE)
    } == {
        run_tags.QUEUE: "q",
        run_tags.MODE: "incremental",
        run_tags.SOURCE: "schedule",
        run_tags.LANE: "incremental",
    }
    assert run.tags[run_tags.MAX_RUNTIME] == "600"
    assert run_tags.range_of(run.tags) == KeyRange("2024-01", "2026-11")


def test_without_batch_processing_each_entity_has_a_run_of_its_own() -> None:
    settings = settings_for(plan="ultimate", batch_processing="false")
    runs = runs_due(plan_schedules(settings)["core"], settings, MONTHS, {}, NOW)
    assert [key.path[-1] for run in runs for key in run.asset_selection or ()] == list(
        plan_schedules(settings)["core"].entities
    )
    assert len({run.run_key for run in runs}) == len(runs)


def test_a_tick_reads_the_watermarks_and_starts_no_second_run_beside_an_unfinished_one(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with StateStore.open(url, clock=SystemClock()) as store:
        store.remember_account(token_fingerprint(TOKEN), AccountIdentity(77, "Acme", "acme", 1, "Ann", True))
        for name in ("deals", "persons"):
            store.watermarks("77").set(name, NOW, NOW, 1, NOW)
    settings = settings_for(token=TOKEN, state_url=url, plan="ultimate", enabled_entities="deals,persons")
    repository = build_defs(settings).get_repository_def()
    schedule = repository.get_schedule_def("pipedrive_core")
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        # Entered and left: what it has opened would outlive this test.
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=NOW, repository_def=repository
        ) as context,
    ):
        (run,) = schedule.evaluate_tick(context).run_requests or ()
        assert run_tags.range_of(run.tags) == KeyRange("2026-11", "2026-11")
        instance.create_run_for_job(
            repository.get_job("sync_pipedrive_core"),
            tags={"dagster/schedule_name": "pipedrive_core"},
            status=dg.DagsterRunStatus.STARTED,
        )
        assert "has not ended yet" in (schedule.evaluate_tick(context).skip_message or "")
