"""Interval sets, held against sets of single minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.warehouse.intervals import Interval, IntervalSet

MINUTES = 24
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def minute(number: int) -> datetime | None:
    """Minute 0 stands for minus infinity."""
    return None if number == 0 else EPOCH + timedelta(minutes=number)


def moments(intervals: IntervalSet) -> set[int]:
    """The minutes of a set, minus infinity being minute 0."""
    return {
        number
        for number in range(MINUTES + 1)
        if (EPOCH + timedelta(minutes=number) if number else datetime.min.replace(tzinfo=UTC)) in intervals
    }


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    start = draw(st.integers(0, MINUTES - 1))
    end = minute(draw(st.integers(start + 1, MINUTES)))
    assert end is not None
    return Interval(minute(start), end)


interval_sets = st.builds(IntervalSet, st.lists(intervals(), max_size=6))


@given(interval_sets, interval_sets)
def test_operations_agree_with_sets_of_moments(left: IntervalSet, right: IntervalSet) -> None:
    assert moments(left | right) == moments(left) | moments(right)
    assert moments(left - right) == moments(left) - moments(right)
    assert moments(left & right) == moments(left) & moments(right)


@given(interval_sets)
def test_intervals_are_ordered_disjoint_and_do_not_touch(some: IntervalSet) -> None:
    kept = list(some)
    assert all(before.end < after.floor for before, after in pairwise(kept))


@given(interval_sets, interval_sets)
def test_equal_moments_make_equal_sets(left: IntervalSet, right: IntervalSet) -> None:
    assert (left == right) == (moments(left) == moments(right))
    assert (left - right) | (left & right) == left
    assert hash(left | right) == hash(right | left)


@given(interval_sets, intervals())
def test_contains_means_that_nothing_is_left_to_fetch(some: IntervalSet, asked: Interval) -> None:
    wanted = IntervalSet((asked,))
    assert some.contains(asked.start, asked.end) == (moments(wanted) <= moments(some))
    assert (some | wanted).contains(asked.start, asked.end)


@given(interval_sets)
def test_watermark_is_the_end_of_what_begins_at_minus_infinity(some: IntervalSet) -> None:
    if 0 in moments(some):
        assert some.watermark is not None
        assert some.contains(None, some.watermark)
        assert some.watermark not in some
    else:
        assert some.watermark is None


@given(interval_sets)
def test_head_is_the_newest_moment_that_is_covered(some: IntervalSet) -> None:
    if some.head is None:
        assert not some
    else:
        assert some.head - timedelta(microseconds=1) in some
        assert not IntervalSet.of(some.head, some.head + timedelta(days=9)) & some


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Interval(EPOCH, EPOCH)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Interval(None, datetime(2025, 1, 1))


def test_a_set_of_nothing_is_empty() -> None:
    assert not IntervalSet.of(EPOCH, EPOCH)
    assert len(IntervalSet()) == 0
    assert IntervalSet().contains(EPOCH, EPOCH)


def test_repr_is_readable() -> None:
    assert repr(IntervalSet.of(None, EPOCH)) == "IntervalSet([-inf, 2025-01-01T00:00:00+00:00))"
    assert repr(IntervalSet.of(EPOCH, EPOCH + timedelta(days=1))).startswith("IntervalSet([2025-01-01T")
