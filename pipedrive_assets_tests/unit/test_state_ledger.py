"""The token ledger: no interleaving of reservations, settlements, deaths and days exceeds the budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipedrive_assets.state import ledger as ledger_module
from pipedrive_assets.state import reclaim as reclaim_module
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.ledger import (
    Allowance,
    BudgetRule,
    DayState,
    Observation,
    Refusal,
    Reservation,
    TokenLedger,
)
from pipedrive_assets.state.process import ProcessId
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()
BACKENDS = ["sqlite"]
"""A further backend joins here and runs every test of this module."""


def open_store(backend: str, folder: Path, clock: ManualClock) -> StateStore:
    assert backend == "sqlite"
    return StateStore.open(f"sqlite:///{folder / 'state.db'}", clock=clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    opened = open_store(request.param, tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def ledger(store: StateStore) -> TokenLedger:
    return store.ledger("7")


def budget_of(tokens: int) -> BudgetRule:
    return lambda _state: Allowance(tokens)


def reserve(
    ledger: TokenLedger,
    tokens: int = 10,
    *,
    budget: int | None = 100,
    at: float = NOON,
    lane: Lane = Lane.BACKFILL,
) -> Reservation | Refusal:
    return ledger.reserve(
        tokens,
        "v2:/deals",
        lane,
        slot_at=at,
        lifetime=60.0,
        budget=None if budget is None else budget_of(budget),
    )


def reserved(ledger: TokenLedger, tokens: int = 10, *, budget: int = 100, at: float = NOON) -> Reservation:
    outcome = reserve(ledger, tokens, budget=budget, at=at)
    assert isinstance(outcome, Reservation)
    return outcome


def from_dead_process(monkeypatch: pytest.MonkeyPatch) -> None:
    current = ProcessId.current()
    gone = ProcessId(current.host, current.pid, current.started - 1000)
    monkeypatch.setattr(ledger_module.ProcessId, "current", classmethod(lambda cls: gone))


def test_what_is_reserved_counts_as_spent(ledger: TokenLedger) -> None:
    for _ in range(10):
        reserved(ledger)
    refusal = reserve(ledger)
    assert isinstance(refusal, Refusal)
    assert (refusal.allowed.own, refusal.state.reserved, refusal.state.own_spent) == (100, 100, 0)
    assert refusal.state.resets_at == datetime(2026, 5, 5, tzinfo=UTC)


def test_a_budget_of_zero_refuses_even_a_free_request(ledger: TokenLedger) -> None:
    assert isinstance(reserve(ledger, 0, budget=0), Refusal)


def test_settling_books_what_was_charged_and_frees_the_rest(ledger: TokenLedger) -> None:
    ledger.settle(reserved(ledger, 40).reservation_id, charged=10)
    state = ledger.day()
    assert (state.own_spent, state.reserved, state.available(100)) == (10, 0, 90)


def test_settling_twice_books_once(ledger: TokenLedger) -> None:
    reservation = reserved(ledger)
    ledger.settle(reservation.reservation_id, charged=10)
    ledger.settle(reservation.reservation_id, charged=10)
    assert ledger.day().own_spent == 10


def test_spending_is_kept_by_endpoint_and_lane(ledger: TokenLedger) -> None:
    for lane in (Lane.BACKFILL, Lane.BACKFILL, Lane.INCREMENTAL):
        outcome = reserve(ledger, lane=lane)
        assert isinstance(outcome, Reservation)
        ledger.settle(outcome.reservation_id, charged=10)
    lines = {(line.endpoint, line.lane): (line.requests, line.tokens) for line in ledger.spend("2026-05-04")}
    assert lines == {("v2:/deals", Lane.BACKFILL): (2, 20), ("v2:/deals", Lane.INCREMENTAL): (1, 10)}


def test_accounts_do_not_see_each_other(store: StateStore, ledger: TokenLedger) -> None:
    reserved(ledger, 100)
    assert isinstance(reserve(store.ledger("8")), Reservation)


def test_the_day_follows_the_servers_clock(ledger: TokenLedger, clock: ManualClock) -> None:
    server = datetime(2026, 5, 4, 23, 59, 50, tzinfo=UTC)
    clock.advance(server.timestamp() - 3600 - clock.time())
    ledger.settle(reserved(ledger, at=clock.time()).reservation_id, charged=10, server_time=server)
    assert ledger.day().day == "2026-05-04"
    clock.advance(12)
    assert ledger.day().day == "2026-05-05"
    assert ledger.day().own_spent == 0


def test_a_charge_moves_to_the_day_on_which_the_server_answered(
    ledger: TokenLedger, clock: ManualClock
) -> None:
    clock.advance(datetime(2026, 5, 4, 23, 59, 59, tzinfo=UTC).timestamp() - clock.time())
    reservation = reserved(ledger, at=clock.time())
    clock.advance(2)
    ledger.settle(
        reservation.reservation_id, charged=10, server_time=datetime(2026, 5, 5, 0, 0, 1, tzinfo=UTC)
    )
    assert (ledger.day().day, ledger.day().own_spent) == ("2026-05-05", 10)
    assert ledger.spend("2026-05-04") == ()


def test_what_is_under_way_at_midnight_counts_against_the_new_day(
    ledger: TokenLedger, clock: ManualClock
) -> None:
    clock.advance(datetime(2026, 5, 4, 23, 59, 59, tzinfo=UTC).timestamp() - clock.time())
    reserved(ledger, 90, at=clock.time())
    clock.advance(2)
    assert isinstance(reserve(ledger, 20, at=clock.time()), Refusal)
    assert isinstance(reserve(ledger, 10, at=clock.time()), Reservation)


def test_the_accounts_own_limit_binds_even_where_the_budget_is_larger(ledger: TokenLedger) -> None:
    seen = Observation(limit=30_000, remaining=15)
    ledger.settle(reserved(ledger).reservation_id, charged=10, seen=seen)
    assert isinstance(reserve(ledger, 20, budget=1_000_000), Refusal)
    assert isinstance(reserve(ledger, 10, budget=1_000_000), Reservation)


def test_a_budget_of_ours_is_not_used_up_by_what_others_spend(ledger: TokenLedger) -> None:
    seen = Observation(limit=30_000, remaining=15_000)
    ledger.settle(reserved(ledger).reservation_id, charged=10, seen=seen)
    assert ledger.day().available(100) == 90


def test_headers_that_overtake_each_other_never_give_tokens_back(ledger: TokenLedger) -> None:
    for remaining in (50, 80, 60):
        seen = Observation(limit=100, remaining=remaining)
        ledger.settle(reserved(ledger, 1).reservation_id, charged=1, seen=seen)
    assert ledger.day().server_spent == 50


def test_a_remainder_of_zero_ends_the_day_also_without_a_limit_header(
    ledger: TokenLedger, clock: ManualClock
) -> None:
    ledger.settle(reserved(ledger).reservation_id, charged=0, seen=Observation(remaining=0))
    assert ledger.day().exhausted
    assert isinstance(reserve(ledger, 1, budget=None), Refusal)
    ledger.settle("an older answer", charged=0, seen=Observation(remaining=5))
    assert ledger.day().exhausted
    clock.advance(12 * 3600)
    assert isinstance(reserve(ledger, 1, at=clock.time()), Reservation)


def test_tokens_bought_in_the_course_of_the_day_reopen_it(ledger: TokenLedger) -> None:
    ledger.settle("a", charged=0, seen=Observation(limit=100, remaining=0))
    assert ledger.day().exhausted
    ledger.settle("b", charged=0, seen=Observation(limit=200, remaining=100))
    assert not ledger.day().exhausted


def test_the_header_limit_of_yesterday_is_known_today(ledger: TokenLedger, clock: ManualClock) -> None:
    ledger.settle("a", charged=0, seen=Observation(limit=60_000, remaining=10))
    clock.advance(86_400)
    assert (ledger.day().header_limit, ledger.day().server_spent) == (60_000, None)


def test_a_dead_process_gets_its_tokens_back_before_its_slot(
    ledger: TokenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        from_dead_process(patch)
        reserved(ledger, 100, at=NOON + 5)
    assert isinstance(reserve(ledger, 100), Reservation), "the refusal looks for the dead first"


def test_a_dead_processs_tokens_count_as_spent_once_after_its_slot(
    ledger: TokenLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        from_dead_process(patch)
        reserved(ledger, 30)
    clock.advance(1)
    threads = [threading.Thread(target=ledger.reclaim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ledger.day().own_spent, ledger.day().reserved) == (30, 0)


def test_a_lost_request_that_the_server_evidently_never_charged_is_not_counted(
    ledger: TokenLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        from_dead_process(patch)
        reserved(ledger, 30)
    clock.advance(reclaim_module.OBSERVED_AFTER_SECONDS + 1)
    ledger.settle(
        reserved(ledger, 10, at=clock.time()).reservation_id, charged=10, seen=Observation(1000, 990)
    )
    ledger.reclaim()
    assert ledger.day().own_spent == 10


def test_a_living_processs_reservation_is_only_reclaimed_when_its_time_is_over(
    ledger: TokenLedger, clock: ManualClock
) -> None:
    reserved(ledger, 30)
    assert ledger.reclaim().reservations == 0
    clock.advance(61)
    assert ledger.reclaim().counted == 30


def test_an_answer_that_comes_after_the_reclaim_corrects_it(ledger: TokenLedger, clock: ManualClock) -> None:
    reservation = reserved(ledger, 30)
    clock.advance(61)
    ledger.reclaim()
    ledger.settle(reservation.reservation_id, charged=10)
    assert ledger.day().own_spent == 10
    assert [(line.requests, line.tokens) for line in ledger.spend("2026-05-04")] == [(1, 10)]


def test_spending_before_the_account_was_known_is_taken_along(store: StateStore, ledger: TokenLedger) -> None:
    provisional = store.ledger("token:abc")
    open_one = reserved(provisional)
    ledger.settle(reserved(ledger).reservation_id, charged=10)
    provisional.settle(
        reserved(provisional).reservation_id,
        charged=2,
        seen=Observation(1000, 900),
        server_time=datetime.fromtimestamp(NOON + 3600, UTC),
    )
    ledger.absorb(provisional)
    state = ledger.day()
    assert (state.own_spent, state.reserved, state.server_spent) == (12, 10, 100)
    assert state.server_now == pytest.approx(NOON + 3600, abs=1.5)
    ledger.settle(open_one.reservation_id, charged=10)
    assert (ledger.day().own_spent, provisional.day().own_spent) == (22, 0)


def test_threads_never_promise_the_same_token_twice(ledger: TokenLedger) -> None:
    granted: list[Reservation] = []

    def spend() -> None:
        for _ in range(20):
            outcome = reserve(ledger, 7, budget=500)
            if isinstance(outcome, Reservation):
                granted.append(outcome)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 500 // 7


class LedgerMachine(RuleBasedStateMachine):
    """Any interleaving against a model server that charges, crosses midnight, loses answers and clients."""

    BUDGET = 30
    LIMIT = 40

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = ManualClock(datetime(2026, 5, 4, 23, 59, 55, tzinfo=UTC).timestamp())
        self.store = open_store("sqlite", Path(self.folder.name), self.clock)
        self.ledger = self.store.ledger("7")
        self.open: list[Reservation] = []
        self.unanswered: list[tuple[Reservation, int, Observation, datetime]] = []
        self.ours: dict[str, int] = {}
        self.everyones: dict[str, int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def server_day(self) -> str:
        return datetime.fromtimestamp(self.clock.time(), UTC).date().isoformat()

    @rule(tokens=st.sampled_from([5, 10, 20]), delay=st.sampled_from([0.0, 0.0, 5.0]))
    def reserve(self, tokens: int, delay: float) -> None:
        outcome = reserve(self.ledger, tokens, budget=self.BUDGET, at=self.clock.time() + delay)
        if isinstance(outcome, Reservation):
            self.open.append(outcome)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.clock.advance(max(0.0, reservation.slot_at - self.clock.time()))
        day = self.server_day()
        fits = self.everyones.get(day, 0) + reservation.tokens <= self.LIMIT
        charged = reservation.tokens if fits else 0
        self.ours[day] = self.ours.get(day, 0) + charged
        self.everyones[day] = self.everyones.get(day, 0) + charged
        seen = Observation(self.LIMIT, self.LIMIT - self.everyones[day])
        moment = datetime.fromtimestamp(self.clock.time(), UTC)
        self.unanswered.append((reservation, charged, seen, moment))

    @precondition(lambda self: self.unanswered)
    @rule(data=st.data(), headers=st.booleans())
    def answer(self, data: st.DataObject, headers: bool) -> None:
        place = data.draw(st.integers(0, len(self.unanswered) - 1))
        reservation, charged, seen, moment = self.unanswered.pop(place)
        self.ledger.settle(
            reservation.reservation_id,
            charged=charged,
            seen=seen if headers else None,
            server_time=datetime.fromtimestamp(int(moment.timestamp()), UTC),
        )

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.ledger.cancel(reservation.reservation_id)

    @precondition(lambda self: self.open or self.unanswered)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The client of some request is gone; sent or not, nobody will settle it."""
        lost = self.unanswered if self.unanswered and data.draw(st.booleans()) else self.open
        if lost:
            lost.pop(data.draw(st.integers(0, len(lost) - 1)))

    @rule()
    def others_spend(self) -> None:
        day = self.server_day()
        self.everyones[day] = min(self.LIMIT, self.everyones.get(day, 0) + 5)

    @rule(seconds=st.sampled_from([0.5, 20.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        # Real requests end within their reservation's lifetime; the model keeps to that.
        under_way = [*self.open, *(entry[0] for entry in self.unanswered)]
        oldest = min((entry.slot_at for entry in under_way), default=self.clock.time())
        if self.clock.time() + seconds < oldest + 55.0:
            self.clock.advance(seconds)

    @precondition(lambda self: not self.open and not self.unanswered)
    @rule()
    def hours_pass(self) -> None:
        self.clock.advance(timedelta(hours=7).total_seconds())

    @rule()
    def sweep(self) -> None:
        self.ledger.reclaim()

    @invariant()
    def our_requests_never_cost_more_than_the_budget(self) -> None:
        assert all(tokens <= self.BUDGET for tokens in self.ours.values()), self.ours

    @invariant()
    def the_ledger_never_promises_more_than_the_budget(self) -> None:
        state: DayState = self.ledger.day()
        assert state.own_spent + state.reserved <= self.BUDGET


LedgerMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedgerUnderAnyInterleaving = LedgerMachine.TestCase
