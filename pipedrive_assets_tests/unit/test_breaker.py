"""The circuit breaker: closed, open, half-open with one probe, shared by all who call the account."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.circuit_breaker import CircuitBreaker
from pipedrive_assets.exceptions import (
    ErrorContext,
    PipedriveCircuitOpenException,
    PipedriveServerException,
)
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import TIMEOUT_CAP_SECONDS, BreakerSnapshot, BreakerState
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

Build = Callable[..., CircuitBreaker]
DOWN = PipedriveServerException(
    "Pipedrive answered 502", status=502, context=ErrorContext(endpoint="v2:/deals", method="GET")
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as opened:
        yield opened


@pytest.fixture
def breaker_for(store: StateStore, clock: ManualClock) -> Build:
    def build(account: str = "7", threshold: int = 3, timeout: float = 300) -> CircuitBreaker:
        return CircuitBreaker(
            store.breaker(account), threshold=threshold, timeout=timeout, probe_seconds=90, clock=clock
        )

    return build


@pytest.fixture
def breaker(breaker_for: Build) -> CircuitBreaker:
    return breaker_for()


def test_a_probe_that_was_never_sent_is_left_to_the_next(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(301)
    breaker.before_request()
    assert isinstance(in_thread(breaker.before_request), PipedriveCircuitOpenException)
    # Only the prober can give its probe back.
    in_thread(breaker.abandon)
    assert isinstance(in_thread(breaker.before_request), PipedriveCircuitOpenException)
    breaker.abandon()
    assert breaker.snapshot().state is BreakerState.OPEN
    assert in_thread(breaker.before_request) is None


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.before_request()
        breaker.failure(DOWN)


def in_thread(action: Callable[[], None]) -> BaseException | None:
    """Run ``action`` in a thread of its own, which to the breaker is another caller."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except PipedriveCircuitOpenException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_failures_in_a_row_open_it_and_nothing_passes(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    with pytest.raises(PipedriveCircuitOpenException) as caught:
        breaker.before_request()
    assert caught.value.next_try_at == datetime.fromtimestamp(clock.time() + 300, UTC)
    assert caught.value.retry_after == 300


def test_a_success_between_failures_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.success()
    fail(breaker, 2)
    breaker.before_request()


def test_all_who_share_the_account_see_it_open_and_others_do_not(breaker_for: Build) -> None:
    fail(breaker_for(), 3)
    with pytest.raises(PipedriveCircuitOpenException):
        breaker_for().before_request()
    breaker_for("8").before_request()


def test_exactly_one_probe_passes_and_its_success_closes(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(300)
    breaker.before_request()
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    assert in_thread(breaker.before_request) is not None
    breaker.success()
    assert breaker.snapshot().state is BreakerState.CLOSED
    assert in_thread(breaker.before_request) is None


def test_many_threads_at_once_get_one_probe(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(300)
    gate = threading.Barrier(8)
    passed: list[bool] = []

    def ask() -> None:
        gate.wait()
        try:
            breaker.before_request()
            passed.append(True)
        except PipedriveCircuitOpenException:
            passed.append(False)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passed) == [False] * 7 + [True]


def test_each_failed_probe_doubles_the_pause_up_to_an_hour(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    pauses = []
    for _ in range(7):
        pause = breaker.snapshot().next_try_at - clock.time()
        pauses.append(pause)
        clock.advance(pause - 1)
        with pytest.raises(PipedriveCircuitOpenException):
            breaker.before_request()
        clock.advance(1)
        fail(breaker, 1)
    assert pauses == [300, 600, 1200, 2400, *[TIMEOUT_CAP_SECONDS] * 3]


def test_a_pause_longer_than_the_cap_is_not_possible(breaker_for: Build, clock: ManualClock) -> None:
    breaker = breaker_for(timeout=100_000, threshold=1)
    fail(breaker, 1)
    assert breaker.snapshot().next_try_at == clock.time() + TIMEOUT_CAP_SECONDS


def test_closing_forgets_how_often_it_opened(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(300)
    fail(breaker, 1)
    clock.advance(600)
    breaker.before_request()
    breaker.success()
    fail(breaker, 3)
    assert breaker.snapshot().next_try_at == clock.time() + 300


def test_a_prober_that_never_reports_does_not_keep_it_open(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    clock.advance(300)
    assert in_thread(breaker.before_request) is None
    clock.advance(89)
    with pytest.raises(PipedriveCircuitOpenException) as caught:
        breaker.before_request()
    assert caught.value.retry_after == pytest.approx(1)
    clock.advance(1)
    breaker.before_request()


def test_late_outcomes_of_requests_from_before_change_nothing(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    opened = breaker.snapshot()
    clock.advance(10)
    breaker.success()
    breaker.failure(DOWN)
    assert breaker.snapshot() == opened
    clock.advance(290)
    assert in_thread(breaker.before_request) is None
    half_open = breaker.snapshot()
    breaker.success()
    breaker.failure(DOWN)
    assert breaker.snapshot() == half_open


def test_transitions_are_logged_once(
    breaker: CircuitBreaker, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="pipedrive_assets"):
        fail(breaker, 3)
        clock.advance(300)
        breaker.before_request()
        breaker.success()
        breaker.success()
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert events == ["circuit_open", "circuit_half_open", "circuit_closed"]


def test_each_transition_is_an_event_that_says_what_failed(
    store: StateStore, breaker: CircuitBreaker, clock: ManualClock
) -> None:
    started = clock.time()
    fail(breaker, 3)
    clock.advance(300)
    fail(breaker, 1)
    clock.advance(600)
    breaker.before_request()
    breaker.success()
    breaker.success()
    events = store.events("7").since(started)
    assert [(event.name, event.at - started) for event in events] == [
        ("circuit_open", 0),
        ("circuit_half_open", 300),
        ("circuit_open", 300),
        ("circuit_half_open", 900),
        ("circuit_closed", 900),
    ]
    cause = {"error": "PipedriveServerException", "endpoint": "v2:/deals", "status": 502}
    assert cause.items() <= events[0].detail.items()
    assert (events[0].detail["failures"], events[0].detail["next_try_at"]) == (3, started + 300)
    assert (events[2].detail["opens"], events[2].detail["next_try_at"]) == (2, started + 900)
    assert (events[4].detail["was"], events[4].detail["failures"]) == ("half_open", 4)
    assert store.events("8").since(started) == ()


def test_a_transition_that_is_undone_leaves_no_event(store: StateStore, breaker: CircuitBreaker) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        fail(breaker, 3)
        raise RuntimeError
    assert breaker.snapshot().state is BreakerState.CLOSED
    assert store.events("7").since(0) == ()


def test_a_clock_that_was_set_back_does_not_keep_it_open_for_longer_than_its_longest_pause(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    clock.advance(-86_400)
    breaker.before_request()
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    clock.advance(-86_400)
    assert in_thread(breaker.before_request) is None


@given(
    state=st.sampled_from(BreakerState),
    next_try=st.floats(-3e6, 3e6),
    expires=st.none() | st.floats(-3e6, 3e6),
)
def test_it_is_shut_for_those_who_look_exactly_while_it_lets_nobody_through(
    tmp_path_factory: pytest.TempPathFactory, state: BreakerState, next_try: float, expires: float | None
) -> None:
    clock = ManualClock()
    now = clock.time()
    path = tmp_path_factory.mktemp("breaker") / "state.db"
    with StateStore.open(f"sqlite:///{path}", clock=clock) as store, store.transaction():
        kept = BreakerSnapshot(
            state, 5, 1, now + next_try, "other", None if expires is None else now + expires
        )
        breaker = store.breaker("7")
        with breaker._database.begin() as connection:
            breaker._save(connection, kept, now)
        shut_until = kept.shut_until(now)
        assert breaker.admit("me", now=now, probe_seconds=60).allowed == (shut_until is None)
    if shut_until is not None:
        assert now < shut_until < now + TIMEOUT_CAP_SECONDS + 600


def test_threshold_and_timeout_come_from_the_settings(tmp_path: Path, clock: ManualClock) -> None:
    settings = PipedriveSettings(circuit_breaker_threshold=2, circuit_breaker_timeout=40)
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        breaker = CircuitBreaker.from_settings(store.breaker("7"), settings, clock)
        fail(breaker, 1)
        assert breaker.snapshot().state is BreakerState.CLOSED
        fail(breaker, 1)
        assert breaker.snapshot().next_try_at == clock.time() + 40
