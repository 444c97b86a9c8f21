"""Partitions: windows, keys and coverage agree with each other and with Dagster."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.defs.partitions import Calendar, Granularity, KeyRange, Window
from pipedrive_assets.warehouse.intervals import IntervalSet

NOW = datetime(2026, 11, 23, 19, 30, tzinfo=UTC)
MONTHS = Calendar(Granularity.MONTHLY, date(2024, 1, 1))

calendars = st.builds(
    Calendar,
    granularity=st.sampled_from(Granularity),
    start_date=st.dates(date(2019, 1, 1), date(2025, 1, 1)),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moments_between(first: datetime, last: datetime) -> st.SearchStrategy[datetime]:
    seconds = st.integers(int(first.timestamp()), int(last.timestamp()))
    return seconds.map(lambda second: EPOCH + timedelta(seconds=second))


moments = moments_between(datetime(2025, 2, 2, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_a_key_names_the_year_and_month_the_iso_week_or_the_day() -> None:
    moment = datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
    keys = [Calendar(granularity, date(2024, 1, 1)).key_of(moment) for granularity in Granularity]
    assert keys == ["2024-12", "2025-W01-1", "2024-12-31"]


def test_a_past_partition_has_its_own_bounds() -> None:
    assert MONTHS.window_of(["2025-03"], NOW) == Window(
        datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    )


def test_the_first_partition_is_open_to_the_past() -> None:
    assert MONTHS.window_of(["2024-01"], NOW) == Window(None, datetime(2024, 2, 1, tzinfo=UTC))


def test_the_running_partition_is_open_to_the_future() -> None:
    assert MONTHS.window_of(["2026-11"], NOW) == Window(datetime(2026, 11, 1, tzinfo=UTC), None)


def test_all_partitions_together_are_everything() -> None:
    assert MONTHS.window_of(MONTHS.keys(NOW), NOW) == Window(None, None)


def test_a_start_date_in_mid_period_belongs_to_the_first_partition() -> None:
    calendar = Calendar(Granularity.MONTHLY, date(2024, 1, 15))
    assert calendar.keys(NOW)[0] == "2024-01"
    assert calendar.definition().get_first_partition_key() == "2024-01"


def test_a_key_of_another_granularity_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-W01-1"):
        MONTHS.start_of("2024-W01-1")


@given(calendars, moments)
def test_keys_are_those_of_the_dagster_definition(calendar: Calendar, now: datetime) -> None:
    assert list(calendar.definition().get_partition_keys(current_time=now)) == calendar.keys(now)


@given(calendars, moments, st.data())
def test_windows_of_neighbouring_partitions_touch(
    calendar: Calendar, now: datetime, data: st.DataObject
) -> None:
    keys = calendar.keys(now)
    split = data.draw(st.integers(1, len(keys) - 1))
    left, right = calendar.window_of(keys[:split], now), calendar.window_of(keys[split:], now)
    assert left.until == right.since
    assert (left.since, right.until) == (None, None)


@given(calendars, moments)
def test_a_moment_lies_in_the_window_of_its_key(calendar: Calendar, moment: datetime) -> None:
    window = calendar.window_of([calendar.key_of(moment)], moment + timedelta(days=400))
    assert window.until is not None
    assert (window.since is None or window.since <= moment) and moment < window.until


@given(calendars, moments, st.integers(0, 900))
def test_the_range_from_a_moment_ends_with_the_running_partition(
    calendar: Calendar, now: datetime, days: int
) -> None:
    watermark = now - timedelta(days=days)
    span = calendar.range_from(watermark, now)
    keys = calendar.keys_between(span)
    assert keys == calendar.keys(now)[-len(keys) :]
    assert calendar.key_of(max(watermark, calendar.first_start)) == keys[0]


def test_without_a_watermark_the_range_begins_with_the_first_partition() -> None:
    assert MONTHS.range_from(None, NOW) == KeyRange("2024-01", "2026-11")


def test_a_watermark_ahead_of_the_clock_still_gives_the_running_partition() -> None:
    assert MONTHS.range_from(NOW + timedelta(days=40), NOW) == KeyRange("2026-11", "2026-11")


@given(calendars, moments, st.data())
def test_only_wholly_covered_partitions_count_as_covered(
    calendar: Calendar, now: datetime, data: st.DataObject
) -> None:
    keys = calendar.keys(now)
    watermark = data.draw(moments_between(datetime(2018, 1, 1, tzinfo=UTC), now))
    covered = calendar.partitions_covered(IntervalSet.of(None, watermark), keys, now)
    assert covered == [key for key in keys if calendar.next_start(calendar.start_of(key)) <= watermark]


def test_the_running_partition_is_never_covered() -> None:
    assert MONTHS.partitions_covered(IntervalSet.of(None, NOW), ["2026-10", "2026-11"], NOW) == ["2026-10"]


def test_the_first_partition_needs_the_whole_past() -> None:
    held = IntervalSet.of(datetime(1900, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    assert MONTHS.partitions_covered(held, ["2024-01", "2024-02"], NOW) == ["2024-02"]


def test_a_partition_finished_over_two_runs_counts_for_the_second() -> None:
    start, middle, end = (datetime(2025, 3, day, tzinfo=UTC) for day in (1, 10, 20))
    earlier = IntervalSet.of(start, middle)
    own = IntervalSet.of(middle, datetime(2025, 4, 1, tzinfo=UTC))
    assert MONTHS.finished_by(own, earlier, ["2025-02", "2025-03"], NOW) == ["2025-03"]
    assert MONTHS.finished_by(own, IntervalSet(), ["2025-03"], NOW) == []
    assert MONTHS.finished_by(IntervalSet.of(middle, end), earlier, ["2025-03"], NOW) == []


def test_a_partition_the_run_did_not_touch_is_not_its_work() -> None:
    earlier = IntervalSet.of(None, datetime(2025, 4, 1, tzinfo=UTC))
    assert MONTHS.finished_by(IntervalSet(), earlier, ["2025-03"], NOW) == []
