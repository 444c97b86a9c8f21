"""The forecast of the day: pure arithmetic, checked against spending token by token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.api.forecast import PlannedRun, burn_rate, forecast, runs_that_fit
from pipedrive_assets.api.lane_reserves import LaneReserves
from pipedrive_assets.settings_values import RESERVED_LANES
from pipedrive_assets.state.lanes import Lane

MIDNIGHT = datetime(2026, 5, 4, tzinfo=UTC)
RESET = MIDNIGHT + timedelta(days=1)
PERCENT = {"push": 5, "repair": 5, "incremental": 50}


def state_at(
    now: datetime, spent: int, *, budget: int = 30_000, percent: dict[str, int] = PERCENT, **values: Any
) -> BudgetState:
    hold_back = LaneReserves(percent, budget)
    remaining = max(0, budget - spent)
    left = (RESET - now).total_seconds()
    by_lane = {**dict.fromkeys(Lane, 0), Lane.BACKFILL: spent}
    return BudgetState(
        **{
            "budget": budget,
            "origin": "setting",
            "spent": spent,
            "reserved": 0,
            "remaining": remaining,
            "resets_at": RESET,
            "day": "2026-05-04",
            "by_lane": by_lane,
            "available": {lane: max(0, remaining - hold_back(lane, budget, left)) for lane in Lane},
            "reserves": {lane: hold_back.reserve(lane, budget) for lane in Lane},
            "exhausted": False,
            "enforced": True,
            **values,
        }
    )


moments = st.integers(0, 86_399).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))
shares = st.dictionaries(st.sampled_from(RESERVED_LANES), st.integers(0, 30))


def test_the_rate_is_that_of_the_last_hour_or_else_the_days_average() -> None:
    state = state_at(MIDNIGHT + timedelta(hours=6), 3000)
    measured = burn_rate(state, MIDNIGHT + timedelta(hours=6), 900)
    assert (measured.tokens_per_hour, measured.over) == (900, "last hour")
    average = burn_rate(state, MIDNIGHT + timedelta(hours=6), None)
    assert (average.tokens_per_hour, average.over) == (500, "today")


def test_what_others_spend_counts_too() -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    ours = {**dict.fromkeys(Lane, 0), Lane.INCREMENTAL: 1000}
    state = state_at(noon, 13_000, by_lane=ours)
    assert burn_rate(state, noon, 200).tokens_per_hour == 200 + 1000


def test_a_minute_past_midnight_one_request_is_no_trend() -> None:
    now = MIDNIGHT + timedelta(minutes=1)
    assert burn_rate(state_at(now, 20), now, None).tokens_per_hour == 20


def test_a_steady_day_is_carried_on_to_the_reset() -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    seen = forecast(state_at(noon, 6000), noon)
    assert seen.projected_spent == 12_000
    assert [lane.dry_at for lane in seen.lanes] == [None] * 4


def test_the_least_urgent_lane_runs_dry_first() -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    seen = forecast(state_at(noon, 12_000), noon, 4000)
    dry = [lane.dry_at for lane in seen.lanes]
    assert None not in dry
    assert dry == sorted(dry, key=lambda at: at or RESET, reverse=True)
    assert dry[0] == noon + timedelta(hours=18_000 / 4000)
    assert seen.projected_spent == 12_000 + 12 * 4000


@given(now=moments, share=st.floats(0, 1), rate=st.integers(0, 100_000), percent=shares)
def test_a_lane_is_dry_when_spending_second_by_second_would_have_emptied_it(
    now: datetime, share: float, rate: int, percent: dict[str, int]
) -> None:
    budget = 50_000
    state = state_at(now, round(budget * share), budget=budget, percent=percent)
    hold_back = LaneReserves(percent, budget)

    def left_at(moment: datetime, lane: Lane) -> float:
        free = state.remaining - rate * (moment - now).total_seconds() / 3600
        return free - hold_back(lane, budget, (RESET - moment).total_seconds())

    for lane in forecast(state, now, rate).lanes:
        assert lane.left == state.available[lane.lane]
        if lane.dry_at is None:
            assert left_at(RESET, lane.lane) >= -4
        elif lane.dry_at == now:
            assert lane.left == 0 or rate > 0
        else:
            assert now < lane.dry_at <= RESET
            # Reserves are whole tokens, one for each more urgent lane.
            assert abs(left_at(lane.dry_at, lane.lane)) <= 4


@given(now=moments, spent=st.integers(0, 40_000), rate=st.none() | st.integers(0, 10**6))
def test_no_forecast_lies_before_now_or_after_the_reset(now: datetime, spent: int, rate: int | None) -> None:
    seen = forecast(state_at(now, spent), now, rate)
    assert seen.projected_spent >= spent
    for lane in seen.lanes:
        assert lane.dry_at is None or now <= lane.dry_at <= RESET
        assert lane.left >= 0


def test_when_nothing_is_left_every_lane_is_dry_now() -> None:
    now = MIDNIGHT + timedelta(hours=9)
    nothing = dict.fromkeys(Lane, 0)
    state = state_at(now, 5000, exhausted=True, available=nothing, remaining=0)
    assert {lane.dry_at for lane in forecast(state, now, 0).lanes} == {now}


# Planned runs ------------------------------------------------------------------------------------


def runs_every(minutes: int, tokens: int, start: datetime, until: datetime) -> list[PlannedRun]:
    count = int((until - start).total_seconds() // 60 // minutes)
    return [PlannedRun("core", start + timedelta(minutes=minutes * turn), tokens) for turn in range(count)]


def test_planned_runs_fit_until_they_have_used_up_what_is_left() -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    state = state_at(noon, 29_500, percent={})
    runs = runs_every(15, 110, noon, RESET)
    assert runs_that_fit(runs, state, Lane.INCREMENTAL) == [True] * 4 + [False] * 44


def test_a_run_after_the_reset_meets_a_new_budget() -> None:
    now = MIDNIGHT + timedelta(hours=23)
    state = state_at(now, 5_000, exhausted=True, remaining=0)
    tomorrow = [PlannedRun("daily", now, 10), PlannedRun("daily", RESET, 27_000)]
    assert runs_that_fit(tomorrow, state, Lane.INCREMENTAL) == [False, True]
    # Of the new day a tenth is kept for pushes and repairs when it begins.
    assert runs_that_fit([PlannedRun("daily", RESET, 27_001)], state, Lane.INCREMENTAL) == [False]
    assert runs_that_fit([PlannedRun("daily", RESET, 27_001)], state, Lane.PUSH) == [True]


@given(
    now=moments,
    spent=st.integers(0, 30_000),
    tokens=st.integers(1, 2000),
    minutes=st.sampled_from([15, 60, 240]),
)
def test_runs_that_fit_never_cost_more_than_the_day_has(
    now: datetime, spent: int, tokens: int, minutes: int
) -> None:
    assume(now < RESET - timedelta(hours=1))
    state = state_at(now, spent)
    runs = runs_every(minutes, tokens, now, RESET)
    for lane in Lane:
        assert sum(runs_that_fit(runs, state, lane)) * tokens <= state.remaining
