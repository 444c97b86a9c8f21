from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import CATALOG, spec
from pipedrive_assets.catalog.spec import Stream
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.plan import BEGINNING, OPEN_END, Order, missing, plan_stream
from pipedrive_assets.warehouse.intervals import Interval, IntervalSet

DAY = timedelta(days=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def stream(entity: str, name: str = "live") -> Stream:
    return next(each for each in spec(entity).streams if each.name == name)


def day(number: int) -> datetime:
    return NEW_YEAR + number * DAY


def test_a_never_synced_entity_is_read_whole_and_unfiltered() -> None:
    (scan,) = plan_stream(stream("deals"), SyncOptions(), IntervalSet())
    assert (scan.since, scan.until, scan.order) == (None, None, Order.UPDATE_ASC)
    assert not {"updated_since", "updated_until"} & {name for name, _ in scan.params}


def test_an_incremental_run_starts_where_the_coverage_ends() -> None:
    (scan,) = plan_stream(stream("deals"), SyncOptions(), IntervalSet.of(None, day(3)))
    assert dict(scan.params)["updated_since"] == "2026-01-04T00:00:00Z"
    assert "updated_until" not in dict(scan.params)


def test_gaps_are_filled_newest_first() -> None:
    covered = IntervalSet([Interval(None, day(1)), Interval(day(2), day(3))])
    scans = plan_stream(stream("persons"), SyncOptions(), covered)
    assert [(scan.since, scan.until) for scan in scans] == [(day(3), None), (day(1), day(2))]


def test_a_past_partition_is_asked_with_its_own_bounds_even_if_covered() -> None:
    options = SyncOptions(mode=SyncMode.WINDOW, since=day(0), until=day(31))
    (scan,) = plan_stream(stream("activities"), options, IntervalSet.of(None, day(300)))
    params = dict(scan.params)
    assert (params["updated_since"], params["updated_until"]) == (
        "2026-01-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
    )


def test_the_first_partition_is_unfiltered_so_that_records_without_a_time_are_seen() -> None:
    options = SyncOptions(mode=SyncMode.WINDOW, until=day(31))
    (scan,) = plan_stream(stream("deals"), options, IntervalSet())
    assert not {"updated_since", "updated_until"} & {name for name, _ in scan.params}
    assert scan.stops_at_until


def test_an_interrupted_first_scan_leaves_the_beginning_to_be_proven() -> None:
    scans = plan_stream(stream("deals"), SyncOptions(since=day(5)), IntervalSet.of(BEGINNING, day(9)))
    assert [(scan.since, scan.until) for scan in scans] == [(day(9), None), (None, BEGINNING)]


def test_products_have_no_upper_filter_and_are_stopped_by_the_client() -> None:
    options = SyncOptions(mode=SyncMode.WINDOW, since=day(0), until=day(1))
    (scan,) = plan_stream(stream("products"), options, IntervalSet())
    assert "updated_until" not in dict(scan.params)
    assert scan.stops_at_until


@pytest.mark.parametrize("entity", ["notes", "leads"])
def test_offset_lists_are_walked_by_id_never_by_update_time(entity: str) -> None:
    for covered in (IntervalSet(), IntervalSet.of(None, day(1))):
        (scan,) = plan_stream(stream(entity), SyncOptions(), covered)
        assert dict(scan.params)["sort"] == "id ASC"


def test_lists_that_cannot_be_cut_off_above_are_scanned_once_for_all_gaps() -> None:
    covered = IntervalSet([Interval(None, day(1)), Interval(day(2), day(3))])
    (scan,) = plan_stream(stream("notes"), SyncOptions(), covered)
    assert (scan.since, scan.until) == (day(1), None)


def test_files_are_read_from_the_newest_down_once_they_have_been_read_whole() -> None:
    (first,) = plan_stream(stream("files"), SyncOptions(), IntervalSet())
    (second,) = plan_stream(stream("files"), SyncOptions(), IntervalSet.of(None, day(1)))
    assert dict(first.params)["sort"] == "id ASC"
    assert dict(second.params)["sort"] == "update_time DESC"


def test_a_covered_window_costs_nothing() -> None:
    assert plan_stream(stream("deals"), SyncOptions(until=day(2)), IntervalSet.of(None, day(3))) == []


def test_who_reads_a_window_again_need_not_read_what_the_runs_it_resumes_have() -> None:
    options = SyncOptions(mode=SyncMode.WINDOW, since=day(0), until=day(31), resumes=("a-run",))
    everything = IntervalSet.of(None, day(300))
    (scan,) = plan_stream(stream("deals"), options, everything, IntervalSet.of(day(0), day(9)))
    assert (scan.since, scan.until) == (day(9), day(31))


@pytest.mark.parametrize(("covered_to", "read"), [(30, True), (31, False)])
def test_a_whole_list_that_a_resumed_run_has_read_is_not_read_again(covered_to: int, read: bool) -> None:
    options = SyncOptions(mode=SyncMode.WINDOW, until=day(31), resumes=("a-run",))
    covered = IntervalSet.of(None, day(covered_to))
    assert bool(plan_stream(stream("tasks"), options, covered, covered)) is read


intervals = st.lists(
    st.tuples(st.none() | st.integers(0, 40), st.integers(1, 40)).filter(
        lambda t: t[0] is None or t[0] < t[1]
    ),
    max_size=5,
)


@given(intervals, st.none() | st.integers(0, 40), st.none() | st.integers(41, 60))
def test_plan_and_coverage_together_always_hold_the_window(
    held: list[tuple[int | None, int]], since: int | None, until: int | None
) -> None:
    covered = IntervalSet(Interval(None if a is None else day(a), day(b)) for a, b in held)
    options = SyncOptions(
        since=None if since is None else day(since), until=None if until is None else day(until)
    )
    for entity in CATALOG.values():
        for each in entity.streams:
            planned = covered
            for scan in plan_stream(each, options, covered):
                end = OPEN_END if scan.reads_to_now or scan.until is None else scan.until
                planned |= IntervalSet.of(scan.since, end)
            assert planned.contains(options.since, options.until or OPEN_END)


@given(intervals, st.none() | st.integers(0, 40), st.sampled_from([SyncMode.WINDOW, SyncMode.INCREMENTAL]))
def test_a_resumed_run_reads_the_rest_and_no_more(
    held: list[tuple[int | None, int]], since: int | None, mode: SyncMode
) -> None:
    resumed = IntervalSet(Interval(None if a is None else day(a), day(b)) for a, b in held)
    options = SyncOptions(mode=mode, since=None if since is None else day(since), until=day(50))
    windows = list(missing(options, resumed, resumed))
    together = resumed
    for start, end in windows:
        assert end is not None
        assert not (IntervalSet.of(start, end) & resumed)
        together |= IntervalSet.of(start, end)
    assert together.contains(options.since, options.until)
