"""Others on the same machine are in the way: midnight, a locked state store, a full disk, a reader."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import time

import duckdb
import pytest

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.chaos import children
from pipedrive_assets_tests.chaos.children import Outcome, Task
from pipedrive_assets_tests.chaos.conftest import EnvironmentFor
from pipedrive_assets_tests.chaos.schedules import BusyAccount, replayable, seeds
from pipedrive_assets_tests.equality import assert_equal_copy

TASK = Task(("organizations", "deals", "activities", "leads", "notes"))
HOUR, DAY = 3600.0, 86_400.0
MOST_DAYS = 40


@contextmanager
def a_sandbox(**config: object) -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", burst_limit=5000, **config)) as sandbox:  # type: ignore[arg-type]
        yield sandbox


def sync_to_an_equal_copy(sandbox: Sandbox, environment: Mapping[str, str]) -> None:
    """With nothing in the way, one sync of each entity is enough."""
    outcomes = children.start(environment, TASK).finish()
    assert {outcome.status for outcome in outcomes} == {"complete"}, outcomes
    with open_session(load_settings(environment)) as session, session.warehouse.together():
        assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in TASK.entities})


def at_page(sandbox: Sandbox, page: int, act: Callable[[], None]) -> None:
    """Do something while the page of that number is asked for."""
    numbers = count(1)

    def before_page(version: str, path: str, params: dict[str, str]) -> None:
        if next(numbers) == page:
            act()

    sandbox.account.hook_before_page(before_page)


# Midnight ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds([21]))
def test_midnights_in_the_middle_of_requests_lose_no_row_and_exceed_no_days_budget(
    environment_for: EnvironmentFor, seed: int
) -> None:
    budget = 300
    config = {"now": "2026-11-20T23:59:00Z", "daily_budget": budget, "seed": seed}
    with replayable(seed) as drawn, a_sandbox(**config) as sandbox:
        environment = environment_for(sandbox, daily_token_budget=budget)
        people = BusyAccount(sandbox, drawn, share=0.1)
        pages = count(1)

        def time_flies(version: str, path: str, params: dict[str, str]) -> None:
            people(version, path, params)
            if next(pages) % 15 == 0:
                midnight = (sandbox.clock.time() // DAY + 1) * DAY
                sandbox.clock.set(midnight + drawn.choice((-2.0, -0.2, 0.0, 0.5, 30.0)))

        sandbox.account.hook_before_page(time_flies)
        refused: list[str] = []
        # The clock that jumps is the server's; the nights between two runs pass for everybody.
        clock_shift = sandbox.clock.time() - time()
        for _ in range(MOST_DAYS):
            ended = children.start(environment, replace(TASK, clock_shift=clock_shift)).finish()
            unfinished = [outcome.reason for outcome in ended if outcome.status != "complete"]
            if not unfinished:
                break
            refused += unfinished
            night = drawn.choice((HOUR, 12 * HOUR, DAY))
            sandbox.clock.advance(night)
            clock_shift += night
        assert not unfinished, unfinished
        assert refused
        assert all("budget" in reason for reason in refused), refused
        assert next(pages) > 45, "three midnights at least"
        assert max(sandbox.log.tokens_by_day().values()) <= budget
        # A Date has whole seconds: a client may take the last one of a day for the first of the next.
        refused_at = [record.time_server % DAY for record in sandbox.log if record.status == 429]
        assert all(moment > DAY - 1 for moment in refused_at), refused_at
        assert {record.status for record in sandbox.log} <= {200, 429}
        sandbox.account.hooks.clear()
        sandbox.limits.set_budget(100_000)
        sync_to_an_equal_copy(sandbox, environment_for(sandbox, daily_token_budget=100_000))


# The state store --------------------------------------------------------------------------------------


def hold_state_store(sandbox: Sandbox, environment: Mapping[str, str], seconds: float) -> list[Outcome]:
    """Sync while another process holds the state store's write lock, from the fourth page on."""
    path = load_settings(environment).state_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)) as other:
        released = threading.Timer(seconds, lambda: other.execute("ROLLBACK"))

        def occupy() -> None:
            other.execute("BEGIN IMMEDIATE")
            released.start()

        at_page(sandbox, 4, occupy)
        outcomes = children.start(environment, TASK).finish()
        released.join()
        sandbox.account.hooks.clear()
    return outcomes


def test_a_state_store_locked_for_seconds_is_waited_for(environment_for: EnvironmentFor) -> None:
    with a_sandbox() as sandbox:
        environment = environment_for(sandbox)
        with open_session(load_settings(environment)) as session:
            session.identify()
        outcomes = hold_state_store(sandbox, environment, seconds=3.0)
        assert {outcome.status for outcome in outcomes} == {"complete"}, outcomes
        sync_to_an_equal_copy(sandbox, environment)


@pytest.mark.soak
def test_a_state_store_locked_for_longer_than_anybody_waits_costs_no_row(
    environment_for: EnvironmentFor,
) -> None:
    with a_sandbox() as sandbox:
        environment = environment_for(sandbox)
        with open_session(load_settings(environment)) as session:
            session.identify()
        outcomes = hold_state_store(sandbox, environment, seconds=75.0)
        assert any("PipedriveStateException" in outcome.reason for outcome in outcomes)
        sync_to_an_equal_copy(sandbox, environment)


# The disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds([31]))
def test_a_full_disk_fails_syncs_with_a_clear_message_and_damages_nothing(
    environment_for: EnvironmentFor, seed: int
) -> None:
    with replayable(seed) as drawn, a_sandbox(seed=seed) as sandbox:
        environment = environment_for(sandbox)
        failures: list[str] = []
        for kilobytes in sorted(drawn.sample(range(16, 3000), 5)):
            full = Task(TASK.entities, file_bytes=kilobytes * 1024)
            outcomes = children.start(environment, full).finish()
            failures += [outcome.reason for outcome in outcomes if outcome.status == "error"]
        assert failures
        for reason in failures:
            assert reason.startswith(("PipedriveWarehouseException", "PipedriveStateException")), reason
            assert environment["DAGSTER_HOME"] in reason, f"it says which file: {reason}"
        sync_to_an_equal_copy(sandbox, environment)


# A reader of the warehouse ----------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "patience", "ends"), [(1.0, 20, "complete"), (3.0, 1, "error")])
def test_a_reader_is_waited_for_or_named_and_no_progress_is_lost(
    environment_for: EnvironmentFor, seconds: float, patience: int, ends: str
) -> None:
    with a_sandbox() as sandbox:
        environment = environment_for(sandbox, warehouse_lock_timeout=patience)
        target = load_settings(environment).warehouse
        with open_session(load_settings(environment)) as session:
            assert session.account
        reading: list[duckdb.DuckDBPyConnection] = []
        released = threading.Timer(seconds, lambda: reading[0].close())

        def read() -> None:
            reading.append(duckdb.connect(target, read_only=True))
            released.start()

        at_page(sandbox, 25, read)
        outcomes = children.start(environment, TASK).finish()
        released.join()
        sandbox.account.hooks.clear()
        assert ends in {outcome.status for outcome in outcomes}
        for outcome in outcomes:
            if outcome.status == "error":
                assert f"(pid {os.getpid()})" in outcome.reason, outcome.reason
        assert Path(target).exists()
        sync_to_an_equal_copy(sandbox, environment)
