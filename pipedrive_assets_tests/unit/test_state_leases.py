"""Leases: one holder per name; the dead are replaced at once, the silent when their time is over."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.state import leases as leases_module
from pipedrive_assets.state.leases import LeaseHolder, LeaseStore
from pipedrive_assets.state.process import ProcessId
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def leases(tmp_path: Path, clock: ManualClock) -> Iterator[LeaseStore]:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store:
        yield store.leases("7")


def as_process(monkeypatch: pytest.MonkeyPatch, process: ProcessId) -> None:
    monkeypatch.setattr(leases_module.ProcessId, "current", classmethod(lambda cls: process))


def test_a_lease_is_held_by_one_until_it_is_released(leases: LeaseStore) -> None:
    first = leases.acquire("sync:deals", "run 1", 60)
    assert first is not None
    assert leases.acquire("sync:deals", "run 2", 60) is None
    assert leases.acquire("sync:deals", "run 1", 60) is None, "the same name twice is two users of it"
    assert leases.acquire("sync:notes", "run 2", 60) is not None
    first.release()
    assert leases.acquire("sync:deals", "run 2", 60) is not None


def test_the_holder_is_told(leases: LeaseStore, clock: ManualClock) -> None:
    assert leases.holder("sync:deals") is None
    started = clock.time()
    leases.acquire("sync:deals", "run 1", 60)
    assert leases.holder("sync:deals") == LeaseHolder("run 1", started, started + 60)


def test_a_lease_runs_out_unless_it_is_renewed(leases: LeaseStore, clock: ManualClock) -> None:
    lease = leases.acquire("a", "run 1", 60)
    assert lease is not None
    clock.advance(50)
    assert lease.renew()
    clock.advance(50)
    assert leases.acquire("a", "run 2", 60) is None
    clock.advance(11)
    assert leases.acquire("a", "run 2", 60) is not None
    assert not lease.renew()
    assert lease.lost
    lease.release()
    holder = leases.holder("a")
    assert holder is not None
    assert holder.owner == "run 2", "who lost a lease cannot take it from its new holder"


def test_the_lease_of_a_process_that_died_is_taken_over_at_once(
    leases: LeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ProcessId.current()
    with monkeypatch.context() as patch:
        as_process(patch, ProcessId(here.host, here.pid, here.started - 500))
        assert leases.acquire("a", "dead", 3600) is not None
    assert leases.holder("a") is None
    assert leases.acquire("a", "alive", 60) is not None


def test_the_lease_of_another_host_is_left_until_it_runs_out(
    leases: LeaseStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        as_process(patch, ProcessId("elsewhere", 1, 0.0))
        assert leases.acquire("a", "far", 60) is not None
    assert leases.acquire("a", "near", 60) is None
    clock.advance(60)
    assert leases.acquire("a", "near", 60) is not None


def test_a_killed_child_is_known_to_be_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    here = ProcessId.current()
    process = ProcessId(here.host, child.pid, psutil.Process(child.pid).create_time())
    assert not process.known_dead(here)
    child.kill()
    deadline = time.monotonic() + 10
    while not process.known_dead(here) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.known_dead(here), "also as a zombie that nobody has waited for yet"
    child.wait()
    assert process.known_dead(here)


def test_waiting_tells_each_holder_once_and_ends_when_the_lease_is_free(
    leases: LeaseStore, clock: ManualClock
) -> None:
    leases.acquire("a", "run 1", 20)
    told: list[LeaseHolder | None] = []
    lease = leases.wait("a", "run 2", 60, on_wait=told.append)
    assert lease.owner == "run 2"
    assert [holder.owner for holder in told if holder] == ["run 1"]
    assert sum(clock.slept) == pytest.approx(20, abs=1)


def test_waiting_has_an_end(leases: LeaseStore, clock: ManualClock) -> None:
    leases.acquire("a", "run 1", 600)
    with pytest.raises(PipedriveStateException, match="held by run 1") as caught:
        leases.wait("a", "run 2", 60, timeout=5)
    assert caught.value.retryable
    assert sum(clock.slept) == pytest.approx(5, abs=0.6)


def test_a_kept_lease_is_renewed_in_the_background_and_released_at_the_end(tmp_path: Path) -> None:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=SystemClock()) as store:
        leases = store.leases("7")
        lease = leases.acquire("a", "run 1", 0.3)
        assert lease is not None
        with lease.kept():
            first = leases.holder("a")
            deadline = time.monotonic() + 10
            while leases.holder("a") == first and time.monotonic() < deadline:
                time.sleep(0.02)
            later = leases.holder("a")
            assert first is not None
            assert later is not None
            assert later.expires_at > first.expires_at
        assert leases.holder("a") is None
        assert not any(thread.name == "lease a" for thread in threading.enumerate())
