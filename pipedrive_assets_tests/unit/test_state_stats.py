"""Figures of requests: complete over processes and threads, forgotten after a month, never in the way."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.state import database
from pipedrive_assets.state.stats import KEPT_SECONDS, RequestFacts, RequestStats, RequestWindow
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

GOOD = RequestFacts("v2:/deals", "200", False, False, retry=False, tokens=10, seconds=0.2, wait_seconds=0.1)
BROKEN = RequestFacts("v2:/deals", "503", True, False, retry=True, tokens=10, seconds=0.4, wait_seconds=0.0)
REFUSED = RequestFacts("v1:/users", "403", False, True, retry=False, tokens=20, seconds=0.3, wait_seconds=0.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'state.db'}"


def test_what_was_counted_is_there_for_others_once_written(tmp_path: Path, clock: ManualClock) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        stats = store.stats("7")
        assert stats.window(clock.time()) == RequestWindow()
        for facts in (GOOD, BROKEN, REFUSED):
            stats.note(facts)
        stats.flush()
        window = store.stats("7").window(clock.time())
        assert (window.requests, window.failures, window.refusals, window.tokens) == (3, 1, 1, 40)
        assert window.latency_ms == pytest.approx(300)
        assert window.failure_percent == pytest.approx(100 / 3)
        assert window.wait_seconds == pytest.approx(0.1)
        assert window.last_success_at == clock.time()
        assert [(t.endpoint, t.status, t.requests, t.retries) for t in store.stats("7").totals()] == [
            ("v1:/users", "403", 1, 0),
            ("v2:/deals", "200", 1, 0),
            ("v2:/deals", "503", 1, 1),
        ]
        assert store.stats("8").totals() == ()


def test_figures_are_written_once_a_second_and_not_per_request(tmp_path: Path, clock: ManualClock) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        stats = store.stats("7")
        for _ in range(10):
            stats.note(GOOD)
            clock.advance(0.09)
        # The first at once, so that an idle process does not keep it to itself.
        assert store.stats("7").window(0).requests == 1
        clock.advance(0.2)
        stats.note(GOOD)
        assert store.stats("7").window(0).requests == 11


def test_a_minute_in_which_only_others_succeeded_keeps_their_success(
    tmp_path: Path, clock: ManualClock
) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        mine, other = store.stats("7"), store.stats("7")
        other.note(GOOD)
        other.flush()
        succeeded_at = clock.time()
        clock.advance(1)
        mine.note(BROKEN)
        mine.flush()
        assert mine.window(0).last_success_at == succeeded_at


def test_what_was_asked_before_the_account_was_known_counts_for_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        known, stats = store.stats("7"), store.stats("token:abc")
        known.note(BROKEN)
        stats.note(GOOD)
        stats.note(GOOD)
        stats.bind("7")
        stats.note(REFUSED)
        stats.flush()
        window = store.stats("7").window(0)
        assert (window.requests, window.failures, window.refusals) == (4, 1, 1)
        assert store.stats("token:abc").window(0).requests == 0
        assert [(total.status, total.requests) for total in store.stats("7").totals()] == [
            ("403", 1),
            ("200", 2),
            ("503", 1),
        ]
        assert store.stats("token:abc").totals() == ()


def test_binding_keeps_the_success_that_another_process_had_in_the_same_minute(
    tmp_path: Path, clock: ManualClock
) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        known, stats = store.stats("7"), store.stats("token:abc")
        known.note(GOOD)
        known.flush()
        stats.note(BROKEN)
        stats.bind("7")
        assert known.window(0).last_success_at == clock.time()


def test_what_a_clock_that_ran_ahead_wrote_is_no_news_neither_then_nor_when_its_time_comes(
    tmp_path: Path, clock: ManualClock
) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        stats = store.stats("7")
        clock.advance(86_400)
        stats.note(BROKEN)
        stats.note(GOOD)
        stats.flush()
        clock.advance(-86_400)
        assert stats.window(clock.time() - 900) == RequestWindow()
        right = store.stats("7")
        right.note(GOOD)
        assert right.window(clock.time() - 900).requests == 1
        clock.advance(86_400)
        assert right.window(clock.time() - 900) == RequestWindow()


def test_another_host_may_be_a_little_ahead(tmp_path: Path, clock: ManualClock) -> None:
    with StateStore.open(url_of(tmp_path), clock=ManualClock(clock.time() + 50)) as ahead:
        ahead.stats("7").note(GOOD)
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        assert store.stats("7").window(clock.time() - 900).requests == 1


def test_minutes_are_kept_for_a_month_and_totals_for_ever(tmp_path: Path, clock: ManualClock) -> None:
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        stats = store.stats("7")
        stats.note(GOOD)
        stats.flush()
        clock.advance(KEPT_SECONDS + 120)
        stats.note(GOOD)
        stats.flush()
        assert stats.window(0).requests == 1
        assert [total.requests for total in stats.totals()] == [2]


def test_a_store_that_cannot_be_written_fails_no_request_and_loses_no_figure(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        stats = store.stats("7")
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as locker:
            locker.execute("BEGIN IMMEDIATE")
            stats.note(GOOD)
        assert stats.window(0).requests == 0
        stats.note(BROKEN)
        stats.flush()
        window = stats.window(0)
        assert (window.requests, window.failures) == (2, 1)


def test_threads_and_clients_together_lose_no_request(tmp_path: Path) -> None:
    clock = SystemClock()
    with StateStore.open(url_of(tmp_path), clock=clock) as store:
        clients = [store.stats("7") for _ in range(4)]

        def work(stats: RequestStats) -> None:
            for number in range(200):
                stats.note(GOOD if number % 4 else BROKEN)
                if number % 20 == 0:
                    stats.flush()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, clients * 2))
        for client in clients:
            client.flush()
        window = store.stats("7").window(0)
        assert (window.requests, window.failures) == (1600, 400)
        assert {total.status: total.requests for total in store.stats("7").totals()} == {
            "200": 1200,
            "503": 400,
        }


@given(
    st.lists(st.tuples(st.sampled_from([GOOD, BROKEN, REFUSED]), st.floats(0, 90)), max_size=30),
    st.floats(0, 1200),
)
def test_a_window_is_the_sum_of_the_minutes_it_touches(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[RequestFacts, float]], back: float
) -> None:
    clock = ManualClock()
    expected: list[tuple[int, RequestFacts]] = []
    with StateStore.open(url_of(tmp_path_factory.mktemp("state")), clock=clock) as store:
        stats = store.stats("7")
        for facts, pause in steps:
            stats.note(facts)
            expected.append((int(clock.time() // 60), facts))
            clock.advance(pause)
        stats.flush()
        since = clock.time() - back
        inside = [facts for minute, facts in expected if minute >= int(since // 60)]
        window = stats.window(since)
        assert window.requests == len(inside)
        assert window.failures == sum(facts.failed for facts in inside)
        assert window.seconds == pytest.approx(sum(facts.seconds for facts in inside))
        assert 0 <= window.failure_percent <= 100
