"""The rate-limit manager: when requests leave, what they may cost, what the answers teach."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipedrive_assets.api.lane_reserves import LaneReserves
from pipedrive_assets.api.limit_policy import LimitHeaders, is_search
from pipedrive_assets.api.rate_limit import Permit, PipedriveRateLimitManager
from pipedrive_assets.api.round_trips import Trip
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveRateLimitException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.state.window import OTHERS_EXPECTED_SECONDS
from pipedrive_assets_tests.clocks import ManualClock

DEALS = "v2:/deals"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
Build = Callable[..., PipedriveRateLimitManager]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON.timestamp())


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as opened:
        yield opened


@pytest.fixture
def manager_for(store: StateStore, clock: ManualClock) -> Build:
    def build(token_key: str = "k", account: str | None = "7", **values: Any) -> PipedriveRateLimitManager:
        hold_back = values.pop("hold_back", None)
        optional = {} if hold_back is None else {"hold_back": hold_back}
        return PipedriveRateLimitManager(
            store, PipedriveSettings(**values), clock=clock, token_key=token_key, account=account, **optional
        )

    return build


def acquire(manager: PipedriveRateLimitManager, cost: int = 10, endpoint: str = DEALS) -> Permit:
    return manager.acquire(cost, endpoint, Lane.BACKFILL)


def send(manager: PipedriveRateLimitManager, cost: int = 10, **headers: str) -> Permit:
    permit = acquire(manager, cost)
    manager.settle(
        permit, charged=cost, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return permit


def most_in_any_window(times: list[float], seconds: float = 2.0) -> int:
    ordered = sorted(times)
    return max(sum(1 for other in ordered if start <= other < start + seconds) for start in ordered)


# The burst window --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "limit"), [(None, 20), ("lite", 20), ("growth", 40), ("premium", 100), ("ultimate", 120)]
)
def test_the_plans_burst_limit_is_kept(
    manager_for: Build, clock: ManualClock, plan: str | None, limit: int
) -> None:
    manager = manager_for(plan=plan, daily_token_budget=100_000)
    times = []
    for _ in range(limit * 2 + 1):
        acquire(manager, 1)
        times.append(clock.time())
    assert most_in_any_window(times) == limit
    assert times[limit] - times[0] == pytest.approx(2.1)


def test_the_margin_is_a_setting(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for(burst_margin_ms=500)
    started = clock.time()
    for _ in range(21):
        acquire(manager, 1)
    assert clock.time() - started == pytest.approx(2.5)


def test_the_limit_of_the_header_replaces_the_plans(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for(plan="ultimate")
    send(manager, 1, x_ratelimit_limit="5")
    times = []
    for _ in range(15):
        send(manager_for(plan="ultimate"), 1)
        times.append(clock.time())
    assert most_in_any_window(times) == 5


def test_searches_have_a_window_of_their_own_and_count_in_the_general_one(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for(plan="growth", daily_token_budget=100_000)
    searches, all_times = [], []
    for _ in range(25):
        acquire(manager, 20, "v2:/deals/search")
        searches.append(clock.time())
        all_times.append(clock.time())
        acquire(manager, 10)
        all_times.append(clock.time())
    assert most_in_any_window(searches) == 10
    assert most_in_any_window(all_times) <= 40


@pytest.mark.parametrize(
    ("path", "search"),
    [
        ("v2:/deals/search", True),
        ("v2:/itemSearch", True),
        ("v2:/itemSearch/field", True),
        ("v1:/users/find", True),
        ("v1:/leads/search?term=x", True),
        ("v2:/deals", False),
        ("v1:/goals/find", False),
        ("v1:/search/x", False),
    ],
)
def test_searches_are_known_by_their_path(path: str, search: bool) -> None:
    assert is_search(path) is search


def test_windows_belong_to_tokens_and_budgets_to_accounts(manager_for: Build, clock: ManualClock) -> None:
    one, other = manager_for("one"), manager_for("other")
    for _ in range(20):
        acquire(one, 1)
        acquire(other, 1)
    assert clock.slept == []
    assert other.budget().reserved == 40


def test_others_with_the_same_token_make_us_hold_back(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for()
    send(manager, 1, x_ratelimit_limit="20", x_ratelimit_remaining="2")
    started = clock.time()
    for _ in range(2):
        acquire(manager, 1)
    assert clock.time() == started
    acquire(manager, 1)
    assert clock.time() - started == pytest.approx(2.1)


def test_a_remainder_that_our_own_requests_explain_changes_nothing(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    for place in range(20):
        send(manager, 1, x_ratelimit_limit="20", x_ratelimit_remaining=str(19 - place))
    assert clock.slept == []


def test_own_requests_are_no_strangers_however_late_their_answers_come(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    sent = clock.monotonic()
    permits = [acquire(manager, 1) for _ in range(10)]
    clock.advance(3)
    for place, permit in enumerate(permits):
        manager.settle(
            permit,
            charged=1,
            headers={"x-ratelimit-limit": "20", "x-ratelimit-remaining": str(19 - place)},
            trip=Trip(sent, clock.monotonic(), warm=True),
        )
    for _ in range(20):
        acquire(manager, 1)
    assert clock.slept == []


def test_an_answer_that_was_overtaken_counts_nobody_twice(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for()
    early = acquire(manager, 1)
    clock.advance(0.3)
    late = acquire(manager, 1)
    sent = clock.monotonic()
    for permit, remaining in ((late, 8), (early, 9)):
        manager.settle(
            permit,
            charged=1,
            headers={"x-ratelimit-limit": "20", "x-ratelimit-remaining": str(remaining)},
            trip=Trip(sent, sent, warm=True),
        )
    # Ours are two, theirs ten.
    for _ in range(8):
        acquire(manager, 1)
    assert clock.slept == []
    acquire(manager, 1)
    assert clock.slept


@pytest.mark.parametrize("direction", [1, -1])
def test_others_are_expected_for_a_while_and_then_less_and_less(
    manager_for: Build, store: StateStore, clock: ManualClock, direction: int
) -> None:
    # Backwards: the clock of this machine may be set back.
    send(manager_for(), 1, x_ratelimit_limit="20", x_ratelimit_remaining="3")
    expected = []
    for _ in range(7):
        expected.append(store.window("k").state().others)
        clock.advance(direction * OTHERS_EXPECTED_SECONDS)
    assert expected == [16, 8, 4, 2, 1, 0, 0]


def test_a_full_window_that_ours_do_not_explain_leaves_half_to_others(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    for _ in range(17):
        send(manager, 1, x_ratelimit_limit="20")
    send(manager, 1, x_ratelimit_limit="20", x_ratelimit_remaining="0")
    clock.advance(2.5)
    for _ in range(10):
        acquire(manager, 1)
    assert clock.slept == []
    acquire(manager, 1)
    assert clock.slept


def test_each_round_of_refusals_leaves_a_tenth_more_to_others_up_to_half(
    manager_for: Build, store: StateStore, clock: ManualClock
) -> None:
    manager = manager_for()
    expected = []
    for _ in range(7):
        # Three that were under way together are refused: one round.
        for _ in range(3):
            manager.penalize(1)
        expected.append(store.window("k").state().others)
        clock.advance(1.5)
    assert expected == [2, 4, 6, 8, 10, 10, 10]


@given(
    bursts=st.lists(
        st.tuples(
            st.floats(0, 2.5),
            st.lists(st.tuples(st.floats(0, 0.05), st.floats(0, 0.4)), min_size=1, max_size=8),
            st.randoms(use_true_random=False),
        ),
        max_size=25,
    )
)
def test_our_own_requests_are_never_taken_for_those_of_others(
    bursts: list[tuple[float, list[tuple[float, float]], Random]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    clock = ManualClock(NOON.timestamp())
    path = tmp_path_factory.mktemp("window") / "state.db"
    with StateStore.open(f"sqlite:///{path}", clock=clock) as store:
        manager = PipedriveRateLimitManager(store, PipedriveSettings(), clock=clock, token_key="k")
        arrivals: list[float] = []
        for pause, requests, random in bursts:
            clock.advance(pause)
            flying = []
            for way, answering in requests:
                permit = acquire(manager, 1)
                arrivals.append(clock.time() + way)
                flying.append((permit, clock.monotonic(), arrivals[-1], answering))
            # Answers overtake each other, and each says what the server had counted when it arrived.
            random.shuffle(flying)
            clock.advance(0.05)
            for permit, sent, arrived, answering in flying:
                clock.advance(answering)
                counted = sum(arrived - 2.0 < other <= arrived for other in arrivals)
                assert counted <= 20
                manager.settle(
                    permit,
                    charged=1,
                    headers={"x-ratelimit-limit": "20", "x-ratelimit-remaining": str(20 - counted)},
                    trip=Trip(sent, clock.monotonic(), warm=True),
                )
            assert store.window("k").state().others == 0


@pytest.mark.parametrize(
    ("seconds", "warm", "wait"), [(0.5, False, 2.55), (0.5, True, 2.1), (0.04, False, 2.1)]
)
def test_a_slot_counts_from_when_its_request_may_have_arrived(
    manager_for: Build, clock: ManualClock, seconds: float, warm: bool, wait: float
) -> None:
    manager = manager_for()
    started = clock.time()
    permits = [acquire(manager, 1) for _ in range(20)]
    sent = clock.monotonic()
    clock.advance(seconds)
    for permit in permits:
        manager.settle(permit, charged=1, trip=Trip(sent, clock.monotonic(), warm=warm))
    acquire(manager, 1)
    assert clock.time() - started == pytest.approx(wait)


def test_an_unanswered_request_keeps_its_place_while_it_may_still_arrive(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    acquire(manager, 1)
    clock.advance(2.5)
    for _ in range(19):
        send(manager, 1)
    assert clock.slept == []
    send(manager, 1)
    assert len(clock.slept) == 1


def test_a_sleeper_leaves_later_when_earlier_requests_turn_out_to_have_arrived_late(tmp_path: Path) -> None:
    class LateNews(ManualClock):
        """While the sleeper sleeps, the first answers come: a second after they were due."""

        def sleep(self, seconds: float) -> None:
            if seconds > 0 and not self.slept:
                self.advance(1)
                for permit in permits:
                    manager.settle(permit, charged=1, trip=Trip(sent, self.monotonic(), warm=False))
                seconds -= 1
            super().sleep(seconds)

    clock = LateNews(NOON.timestamp())
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = PipedriveRateLimitManager(store, PipedriveSettings(), clock=clock, token_key="k")
        sent, started = clock.monotonic(), clock.time()
        permits = [acquire(manager, 1) for _ in range(20)]
        acquire(manager, 1)
    assert clock.time() - started == pytest.approx(3.05)


def test_a_penalty_holds_for_everybody_with_the_token(manager_for: Build, clock: ManualClock) -> None:
    manager_for().penalize(7)
    manager_for().penalize(3)
    started = clock.time()
    acquire(manager_for(), 1)
    assert clock.time() - started == pytest.approx(7)


def test_a_penalty_is_as_long_as_the_server_asks_up_to_a_day(manager_for: Build, clock: ManualClock) -> None:
    for asked, waited in ((7200, 7200), (86_400, 86_400), (10 * 86_400, 86_400)):
        manager_for().penalize(asked)
        started = clock.time()
        acquire(manager_for(), 1)
        assert clock.time() - started == pytest.approx(waited)


def test_a_penalty_of_a_day_holds_although_the_clock_is_set_a_little(
    manager_for: Build, clock: ManualClock
) -> None:
    manager_for().penalize(86_400)
    clock.advance(-30)
    started = clock.time()
    acquire(manager_for(), 1)
    assert clock.time() - started == pytest.approx(86_430)


def test_a_penalty_that_comes_during_the_sleep_postpones_the_slot(tmp_path: Path) -> None:
    class PenalizedSleep(ManualClock):
        """While the sleeper sleeps, another process gets a 429."""

        def sleep(self, seconds: float) -> None:
            if seconds > 0 and not self.slept:
                manager.penalize(30)
            super().sleep(seconds)

    clock = PenalizedSleep(NOON.timestamp())
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = PipedriveRateLimitManager(store, PipedriveSettings(), clock=clock, token_key="k")
        started = clock.time()
        for _ in range(21):
            acquire(manager, 1)
    assert clock.time() - started == pytest.approx(30)


def test_a_day_that_ends_during_the_sleep_stops_the_sleeper(tmp_path: Path) -> None:
    class ExhaustedSleep(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if seconds > 0:
                exhausted = {"x-daily-ratelimit-token-remaining": "0"}
                manager.settle(permits[0], charged=0, headers=exhausted)

    clock = ExhaustedSleep(NOON.timestamp())
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        manager = PipedriveRateLimitManager(store, PipedriveSettings(), clock=clock, token_key="k")
        permits = [acquire(manager, 1) for _ in range(20)]
        with pytest.raises(PipedriveRateLimitException, match="no tokens are left"):
            acquire(manager, 1)
        assert manager.budget().reserved == 19


def test_a_slot_that_was_missed_is_booked_anew(store: StateStore, clock: ManualClock) -> None:
    oversleeps = itertools.chain([5.0], itertools.repeat(0.0))

    class HeavySleeper(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds + next(oversleeps) if seconds > 0 else 0)

    with TemporaryDirectory() as folder:
        sleeper = HeavySleeper(clock.time())
        with StateStore.open(f"sqlite:///{folder}/state.db", clock=sleeper) as own:
            manager = PipedriveRateLimitManager(own, PipedriveSettings(), clock=sleeper, token_key="k")
            permits = [acquire(manager, 1) for _ in range(21)]
            assert permits[-1].slot_at == sleeper.time()
            assert permits[-1].wait_seconds == pytest.approx(7.1)


def test_a_wall_clock_set_back_by_days_does_not_block_anybody(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for()
    for _ in range(30):
        acquire(manager, 1)
    manager.penalize(10)
    clock.advance(-2 * 86_400)
    started = clock.time()
    acquire(manager, 1)
    assert clock.time() - started < 3


def test_a_wall_clock_set_back_by_half_an_hour_does_not_block_anybody(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    for _ in range(30):
        send(manager, 1)
    clock.advance(-1800)
    started = clock.time()
    for _ in range(21):
        send(manager, 1)
    assert clock.time() - started == pytest.approx(2.1)


@settings(max_examples=25)
@given(
    limit=st.integers(1, 8),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 2.5]), min_size=5, max_size=40),
)
def test_no_window_ever_holds_more_than_its_limit(limit: int, pauses: list[float]) -> None:
    clock = ManualClock(NOON.timestamp())
    with (
        TemporaryDirectory() as folder,
        StateStore.open(f"sqlite:///{folder}/state.db", clock=clock) as store,
    ):
        manager = PipedriveRateLimitManager(
            store, PipedriveSettings(daily_token_budget=100_000), clock=clock, token_key="k"
        )
        store.window("k").learn_limit(limit)
        times = []
        for pause in pauses:
            clock.advance(pause)
            acquire(manager, 1)
            times.append(clock.time())
        assert most_in_any_window(times, 2.0999) <= limit


def test_threads_are_served_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    with StateStore.open(f"sqlite:///{tmp_path / 'real.db'}", clock=SystemClock()) as store:
        manager = PipedriveRateLimitManager(
            store, PipedriveSettings(burst_margin_ms=0), clock=SystemClock(), token_key="k"
        )
        slots: list[float] = []

        def work() -> None:
            for _ in range(3):
                permit = acquire(manager, 1)
                slots.append(permit.slot_at)
                manager.settle(permit, charged=1)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most_in_any_window(slots) <= 20
    assert len(slots) == 24


def test_a_slot_after_the_deadline_is_refused_without_spending(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for()
    for _ in range(20):
        acquire(manager, 1)
    with pytest.raises(PipedriveRateLimitException) as caught:
        manager.acquire(1, DEALS, Lane.BACKFILL, clock.monotonic() + 1)
    assert caught.value.kind == "burst"
    assert caught.value.retry_after == pytest.approx(2.1)
    assert manager.budget().reserved == 20
    assert clock.slept == []
    manager.acquire(1, DEALS, Lane.BACKFILL, clock.monotonic() + 3)


def test_a_wait_that_would_use_up_the_whole_call_is_refused(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for()
    manager.penalize(300)
    for left in (300.0, 300.01, 300.4):
        with pytest.raises(PipedriveRateLimitException):
            manager.acquire(1, DEALS, Lane.BACKFILL, clock.monotonic() + left)
    assert clock.slept == []
    manager.acquire(1, DEALS, Lane.BACKFILL, clock.monotonic() + 301)


def test_a_slot_that_is_free_now_is_taken_however_near_the_deadline(
    manager_for: Build, clock: ManualClock
) -> None:
    manager_for().acquire(1, DEALS, Lane.BACKFILL, clock.monotonic() + 0.1)


# The daily budget --------------------------------------------------------------------------------


def test_the_days_budget_refuses_and_says_when_it_resets(manager_for: Build) -> None:
    manager = manager_for(daily_token_budget=25)
    send(manager)
    send(manager)
    with pytest.raises(PipedriveRateLimitException) as caught:
        acquire(manager)
    assert caught.value.kind == "daily"
    assert not caught.value.retryable
    assert caught.value.resets_at == datetime(2026, 5, 5, tzinfo=UTC)
    assert manager.budget().remaining == 5
    acquire(manager, 5)


def test_a_budget_of_zero_refuses_everything(manager_for: Build) -> None:
    with pytest.raises(PipedriveRateLimitException):
        acquire(manager_for(daily_token_budget=0), 1)


def test_the_next_day_has_its_own_budget(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for(daily_token_budget=10)
    send(manager)
    clock.advance(12 * 3600)
    send(manager)


@pytest.mark.parametrize(
    ("values", "header", "expected"),
    [
        ({"daily_token_budget": 123, "plan": "growth"}, "60000", (123, "setting")),
        ({"plan": "growth", "seats": 2}, "90000", (90_000, "header")),
        ({"plan": "growth", "seats": 2}, None, (120_000, "plan")),
        ({}, None, (10_000, "fallback")),
    ],
)
def test_the_budget_comes_from_setting_header_plan_or_fallback(
    manager_for: Build, values: dict[str, Any], header: str | None, expected: tuple[int, str]
) -> None:
    manager = manager_for(**values)
    if header is not None:
        send(manager, x_daily_ratelimit_token_limit=header)
    state = manager.budget()
    assert (state.budget, state.origin) == expected


def test_budget_state_shows_lanes_reservations_and_the_rest(manager_for: Build) -> None:
    manager = manager_for(daily_token_budget=100)
    manager.settle(manager.acquire(20, DEALS, Lane.INCREMENTAL), charged=20)
    send(manager)
    acquire(manager)
    state = manager.budget()
    assert (state.spent, state.reserved, state.remaining) == (30, 10, 60)
    assert state.by_lane == {Lane.PUSH: 0, Lane.REPAIR: 0, Lane.INCREMENTAL: 20, Lane.BACKFILL: 10}


def test_a_backfill_leaves_what_the_schedules_still_need_today(manager_for: Build) -> None:
    manager = manager_for(daily_token_budget=2000, hold_back=LaneReserves({"incremental": 90}, 1600))
    for _ in range(12):
        send(manager, 100)
    with pytest.raises(PipedriveRateLimitException):
        acquire(manager)
    manager.acquire(800, DEALS, Lane.INCREMENTAL)


def test_a_backfill_leaves_it_also_where_others_have_spent_the_accounts_limit(manager_for: Build) -> None:
    manager = manager_for(hold_back=LaneReserves({"incremental": 90}, 16_000))
    send(manager, x_daily_ratelimit_token_limit="30000", x_daily_ratelimit_token_remaining="10000")
    acquire(manager, 2000)
    with pytest.raises(PipedriveRateLimitException):
        acquire(manager, 1)
    manager.acquire(8000, DEALS, Lane.INCREMENTAL)


def test_a_daily_429_stops_all_until_the_reset(manager_for: Build, clock: ManualClock) -> None:
    manager = manager_for(daily_token_budget=100_000)
    permit = acquire(manager)
    manager.settle(
        permit,
        charged=0,
        headers={"X-Daily-RateLimit-Token-Remaining": "0"},
        server_time=NOON,
    )
    assert manager.budget().exhausted
    for switched_on in (True, False):
        with pytest.raises(PipedriveRateLimitException) as caught:
            acquire(manager_for(rate_limiting_enabled=switched_on), 1)
        assert caught.value.kind == "daily"
    clock.advance(12 * 3600)
    acquire(manager, 1)


def test_switched_off_it_neither_refuses_nor_waits_but_counts_and_obeys_a_429(
    manager_for: Build, clock: ManualClock
) -> None:
    manager = manager_for(rate_limiting_enabled=False, daily_token_budget=5)
    for _ in range(50):
        send(manager)
    assert clock.slept == []
    assert manager.budget().spent == 500
    manager.penalize(4)
    acquire(manager)
    assert sum(clock.slept) == pytest.approx(4)


@pytest.mark.parametrize("search", [False, True])
def test_an_interrupted_sleep_gives_the_tokens_and_the_slot_back(
    store: StateStore, clock: ManualClock, search: bool
) -> None:
    class Interrupted(ManualClock):
        def sleep(self, seconds: float) -> None:
            if seconds > 0:
                raise KeyboardInterrupt

    manager = PipedriveRateLimitManager(
        store, PipedriveSettings(), clock=Interrupted(clock.time()), token_key="k"
    )
    with pytest.raises(KeyboardInterrupt):
        for _ in range(21):
            manager.acquire(1, "v2:/deals/search" if search else DEALS, Lane.BACKFILL)
    assert manager.budget().reserved == (10 if search else 20)
    # Nobody behind it has to wait for a slot that is not used.
    for key in ("k", "k:search") if search else ("k",):
        assert store.window(key).has_room(clock.time() + 1000, 20, margin=1000)
        assert not store.window(key).has_room(clock.time() + 1000, 9 if search else 19, margin=1000)


@pytest.mark.parametrize(("setting", "left"), [(10_000, 1_000), (None, 30_000), (40_000, 30_000)])
def test_a_reopened_day_forgives_what_the_server_forgives_but_not_a_budget_set_by_hand(
    manager_for: Build, setting: int | None, left: int
) -> None:
    manager = manager_for(daily_token_budget=setting)
    daily = {"x_daily_ratelimit_token_limit": "30000"}
    send(manager, 9_000, **daily, x_daily_ratelimit_token_remaining="0")
    probe = manager.acquire(0, "v1:/users/me", Lane.INCREMENTAL, probe=True)
    headers = {"x-daily-ratelimit-token-limit": "30000", "x-daily-ratelimit-token-remaining": "30000"}
    manager.settle(probe, charged=0, headers=headers)
    assert manager.budget().remaining == left


def test_binding_the_account_takes_provisional_spending_along(manager_for: Build) -> None:
    manager = manager_for(account=None)
    send(manager, 2)
    manager.bind("7")
    send(manager, 10)
    assert manager.budget().spent == manager_for(account="7").budget().spent == 12


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=12)))
def test_strange_headers_count_as_missing(headers: dict[str, str]) -> None:
    seen = LimitHeaders.read(headers | {"X-RateLimit-Limit": "soon", "x-ratelimit-remaining": "-1"})
    assert (seen.window_limit, seen.window_remaining) == (None, None)
