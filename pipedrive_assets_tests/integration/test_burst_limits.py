"""The burst limits at full speed, as the server counts them: no request is refused.

Eight runs, each with a session of its own, two in each of four processes, begin in the same millisecond.
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
from pathlib import Path

import pytest
import requests

from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveRateLimitException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.sandbox.log import RequestRecord
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.scripted_server import Reply, ScriptedServer, Seen
from pipedrive_assets_tests.wiring import wired

ROOT = Path(__file__).parents[2]
MODULE = "pipedrive_assets_tests.integration.test_burst_limits"
LIMITS = {"lite": 20, "growth": 40, "premium": 100, "ultimate": 120}
"""Requests in any two seconds by plan, for an API token (reference 2.3)."""
SEARCHES = 10
PROCESSES = 4
RUNS = 2

LIST = ("/deals", {"limit": "1"}, 10)
SEARCH = ("/deals/search", {"term": "deal", "limit": "1"}, 20)


def work(environment: dict[str, str], at: float, seconds: float, calls: list[str]) -> None:
    """One run: ask again and again from the moment ``at`` (epoch seconds), taking turns among ``calls``."""
    with open_session(load_settings(environment)) as session:
        client, end = session.client, at + seconds
        time.sleep(max(0.0, at - time.time() - 0.002))
        while time.time() < at:
            pass
        while time.time() < end:
            for call in calls:
                path, params, cost = SEARCH if call == "search" else LIST
                client.get(Version.V2, path, params=params, cost=cost, lane=Lane.INCREMENTAL)


def main() -> None:
    """A process that holds :data:`RUNS` runs for each line it is given."""
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        with ThreadPoolExecutor(RUNS) as pool:
            runs = [pool.submit(work, **task, calls=calls) for calls in task.pop("calls")]
            told = [str(run.exception() or "") for run in runs]
        print(json.dumps(told), flush=True)


class Fleet:
    """Processes that wait for work."""

    def __init__(self, stack: ExitStack) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", MODULE],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        for process in self._processes:
            stack.callback(process.communicate, timeout=60)
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def run(self, sandbox: Sandbox, folder: Path, seconds: float, *runs: list[str]) -> None:
        """Let each process hold :data:`RUNS` of ``runs``; all of them begin at once."""
        environment = environment_of(sandbox, folder)
        with open_session(load_settings(environment)) as session:
            session.identity  # noqa: B018 - so that all runs have their account already
        at = time.time() + 0.7
        for place, process in enumerate(self._processes):
            assert process.stdin is not None
            calls = [runs[(place * RUNS + run) % len(runs)] for run in range(RUNS)]
            task = {"environment": environment, "at": at, "seconds": seconds, "calls": calls}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        for process in self._processes:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == [""] * RUNS


def environment_of(sandbox: Sandbox, folder: Path, **variables: str) -> dict[str, str]:
    """No margin and no limit is set: what holds, holds by default."""
    return {
        "DAGSTER_HOME": str(folder),
        "PIPEDRIVE_TOKEN": sandbox.token,
        "PIPEDRIVE_BASE_URL": sandbox.url,
        "PIPEDRIVE_PLAN": sandbox.config.plan,
        "PIPEDRIVE_SEATS": str(sandbox.config.seats),
        **{f"PIPEDRIVE_{name.upper()}": value for name, value in variables.items()},
    }


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


def statuses(sandbox: Sandbox) -> Counter[int]:
    return Counter(record.status for record in sandbox.log)


def searches(sandbox: Sandbox) -> list[float]:
    return [record.time_monotonic for record in sandbox.log if record.path.endswith("/search")]


def most_in_a_window(times: list[float]) -> int:
    return max(sum(start <= other < start + 2.0 for other in times) for start in times)


@pytest.mark.parametrize("plan", LIMITS)
def test_eight_runs_at_full_speed_are_never_refused(plan: str, fleet: Fleet, tmp_path: Path) -> None:
    with Sandbox.start(SandboxConfig(plan=plan)) as sandbox:
        fleet.run(sandbox, tmp_path, 3.5, ["list"])
        assert set(statuses(sandbox)) == {200}
        assert sandbox.log.max_in_window(2.0) <= LIMITS[plan]
        # Full speed: at least half of what the plan allows in these seconds, on however busy a machine.
        assert len(sandbox.log) >= 0.5 * LIMITS[plan] * 3.5 / 2


def test_searches_keep_their_own_window_and_lists_are_not_slowed_by_it(fleet: Fleet, tmp_path: Path) -> None:
    with Sandbox.start(SandboxConfig(plan="growth")) as sandbox:
        fleet.run(sandbox, tmp_path, 5, ["search"], ["list"], ["search", "list"], ["list"])
        assert set(statuses(sandbox)) == {200}
        times = searches(sandbox)
        assert len(times) > SEARCHES and most_in_a_window(times) <= SEARCHES
        assert sandbox.log.max_in_window(2.0) <= LIMITS["growth"]
        assert len(sandbox.log) - len(times) > len(times)


@pytest.mark.soak
@pytest.mark.parametrize("plan", LIMITS)
def test_eight_runs_at_full_speed_are_never_refused_for_a_minute(
    plan: str, fleet: Fleet, tmp_path: Path
) -> None:
    with Sandbox.start(SandboxConfig(plan=plan, latency_ms=60, jitter_ms=50)) as sandbox:
        fleet.run(sandbox, tmp_path, 60, ["list"], ["list"], ["list", "search"])
        print(f"\n{plan}: {statuses(sandbox)}, at most {sandbox.log.max_in_window(2.0)} in two seconds")
        assert set(statuses(sandbox)) == {200}


# Others with the same token -----------------------------------------------------------------------


class Integration(threading.Thread):
    """Another program with the same token: ten requests a second, and it waits when it is told to."""

    PATH = "/api/v1/users/me"

    def __init__(self, sandbox: Sandbox, pace_seconds: float = 0.1) -> None:
        super().__init__(daemon=True)
        self._sandbox = sandbox
        self._pace_seconds = pace_seconds
        self._over = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            session.headers["x-api-token"] = self._sandbox.token
            while not self._over.is_set():
                answer = session.get(self._sandbox.url + self.PATH)
                waits = float(answer.headers.get("Retry-After", 0))
                self._over.wait(waits or self._pace_seconds)

    def stop(self) -> None:
        self._over.set()
        self.join()


def ours(sandbox: Sandbox) -> list[RequestRecord]:
    return [record for record in sandbox.log if record.path == "/deals"]


def most_refused_in_a_row(records: list[RequestRecord]) -> int:
    most = row = 0
    for record in records:
        row = row + 1 if record.status == 429 else 0
        most = max(most, row)
    return most


def hammer(environment: dict[str, str], seconds: float, threads: int = 4) -> None:
    """Ask without a pause; a call that finds no slot in time is simply over."""
    with wired(load_settings(environment), SystemClock()) as parts, ThreadPoolExecutor(threads) as pool:
        end = time.monotonic() + seconds

        def ask(_: int) -> None:
            while time.monotonic() < end:
                try:
                    parts.client.get(
                        Version.V2, "/deals", params={"limit": "1"}, cost=10, lane=Lane.INCREMENTAL
                    )
                except PipedriveRateLimitException as late:
                    assert late.kind == "burst"

        list(pool.map(ask, range(threads)))


def test_the_window_is_shared_with_another_integration_of_the_token(tmp_path: Path) -> None:
    with Sandbox.start(SandboxConfig(plan="growth")) as sandbox:
        other = Integration(sandbox)
        other.start()
        time.sleep(2.2)
        alone = len(sandbox.log)
        hammer(environment_of(sandbox, tmp_path), 7)
        other.stop()
        refused = Counter(record.path for record in sandbox.log if record.status == 429)
        assert 403 not in statuses(sandbox)
        assert most_refused_in_a_row(ours(sandbox)) <= 3
        assert refused["/deals"] <= 3
        # We took what they left, and they went on almost as before.
        assert len(ours(sandbox)) >= 3 * 8
        theirs = len(sandbox.log) - len(ours(sandbox))
        assert theirs >= 3 * alone
        assert refused["/users/me"] <= 6


def test_another_integration_that_heeds_nothing_does_not_get_us_refused_in_a_row(tmp_path: Path) -> None:
    # It takes two thirds of the window from the first moment on. The block is off, since it would block it.
    with Sandbox.start(SandboxConfig(plan="growth", retry_after_header=False, abuse_block=False)) as sandbox:
        other = Integration(sandbox, pace_seconds=0.07)
        other.start()
        hammer(environment_of(sandbox, tmp_path), 8)
        other.stop()
        assert most_refused_in_a_row(ours(sandbox)) <= 3
        refused = sum(record.status == 429 for record in ours(sandbox))
        assert refused <= 0.1 * len(ours(sandbox))


# With the limiter switched off ----------------------------------------------------------------------


@pytest.mark.parametrize("header", ["seconds", "date", "none"])
def test_a_limiter_that_is_switched_off_still_heeds_a_429(header: str, tmp_path: Path) -> None:
    arrivals: list[tuple[float, int]] = []
    lock = threading.Lock()

    def script(_: Seen) -> Reply:
        with lock:
            status = 429 if len(arrivals) == 30 else 200
            arrivals.append((time.monotonic(), status))
        if status == 200:
            return Reply()
        now = int(time.time())
        date, later = (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(t)) for t in (now, now + 2))
        hints = {"seconds": {"Retry-After": "2"}, "date": {"Retry-After": later, "Date": date}, "none": {}}
        return Reply(429, headers=hints[header])

    with ScriptedServer(script).running() as server:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": "1" * 40,
            "PIPEDRIVE_BASE_URL": server.url,
            "PIPEDRIVE_PLAN": "lite",
            "PIPEDRIVE_RATE_LIMITING_ENABLED": "false",
        }
        hammer(environment, 3.5)
    refused_at = arrivals[30][0]
    # Off: more than the plan's twenty went out at once.
    assert refused_at - arrivals[0][0] < 2
    later = [at - refused_at for at, _ in arrivals if at > refused_at]
    # What left before the refusal had come back and was made known; then nothing until the pause is over.
    under_way = [seconds for seconds in later if seconds < 1.9]
    assert len(under_way) <= 15
    assert max(under_way, default=0.0) < 0.5
    assert len(later) > len(under_way)


if __name__ == "__main__":
    main()
