"""Many processes and threads spend from one ledger; the server counts whether they kept the limits."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from pipedrive_assets.catalog.spec import Version
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.exceptions import PipedriveRateLimitException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.sync.session import Session, open_session

ROOT = Path(__file__).parents[2]
MODULE = "pipedrive_assets_tests.integration.test_budget_processes"
THREADS = 8
PROCESSES = 4
COST = 10
SPENT_BY_THE_VICTIM_FIRST = 5


def spend_until_refused(session: Session, lane: Lane, ready: threading.Event) -> None:
    """What each thread does: read a list again and again until the day's budget is gone."""
    requests = 0
    while True:
        try:
            session.client.get(
                Version.V2, "/deals", params={"limit": "1"}, cost=COST, entity="deals", lane=lane
            )
        except PipedriveRateLimitException as refused:
            assert refused.kind == "daily"
            return
        requests += 1
        if requests >= SPENT_BY_THE_VICTIM_FIRST:
            ready.set()


def main(environment: dict[str, str], lane: Lane, victim: bool) -> None:
    """One process: eight threads; the victim keeps one reservation open and waits to be killed."""
    with open_session(load_settings(environment)) as session:
        ready = threading.Event()
        print("open", flush=True)
        sys.stdin.readline()
        threads = [
            threading.Thread(target=spend_until_refused, args=(session, lane, ready), daemon=True)
            for _ in range(THREADS - int(victim))
        ]
        for thread in threads:
            thread.start()
        if victim:
            ready.wait()
            session._limiter.acquire(COST, "v2:/deals", lane)
            print("holding", flush=True)
            time.sleep(600)
        for thread in threads:
            thread.join()


def start(environment: dict[str, str], lane: Lane, *, victim: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, json.dumps(environment), lane.value, "victim" if victim else ""],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_four_processes_of_eight_threads_keep_budget_and_window_though_one_is_killed(
    tmp_path: Path,
) -> None:
    budget, kept_for_pushes = 2500, 1740  # 70 percent at ten past midnight
    # The sandbox's own budget is far away: what is kept is kept by our ledger, not by the server's refusals.
    config = SandboxConfig(scale="tiny", seed=7, plan="growth", now="2026-05-04T00:10:00Z")
    with Sandbox.start(config) as sandbox:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "growth",
            "PIPEDRIVE_DAILY_TOKEN_BUDGET": str(budget),
            "PIPEDRIVE_LANE_RESERVES": '{"push": 70}',
        }
        settings = load_settings(environment)
        with open_session(settings) as session:
            account = session.account_key
        processes = [
            start(environment, Lane.PUSH if place < 2 else Lane.BACKFILL, victim=place == 0)
            for place in range(PROCESSES)
        ]
        victim, *others = processes
        for process in processes:
            go(process)
        assert victim.stdout is not None
        assert victim.stdout.readline() == "holding\n"
        victim.kill()
        for process in processes:
            process.communicate(timeout=120)
        assert [process.returncode for process in others] == [0] * (PROCESSES - 1)

        spent_at_server = sandbox.log.tokens
        assert sandbox.log.max_in_window(2.0) <= 40
        assert {record.status for record in sandbox.log} == {200}
        assert spent_at_server <= budget
        # Only what may have been lost with the killed process, and the last crumb, is left.
        assert spent_at_server >= budget - COST * (THREADS + 1)

    clock: Clock = SystemClock()
    with StateStore.open(settings.state_url, clock=clock) as store:
        ledger = store.ledger(account)
        ledger.reclaim()
        day = ledger.day()
        assert day.reserved == 0
        backfilled = sum(line.tokens for line in ledger.spend(day.day) if line.lane is Lane.BACKFILL)
        assert 0 < backfilled <= budget - kept_for_pushes
        assert ledger.reclaim().reservations == 0, "reclaimed once"
    state_file = settings.state_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(state_file)) as connection:
        lost = connection.execute("SELECT COUNT(*), SUM(reclaimed_tokens) FROM reservations").fetchone()
    assert 1 <= lost[0] <= THREADS
    # Each lost request either went out (then the server counts it as well) or not (then only we do).
    assert spent_at_server <= day.own_spent <= min(budget, spent_at_server + lost[1])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Lane(sys.argv[2]), sys.argv[3] == "victim")
