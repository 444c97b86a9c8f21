"""How syncs ended, and how the API was: read back as written, forgotten after a month."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipedrive_assets.state.health import KEPT_SECONDS, HealthSample, HealthState, Verdict
from pipedrive_assets.state.outcomes import SyncOutcome
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> StateStore:
    return StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock)


def outcome(clock: ManualClock, entity: str = "deals", **changes: object) -> SyncOutcome:
    found = SyncOutcome(
        entity=entity,
        run_id="r1",
        status="complete",
        source="manual",
        finished_at=clock.time(),
        seconds=1.5,
        fetched=60,
        quarantined=1,
        tokens=10,
        requests=2,
        retries=1,
        peak_rss_mb=90.5,
        memory_percent=12.5,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_outcomes_are_read_back_by_time_and_entity(store: StateStore, clock: ManualClock) -> None:
    with store:
        log = store.outcomes("7")
        first = outcome(clock)
        log.record(first)
        clock.advance(60)
        second = outcome(clock, entity="notes", status="failed", error="no answer in time")
        log.record(second)
        assert log.since(0) == (first, second)
        assert log.since(clock.time()) == (second,)
        assert log.since(0, "deals") == (first,)
        assert store.outcomes("8").since(0) == ()


def test_outcomes_and_samples_are_kept_for_a_month(store: StateStore, clock: ManualClock) -> None:
    with store:
        store.outcomes("7").record(outcome(clock))
        sample = HealthSample(clock.time(), "probe", Verdict.HEALTHY, "", True, 12.0, 0.0, 900, 20.0)
        store.health("7").add(sample)
        assert store.health("7").samples(0) == (sample,)
        clock.advance(KEPT_SECONDS + 1)
        later = replace(sample, at=clock.time())
        store.health("7").add(later)
        store.outcomes("7").record(outcome(clock, entity="notes"))
        assert store.health("7").samples(0) == (later,)
        assert [found.entity for found in store.outcomes("7").since(0)] == ["notes"]


def test_a_verdict_is_unknown_until_one_is_kept(store: StateStore, clock: ManualClock) -> None:
    with store:
        assert store.health("7").state() == HealthState()
        state = HealthState(Verdict.DEGRADED, "slow", clock.time(), clock.time(), 2, clock.time())
        store.health("7").save(state)
        assert store.health("7").state() == state
        assert store.health("8").state().verdict is Verdict.UNKNOWN
