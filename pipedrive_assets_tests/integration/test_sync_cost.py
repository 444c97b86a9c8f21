"""What a copy costs in tokens, counted by the server."""

from __future__ import annotations

from collections import Counter

from benchmarks.floor import lowest_price
from pipedrive_assets.catalog import CATALOG, default_entities
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.defs.pricing import plan_schedules
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncStatus
from pipedrive_assets_tests.integration.conftest import OpenSession, SettingsFor

FULL = SyncOptions(mode=SyncMode.FULL)


def test_a_full_sync_of_a_medium_account_costs_at_most_two_percent_more_than_the_floor(
    session_for: OpenSession,
) -> None:
    config = SandboxConfig(scale="medium", plan="ultimate", seats=5)
    with Sandbox.start(config) as sandbox, session_for(sandbox, burst_margin_ms=100) as session:
        lowest = lowest_price(sandbox.rows, default_entities())
        sandbox.log.clear()
        results = [session.sync(name, FULL) for name in default_entities()]
        assert sandbox.log.tokens <= 1.02 * lowest
        assert sum(result.tokens for result in results) + 2 == sandbox.log.tokens, "2 for users/me"
        assert {record.status for record in sandbox.log} == {200}


def test_an_idle_day_with_default_settings_stays_under_10000_tokens_and_never_starves_the_core(
    sandbox: Sandbox, session_for: OpenSession, settings_for: SettingsFor
) -> None:
    schedules = plan_schedules(settings_for(sandbox, plan="")).rhythms
    with session_for(sandbox) as session:
        for name in default_entities():
            session.sync(name, FULL)
        spent = Counter[str]()
        for rhythm in schedules:
            sandbox.clock.advance(3600)
            for _warm_up in range(2):  # the first run still reads the overlap
                sandbox.log.clear()
                for name in rhythm.entities:
                    session.sync(name, SyncOptions(tier=rhythm.tier))
            runs = 1440 // rhythm.interval_minutes if rhythm.enabled else 0
            spent[rhythm.name] = runs * sandbox.log.tokens
        assert sum(spent.values()) < 10_000, spent
        core = next(rhythm for rhythm in schedules if rhythm.tier is Tier.CORE)
        assert core.interval_minutes <= 30


def test_a_backfill_leaves_the_core_schedule_what_it_needs(session_for: OpenSession) -> None:
    config = SandboxConfig(scale="tiny", daily_budget=400, now="2026-11-20T00:00:10Z", frozen=True)
    with Sandbox.start(config) as sandbox, session_for(sandbox, daily_token_budget=400) as session:
        backfill = FULL.model_copy(update={"lane": Lane.BACKFILL})
        statuses = (session.sync(name, backfill).status for name in CATALOG)
        assert SyncStatus.PAUSED in statuses
        assert session.sync("deals", SyncOptions()).requests > 0
