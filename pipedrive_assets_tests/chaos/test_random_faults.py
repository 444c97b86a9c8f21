"""Whatever fails on the way, once the faults stop the next sync makes the warehouse equal the account."""

from __future__ import annotations

import random

import pytest

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import open_session
from pipedrive_assets_tests.chaos import children
from pipedrive_assets_tests.chaos.children import Task
from pipedrive_assets_tests.chaos.conftest import EnvironmentFor
from pipedrive_assets_tests.chaos.schedules import (
    ENTITIES,
    KINDS,
    PLACES,
    STATUSES,
    BusyAccount,
    aim,
    make_noise,
    replayable,
    seeds,
)
from pipedrive_assets_tests.equality import assert_equal_copy

HOUR = 3600.0
MOST_ROUNDS = 12


@pytest.mark.parametrize("seed", seeds([2, 3]))
def test_after_any_faults_the_next_sync_makes_an_equal_copy(
    environment_for: EnvironmentFor, seed: int
) -> None:
    play(environment_for, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", seeds([random.SystemRandom().getrandbits(32) for _ in range(30)]))
def test_after_any_of_many_schedules_the_next_sync_makes_an_equal_copy(
    environment_for: EnvironmentFor, seed: int
) -> None:
    play(environment_for, seed)


def play(environment_for: EnvironmentFor, seed: int) -> None:
    config = SandboxConfig(scale="tiny", seed=seed, burst_limit=5000, index_lag_seconds=20)
    with replayable(seed) as drawn, Sandbox.start(config) as sandbox:
        rate = make_noise(sandbox, drawn)
        aimed = aim(sandbox, drawn)
        people = BusyAccount(sandbox, drawn)
        sandbox.account.hook_before_page(people)
        rounds = 0
        while any(not fault.fired for fault in aimed) and rounds < MOST_ROUNDS:
            rounds += 1
            children.start(
                environment_for(sandbox, request_timeout=0.4), Task(ENTITIES, wait_for_breaker=2)
            ).finish()
            sandbox.clock.advance(drawn.choice((60, 900, 7200)))
        firings = list(sandbox.faults.firings)
        sandbox.faults.clear()
        sandbox.account.hooks.clear()
        sandbox.clock.advance(HOUR)
        outcomes = children.start(environment_for(sandbox), Task(ENTITIES, wait_for_breaker=5)).finish()

        assert {outcome.status for outcome in outcomes} == {"complete"}, outcomes
        with open_session(load_settings(environment_for(sandbox))) as session, session.warehouse.together():
            assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in ENTITIES})
        hit = {(firing.kind, firing.place) for firing in firings}
        assert {(kind, place) for kind in KINDS for place in PLACES} <= hit
        assert {firing.status for firing in firings if firing.kind == "status"} >= set(STATUSES)
        print(
            f"seed {seed}: {len(firings)} faults in {len(sandbox.log)} requests ({rate:.0%} noise),"
            f" {people.edits} edits, {rounds} rounds"
        )
