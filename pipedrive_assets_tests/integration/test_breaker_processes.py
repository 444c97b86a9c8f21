"""The circuit breaker over processes: what one of them learns keeps all of them from asking.

Requests are counted at the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveCircuitOpenException, PipedriveException
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.breaker import BreakerState
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer, Seen
from pipedrive_assets_tests.wiring import ACCOUNT, wired

ROOT = Path(__file__).parents[2]
MODULE = "pipedrive_assets_tests.integration.test_breaker_processes"
THREADS = 6
THRESHOLD = 4
PAUSE = 30.0
"""Long, so that a busy machine does not reach its end by accident."""


class Process:
    """Another process with a client of its own; each line to it makes its threads ask once, all at once."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", MODULE, json.dumps(environment)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "ready\n"

    def ask(self, threads: int, at: float = 0.0) -> None:
        """Ask in that many threads at the moment ``at`` (epoch seconds)."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps([threads, at]) + "\n")
        self._popen.stdin.flush()

    def outcomes(self) -> list[dict[str, Any]]:
        assert self._popen.stdout is not None
        told: list[dict[str, Any]] = json.loads(self._popen.stdout.readline())
        return told

    def close(self) -> None:
        self._popen.communicate(timeout=60)


def main(environment: dict[str, str]) -> None:
    with wired(load_settings(environment), SystemClock()) as parts, ThreadPoolExecutor(THREADS) as pool:

        def ask(gate: threading.Barrier) -> dict[str, Any]:
            gate.wait()
            try:
                parts.client.get(Version.V2, "/deals", cost=10, lane=Lane.INCREMENTAL)
            except PipedriveException as error:
                return error.to_dict()
            return {"type": "ok"}

        print("ready", flush=True)
        for line in sys.stdin:
            threads, at = json.loads(line)
            gate = threading.Barrier(threads + 1)
            asked = [pool.submit(ask, gate) for _ in range(threads)]
            time.sleep(max(0.0, at - time.time()))
            gate.wait()
            print(json.dumps([each.result() for each in asked]), flush=True)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Reply(502)).running() as running:
        yield running


@pytest.fixture
def environment(server: ScriptedServer, tmp_path: Path) -> dict[str, str]:
    return {
        "DAGSTER_HOME": str(tmp_path),
        "PIPEDRIVE_TOKEN": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
        "PIPEDRIVE_BASE_URL": server.url,
        "PIPEDRIVE_PLAN": "ultimate",
        "PIPEDRIVE_MAX_RETRY_ATTEMPTS": "0",
        "PIPEDRIVE_CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
        "PIPEDRIVE_CIRCUIT_BREAKER_TIMEOUT": str(PAUSE),
    }


@pytest.fixture
def state(environment: dict[str, str]) -> Iterator[StateStore]:
    with StateStore.open(load_settings(environment).state_url, clock=SystemClock()) as store:
        yield store


@pytest.fixture
def processes(state: StateStore, environment: dict[str, str]) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        started = [Process(environment) for _ in range(2)]
        for process in started:
            stack.callback(process.close)
        for process in started:
            process.ready()
        yield started


def kinds(outcomes: list[dict[str, Any]]) -> Counter[str]:
    return Counter(outcome["type"] for outcome in outcomes)


def open_it(process: Process, server: ScriptedServer) -> None:
    """Fail until the breaker is open, one request after another."""
    for _ in range(THRESHOLD):
        process.ask(1)
        assert kinds(process.outcomes()) == {"PipedriveServerException": 1}
    assert len(server.seen) == THRESHOLD


def open_until(state: StateStore, moment: float) -> None:
    """As if it had opened a while ago, with a pause that is over at ``moment``."""
    state.breaker(ACCOUNT).record_failure("gone", now=moment - PAUSE, threshold=1, timeout=PAUSE)


def test_one_process_opens_it_and_the_other_makes_no_request(
    processes: list[Process], server: ScriptedServer, state: StateStore
) -> None:
    first, second = processes
    open_it(first, server)
    next_try = state.breaker(ACCOUNT).snapshot().next_try_at
    for process in (second, first):
        process.ask(THREADS)
        outcomes = process.outcomes()
        assert kinds(outcomes) == {"PipedriveCircuitOpenException": THREADS}
        told = datetime.fromisoformat(outcomes[0]["facts"]["next_try_at"])
        assert told == datetime.fromtimestamp(next_try, UTC)
        assert 0 < outcomes[0]["retry_after"] <= PAUSE
    assert len(server.seen) == THRESHOLD


def test_half_open_lets_one_request_of_all_processes_through_and_a_failure_waits_twice_as_long(
    processes: list[Process], server: ScriptedServer, state: StateStore
) -> None:
    asked = threading.Event()

    def refuse(_: Seen) -> Reply:
        # The probe is under way until everybody has asked.
        asked.wait(10)
        return Reply(502)

    server.script = refuse
    moment = time.time() + 0.5
    open_until(state, moment)
    for process in processes:
        process.ask(THREADS, moment)
    timer = threading.Timer(1.5, asked.set)
    timer.start()
    outcomes = [outcome for process in processes for outcome in process.outcomes()]
    timer.join()
    assert kinds(outcomes) == {
        "PipedriveServerException": 1,
        "PipedriveCircuitOpenException": 2 * THREADS - 1,
    }
    assert len(server.seen) == 1
    after = state.breaker(ACCOUNT).snapshot()
    assert after.state is BreakerState.OPEN
    assert 1.5 * PAUSE < after.next_try_at - time.time() <= 2 * PAUSE
    events = state.events(ACCOUNT).since(0)
    assert [event.name for event in events] == ["circuit_open", "circuit_half_open", "circuit_open"]
    assert events[-1].detail["status"] == 502


def test_a_probe_that_succeeds_opens_the_door_for_every_process(
    processes: list[Process], server: ScriptedServer, state: StateStore
) -> None:
    server.script = lambda _: Reply()
    open_until(state, time.time())
    processes[1].ask(1)
    assert kinds(processes[1].outcomes()) == {"ok": 1}
    for process in processes:
        process.ask(THREADS)
    for process in processes:
        assert kinds(process.outcomes()) == {"ok": THREADS}
    assert len(server.seen) == 1 + 2 * THREADS
    names = [event.name for event in state.events(ACCOUNT).since(0)]
    assert names == ["circuit_open", "circuit_half_open", "circuit_closed"]


def test_failures_of_several_processes_add_up(
    processes: list[Process], server: ScriptedServer, state: StateStore
) -> None:
    for turn in range(THRESHOLD):
        process = processes[turn % 2]
        process.ask(1)
        assert kinds(process.outcomes()) == {"PipedriveServerException": 1}
    for process in processes:
        process.ask(1)
        assert kinds(process.outcomes()) == {"PipedriveCircuitOpenException": 1}
    assert len(server.seen) == THRESHOLD


def test_a_prober_that_is_killed_does_not_keep_it_open(
    environment: dict[str, str], server: ScriptedServer, state: StateStore
) -> None:
    clock = SystemClock()
    open_until(state, clock.time())
    # The probe of a process that will never report.
    assert state.breaker(ACCOUNT).admit("gone", now=clock.time(), probe_seconds=1.0).allowed
    server.script = lambda _: Reply()
    with wired(load_settings(environment), clock) as parts:
        with pytest.raises(PipedriveCircuitOpenException):
            parts.client.get(Version.V2, "/deals", cost=10, lane=Lane.INCREMENTAL)
        time.sleep(1.1)
        assert parts.client.get(Version.V2, "/deals", cost=10, lane=Lane.INCREMENTAL).status == 200
    assert len(server.seen) == 1


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
