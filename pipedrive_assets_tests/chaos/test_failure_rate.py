"""How many runs fail while a share of all requests does."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.chaos.conftest import EnvironmentFor
from pipedrive_assets_tests.chaos.schedules import make_noise, replayable, seeds
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.equality import assert_equal_copy

ENTITIES = ("stages", "organizations", "tasks")
"""Two to five pages each, so that one run in five meets a fault."""
RATE = 0.05
MOST_FAILURES = 0.01


@pytest.mark.parametrize("seed", seeds([51]))
def test_fewer_than_one_run_in_a_hundred_fails_at_five_percent_faults(
    environment_for: EnvironmentFor, seed: int
) -> None:
    measure(environment_for, seed, runs=100, page_rows=10)


@pytest.mark.soak
@pytest.mark.parametrize("seed", seeds([random.SystemRandom().getrandbits(32)]))
def test_the_failure_rate_over_thousands_of_runs(environment_for: EnvironmentFor, seed: int) -> None:
    measure(environment_for, seed, runs=2000, page_rows=5)


def measure(environment_for: EnvironmentFor, seed: int, *, runs: int, page_rows: int) -> None:
    failures: Counter[str] = Counter()
    config = SandboxConfig(seed=seed, burst_limit=1_000_000, daily_budget=10**9)
    with replayable(seed) as drawn, Sandbox.start(config) as sandbox:
        # Defaults for what decides: three retries, a breaker that opens after five failures for 300 s.
        environment = environment_for(
            sandbox,
            request_timeout=0.4,
            rate_limit_max_delay=16,
            circuit_breaker_timeout=300,
            max_batch_size=page_rows,
        )
        with open_session(load_settings(environment), clock=SkippingClock()) as session:
            assert session.account
            make_noise(sandbox, drawn, rate=RATE)
            sandbox.log.clear()
            for number in range(runs):
                run(session, ENTITIES[number % len(ENTITIES)], failures)
            requests, faults = len(sandbox.log), len(sandbox.faults.firings)
            sandbox.faults.clear()
            for entity in ENTITIES:
                session.sync(entity, SyncOptions())
            assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in ENTITIES})
    print(
        f"seed {seed}: {failures.total()} of {runs} runs failed ({failures.total() / runs:.2%}) with"
        f" {faults} faults in {requests} requests ({faults / requests:.1%}) {dict(failures) or ''}"
    )
    assert failures.total() < MOST_FAILURES * runs
    assert 0.6 * RATE < faults / requests < 1.6 * RATE


def run(session: Session, entity: str, failures: Counter[str]) -> None:
    try:
        session.sync(entity, SyncOptions(mode=SyncMode.FULL))
    except PipedriveException as error:
        failures[type(error).__name__] += 1
