"""What lanes leave to each other, whatever the shares, the budget and the time of day."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipedrive_assets.api.lane_reserves import SECONDS_PER_DAY, LaneReserves
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.exceptions import PipedriveConfigException, PipedriveRateLimitException
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.settings_values import RESERVED_LANES
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

DEALS = "v2:/deals"
MIDNIGHT = datetime(2026, 5, 4, tzinfo=UTC).timestamp()
DEFAULT = LaneReserves(PipedriveSettings().lane_reserves, schedules_per_day=10_560)

shares = st.dictionaries(st.sampled_from(RESERVED_LANES), st.integers(0, 100)).filter(
    lambda given: sum(given.values()) <= 90
)
reserves = st.builds(LaneReserves, shares, st.integers(0, 2_000_000))
budgets = st.integers(0, 10_000_000)
seconds = st.floats(0, SECONDS_PER_DAY)


@given(reserves, budgets, seconds)
def test_what_is_held_back_grows_from_lane_to_lane_and_leaves_a_tenth_of_the_budget(
    hold_back: LaneReserves, budget: int, left: float
) -> None:
    held = [hold_back(lane, budget, left) for lane in Lane]
    assert held[0] == 0, "nothing is more urgent than a push"
    assert held == sorted(held)
    assert 10 * held[-1] <= 9 * budget


@given(reserves, budgets, seconds)
def test_no_lane_is_held_by_the_share_of_a_lesser_one(
    hold_back: LaneReserves, budget: int, left: float
) -> None:
    for place, lane in enumerate(Lane):
        urgent = {other.value: hold_back.percent.get(other.value, 0) for other in list(Lane)[:place]}
        alone = LaneReserves(urgent, hold_back.schedules_per_day)
        assert alone(lane, budget, left) == hold_back(lane, budget, left)


@given(reserves, budgets, seconds, seconds)
def test_reserves_melt_away_until_midnight(
    hold_back: LaneReserves, budget: int, one: float, other: float
) -> None:
    later, earlier = sorted((one, other))
    for lane in Lane:
        assert hold_back(lane, budget, later) <= hold_back(lane, budget, earlier)
        assert hold_back(lane, budget, 0.0) == 0


def test_by_default_a_backfill_leaves_a_tenth_and_what_the_core_schedule_costs() -> None:
    assert [DEFAULT(lane, 210_000, SECONDS_PER_DAY) for lane in Lane] == [0, 10_500, 21_000, 31_560]
    assert DEFAULT(Lane.BACKFILL, 210_000, SECONDS_PER_DAY / 4) == 31_560 // 4


def test_where_the_core_schedule_costs_more_than_its_share_the_share_holds() -> None:
    assert DEFAULT.reserve(Lane.INCREMENTAL, 10_000) == 5_000


def test_a_day_that_seems_longer_than_a_day_keeps_no_more_than_a_day_needs() -> None:
    assert DEFAULT(Lane.BACKFILL, 10_000, 2 * SECONDS_PER_DAY) == DEFAULT(Lane.BACKFILL, 10_000, 86_400)


# The setting -------------------------------------------------------------------------------------


def test_every_lane_but_the_last_can_have_a_reserve() -> None:
    assert [*RESERVED_LANES, Lane.BACKFILL.value] == list(Lane)


@pytest.mark.parametrize(
    "value",
    [
        '{"backfill": 5}',
        '{"pushes": 5}',
        '{"push": -1}',
        '{"push": 101}',
        '{"push": 1.5}',
        '{"push": 45, "repair": 46}',
        "[5, 5]",
        "push=5",
    ],
)
def test_a_wrong_reserve_is_one_line_that_says_what_is_allowed(value: str) -> None:
    with pytest.raises(PipedriveConfigException) as caught:
        load_settings({"PIPEDRIVE_LANE_RESERVES": value})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"PIPEDRIVE_LANE_RESERVES={value}: must ")
    assert "push" in line


@pytest.mark.parametrize(
    ("lane_reserves", "left_to_backfill"),
    [({"push": 5, "repair": 5, "incremental": 50}, 400), ({"push": 20}, 800), ({}, 1000)],
)
def test_lane_reserves_are_what_a_backfill_must_leave(
    tmp_path: Path, lane_reserves: dict[str, int], left_to_backfill: int
) -> None:
    clock = ManualClock(MIDNIGHT)
    values = PipedriveSettings(daily_token_budget=1000, lane_reserves=lane_reserves)
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = manager_of(store, values, clock)
        assert manager.budget().available[Lane.BACKFILL] == left_to_backfill
        manager.acquire(left_to_backfill, DEALS, Lane.BACKFILL)
        with pytest.raises(PipedriveRateLimitException):
            manager.acquire(1, DEALS, Lane.BACKFILL)
        manager.acquire(1000 - left_to_backfill or 0, DEALS, Lane.PUSH)


# Spending ----------------------------------------------------------------------------------------


def manager_of(
    store: StateStore, values: PipedriveSettings, clock: ManualClock, schedules: int = 10**9
) -> PipedriveRateLimitManager:
    hold_back = LaneReserves(values.lane_reserves, schedules)
    return PipedriveRateLimitManager(
        store, values, clock=clock, token_key="k", account="7", hold_back=hold_back
    )


wishes = st.tuples(
    st.sampled_from(list(Lane)), st.integers(1, 60), st.sampled_from([0.0, 0.0, 60.0, 7200.0]), st.booleans()
)


@settings(max_examples=30)
@given(percent=shares, budget=st.integers(1, 400), asked=st.lists(wishes, min_size=10, max_size=30))
def test_lanes_together_keep_the_budget_and_get_exactly_what_is_available_to_them(
    percent: dict[str, int], budget: int, asked: list[tuple[Lane, int, float, bool]]
) -> None:
    clock = ManualClock(MIDNIGHT)
    values = PipedriveSettings(daily_token_budget=budget, lane_reserves=percent)
    with (
        TemporaryDirectory() as folder,
        StateStore.open(f"sqlite:///{folder}/state.db", clock=clock) as store,
    ):
        manager = manager_of(store, values, clock)
        for lane, tokens, pause, settles in asked:
            clock.advance(pause)
            before = manager.budget()
            left = [before.available[each] for each in Lane]
            assert left == sorted(left, reverse=True), "the more urgent, the more"
            try:
                permit = manager.acquire(tokens, DEALS, lane)
            except PipedriveRateLimitException:
                assert tokens > before.available[lane]
            else:
                assert tokens <= before.available[lane]
                if settles:
                    manager.settle(permit, charged=tokens)
            after = manager.budget()
            assert sum(after.by_lane.values()) + after.reserved <= budget
            assert after.spent == sum(after.by_lane.values())


def test_a_lane_that_ran_dry_says_for_whom_the_rest_is_kept(tmp_path: Path) -> None:
    clock = ManualClock(MIDNIGHT)
    values = PipedriveSettings(daily_token_budget=1000)
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = manager_of(store, values, clock)
        with pytest.raises(PipedriveRateLimitException) as caught:
            manager.acquire(401, DEALS, Lane.BACKFILL)
    assert "(400 for lane backfill on 2026-05-04)" in str(caught.value)
    assert "600 kept for more urgent lanes" in str(caught.value)


def test_midnight_fills_every_lane_and_its_reserve_again(tmp_path: Path) -> None:
    clock = ManualClock(MIDNIGHT + SECONDS_PER_DAY - 60)
    values = PipedriveSettings(daily_token_budget=1000)
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = manager_of(store, values, clock)
        # A minute before the reset nothing is worth keeping any more.
        manager.settle(manager.acquire(1000, DEALS, Lane.BACKFILL), charged=1000)
        assert set(manager.budget().available.values()) == {0}
        clock.advance(60)
        morning = manager.budget()
        assert morning.spent == 0
        assert [morning.available[lane] for lane in Lane] == [1000, 950, 900, 400]
        assert list(morning.reserves.values()) == [50, 50, 500, 0]


def test_a_limit_that_the_account_named_below_the_setting_is_what_is_shared_out(tmp_path: Path) -> None:
    clock = ManualClock(MIDNIGHT)
    values = PipedriveSettings(daily_token_budget=100_000)
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = manager_of(store, values, clock)
        headers = {
            "x-daily-ratelimit-token-limit": "1000",
            "x-daily-ratelimit-token-remaining": "990",
        }
        manager.settle(manager.acquire(10, DEALS, Lane.BACKFILL), charged=10, headers=headers)
        state = manager.budget()
    assert (state.budget, state.origin) == (1000, "header")
    assert state.available[Lane.BACKFILL] == 390
