"""The server's time is known from its answers, and never guessed ahead of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.server_clock import ServerClock
from pipedrive_assets_tests.clocks import ManualClock

trips = st.lists(st.tuples(st.floats(0, 500), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=20)


def whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


@given(offset=st.floats(-7200, 7200), trips=trips)
def test_the_estimate_is_never_ahead_of_the_server_nor_more_behind_than_a_trip_and_a_second(
    offset: float, trips: list[tuple[float, float, float]]
) -> None:
    clock = ManualClock()
    estimate = ServerClock(clock)

    def true_time() -> datetime:
        return datetime.fromtimestamp(clock.time() + offset, UTC)

    for pause, way_there, way_back in trips:
        clock.advance(pause)
        sent = clock.monotonic()
        truth_when_sent = true_time()
        clock.advance(way_there)
        date = whole_seconds(true_time())
        clock.advance(way_back)
        estimate.observe(date, sent=sent, received=clock.monotonic())
        told = estimate.at(sent)
        rounding = timedelta(milliseconds=1)
        assert told <= truth_when_sent + rounding
        assert told >= truth_when_sent - timedelta(seconds=1 + way_there + way_back) - rounding


def test_before_any_answer_the_clients_clock_must_do() -> None:
    clock = ManualClock(now=1_790_000_000.0)
    assert ServerClock(clock).at(clock.monotonic() + 5) == datetime.fromtimestamp(1_790_000_005, UTC)


def test_a_server_clock_that_was_set_is_followed_both_ways() -> None:
    clock = ManualClock()
    estimate = ServerClock(clock)
    for hours in (0, 30, -30):
        date = whole_seconds(datetime.fromtimestamp(clock.time(), UTC) + timedelta(hours=hours))
        estimate.observe(date, sent=clock.monotonic(), received=clock.monotonic())
        assert estimate.at(clock.monotonic()) == date
