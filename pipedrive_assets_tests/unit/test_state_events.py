"""The event log: in order, per account, kept for a month."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.state.events import KEPT_SECONDS
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

names = st.sampled_from(["circuit_open", "circuit_closed", "health_changed"])
details = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8), max_size=4)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[StateStore]:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as opened:
        yield opened


@given(happened=st.lists(st.tuples(names, details, st.floats(0, 1000)), max_size=12))
def test_what_was_recorded_is_read_back_in_order(
    happened: list[tuple[str, dict[str, object], float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    clock = ManualClock()
    url = f"sqlite:///{tmp_path_factory.mktemp('events') / 'state.db'}"
    with StateStore.open(url, clock=clock) as store:
        log, expected, started = store.events("7"), [], clock.time()
        for name, detail, pause in happened:
            clock.advance(pause)
            log.record(name, detail)
            expected.append((name, detail, clock.time()))
        assert [(event.name, event.detail, event.at) for event in log.since(started)] == expected
        opened = [event.name for event in log.since(started, "circuit_open")]
        assert opened == [name for name, _, _ in expected if name == "circuit_open"]


def test_a_reader_who_remembers_where_it_was_gets_only_what_is_new(
    store: StateStore, clock: ManualClock
) -> None:
    log = store.events("7")
    log.record("circuit_open")
    clock.advance(10)
    log.record("circuit_closed")
    assert [event.name for event in log.since(clock.time())] == ["circuit_closed"]
    first, second = log.since(0)
    assert first.event_id < second.event_id


def test_accounts_have_their_own_events(store: StateStore, clock: ManualClock) -> None:
    store.events("7").record("circuit_open")
    assert store.events("8").since(0) == ()
    assert store.events("8").prune(before=clock.time() + 1) == 0
    assert store.events("7").prune(before=clock.time() + 1) == 1


def test_events_are_forgotten_after_a_month_without_anybody_asking(
    store: StateStore, clock: ManualClock
) -> None:
    log = store.events("7")
    log.record("circuit_open")
    clock.advance(KEPT_SECONDS - 1)
    log.record("circuit_half_open")
    assert len(log.since(0)) == 2
    clock.advance(2)
    log.record("circuit_closed")
    assert [event.name for event in log.since(0)] == ["circuit_half_open", "circuit_closed"]
