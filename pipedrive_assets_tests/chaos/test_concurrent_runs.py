"""Eight runs of one entity at once, in processes and threads: no update is lost, no limit exceeded."""

from __future__ import annotations

import threading

import pytest

from pipedrive_assets.catalog import spec
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.chaos import children
from pipedrive_assets_tests.chaos.children import Outcome, Task
from pipedrive_assets_tests.chaos.conftest import EnvironmentFor
from pipedrive_assets_tests.chaos.schedules import BusyAccount, replayable, seeds
from pipedrive_assets_tests.equality import assert_equal_copy

PROCESSES, THREADS = 6, 2
BUDGET = 250
BURST = 40


@pytest.mark.parametrize("seed", seeds([41]))
def test_eight_concurrent_runs_of_one_entity_lose_no_update_and_keep_the_limits(
    environment_for: EnvironmentFor, seed: int
) -> None:
    concurrent_runs(environment_for, seed, rounds=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", seeds(range(400, 410)))
def test_eight_runs_over_and_over_lose_no_update_and_keep_the_limits(
    environment_for: EnvironmentFor, seed: int
) -> None:
    concurrent_runs(environment_for, seed, rounds=6)


def concurrent_runs(environment_for: EnvironmentFor, seed: int, *, rounds: int) -> None:
    with replayable(seed) as drawn, Sandbox.start(SandboxConfig(plan="growth", seed=seed)) as sandbox:
        limits = {
            "plan": "growth",
            "daily_token_budget": BUDGET,
            "burst_margin_ms": 300,
            "max_batch_size": 20,
        }
        environment = environment_for(sandbox, **limits)
        people = BusyAccount(sandbox, drawn, share=0.5)
        sandbox.account.hook_before_page(people)
        modes = (SyncMode.INCREMENTAL, SyncMode.FULL)
        with open_session(load_settings(environment)) as session:
            assert session.account
            outcomes: list[Outcome] = []
            threads = [
                threading.Thread(target=run_in_thread, args=(session, rounds, outcomes))
                for _ in range(THREADS)
            ]
            processes = [
                children.start(environment, Task(("deals",), rounds=rounds, mode=modes[place % 2]))
                for place in range(PROCESSES)
            ]
            for thread in threads:
                thread.start()
            for process in processes:
                outcomes += process.finish()
            for thread in threads:
                thread.join()
            assert len(outcomes) == rounds * (PROCESSES + THREADS)
            assert {outcome.status for outcome in outcomes} == {"complete", "paused"}, outcomes
            assert all("budget" in each.reason for each in outcomes if each.status == "paused"), outcomes
            assert sandbox.log.tokens <= BUDGET
            assert sandbox.log.max_in_window() <= BURST
            assert {record.status for record in sandbox.log} == {200}
        sandbox.account.hooks.clear()
        sandbox.clock.advance(3600)
        with open_session(load_settings(environment_for(sandbox, plan="growth"))) as session:
            session.sync("deals", SyncOptions())
            assert_equal_copy(session.warehouse, {"deals": sandbox.rows("deals")})
            assert session.warehouse.duplicate_keys(spec("deals")) == 0
            created = sum(run["created"] for run in session.warehouse.runs(1000))
            assert created == session.warehouse.row_count("deals"), "each deal was created once, by one run"
        print(f"seed {seed}: {len(outcomes)} runs, {sandbox.log.tokens} tokens, {people.edits} edits")


def run_in_thread(session: Session, rounds: int, outcomes: list[Outcome]) -> None:
    """A run beside the processes."""
    for _ in range(rounds):
        result = session.sync("deals", SyncOptions(source=Source.CLI))
        outcomes.append(Outcome("deals", result.status.value, result.reason))
