"""What a run's tags make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.partitions import KeyRange, Window
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MARCH = Window(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
RUNNING = Window(datetime(2026, 11, 1, tzinfo=UTC), None)


def test_a_run_started_by_hand_reads_its_window_again() -> None:
    options = run_tags.sync_options({}, MARCH, START)
    assert (options.mode, options.since, options.until) == (SyncMode.WINDOW, MARCH.since, MARCH.until)
    assert (options.source, options.lane, options.deadline) == (Source.MANUAL, Lane.BACKFILL, None)


def test_a_run_of_the_running_partition_alone_spends_in_the_incremental_lane() -> None:
    assert run_tags.sync_options({}, RUNNING, START).lane is Lane.INCREMENTAL


def test_a_run_of_a_backfill_is_called_one() -> None:
    assert run_tags.sync_options({run_tags.BACKFILL: "abcdef"}, MARCH, START).source is Source.BACKFILL


def test_tags_decide_mode_source_lane_and_tier() -> None:
    tags = {
        run_tags.MODE: "incremental",
        run_tags.SOURCE: "schedule",
        run_tags.LANE: "repair",
        run_tags.TIER: "hourly",
    }
    options = run_tags.sync_options(tags, RUNNING, START)
    assert (options.mode, options.source) == (SyncMode.INCREMENTAL, Source.SCHEDULE)
    assert (options.lane, options.tier) == (Lane.REPAIR, Tier.HOURLY)


def test_a_full_run_has_no_window() -> None:
    options = run_tags.sync_options({run_tags.MODE: "full"}, MARCH, START)
    assert (options.since, options.until) == (None, None)


def test_a_word_that_is_none_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(
        PipedriveConfigException, match="pipedrive/mode='fast' must be one of incremental, window, full"
    ):
        run_tags.sync_options({run_tags.MODE: "fast"}, MARCH, START)


@pytest.mark.parametrize(("seconds", "kept"), [("3600", 3540), ("60", 54)])
def test_a_run_stops_by_itself_before_dagster_kills_it(seconds: str, kept: int) -> None:
    options = run_tags.sync_options({run_tags.MAX_RUNTIME: seconds}, MARCH, START)
    assert options.deadline == START + timedelta(seconds=kept)


def test_a_runtime_that_is_no_number_is_refused() -> None:
    with pytest.raises(PipedriveConfigException, match="no number of seconds"):
        run_tags.deadline({run_tags.MAX_RUNTIME: "soon"}, START)


def test_the_partitions_of_a_run_are_read_from_either_kind_of_tag() -> None:
    span = KeyRange("2025-01", "2025-04")
    assert run_tags.range_of(run_tags.range_tags(span)) == span
    assert run_tags.range_of({run_tags.PARTITION: "2025-02"}) == KeyRange("2025-02", "2025-02")
    assert run_tags.range_of({}) is None
