"""When schedules and sensors start nothing, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipedrive_assets.api.auth import token_fingerprint
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.gate import dearest_request, reason_to_wait
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.ledger import Observation, Reservation
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

TOKEN = "0123456789abcdef0123456789abcdef01234567"
COMPANY = "77"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON.timestamp())


@pytest.fixture
def settings(tmp_path: Path, clock: ManualClock) -> PipedriveSettings:
    found = load_settings(
        {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": TOKEN,
            "PIPEDRIVE_DAILY_TOKEN_BUDGET": "1000",
            "PIPEDRIVE_LANE_RESERVES": '{"incremental": 50}',
            "PIPEDRIVE_ENABLED_ENTITIES": "deals,persons",
        }
    )
    with StateStore.open(found.state_url, clock=clock) as store:
        store.remember_account(token_fingerprint(TOKEN), AccountIdentity(77, "Acme", "acme", 1, "Ann", True))
    return found


def spend(
    settings: PipedriveSettings, clock: ManualClock, tokens: int, seen: Observation | None = None
) -> None:
    with StateStore.open(settings.state_url, clock=clock) as store:
        ledger = store.ledger(COMPANY)
        entry = ledger.reserve(
            tokens, "v2:/deals", Lane.INCREMENTAL, slot_at=clock.time(), lifetime=60, budget=None
        )
        assert isinstance(entry, Reservation)
        ledger.settle(entry.reservation_id, charged=tokens, seen=seen)


def open_breaker(settings: PipedriveSettings, now: float, timeout: float) -> None:
    with StateStore.open(settings.state_url, clock=SystemClock()) as store:
        store.breaker(COMPANY).record_failure("me", now=now, threshold=1, timeout=timeout)


def test_nothing_holds_a_run_back_while_there_are_tokens(
    settings: PipedriveSettings, clock: ManualClock
) -> None:
    assert reason_to_wait(settings, Lane.INCREMENTAL, 20, clock) is None


def test_before_the_first_run_nothing_is_asked_and_nothing_is_created(tmp_path: Path) -> None:
    fresh = load_settings({"DAGSTER_HOME": str(tmp_path / "home"), "PIPEDRIVE_TOKEN": TOKEN})
    assert reason_to_wait(fresh, Lane.INCREMENTAL, 20) is None
    assert not (tmp_path / "home").exists()


def test_a_lane_without_room_for_a_request_waits_for_the_reset(
    settings: PipedriveSettings, clock: ManualClock
) -> None:
    spend(settings, clock, 985)
    assert reason_to_wait(settings, Lane.INCREMENTAL, 20, clock) == (
        "lane incremental has 15 tokens left today, and a request takes 20;"
        " the budget resets at 2026-11-24 00:00:00 UTC"
    )
    assert reason_to_wait(settings, Lane.INCREMENTAL, 10, clock) is None
    clock.advance(12 * 3600)
    assert reason_to_wait(settings, Lane.INCREMENTAL, 20, clock) is None


def test_a_backfill_waits_where_a_schedule_may_still_run(
    settings: PipedriveSettings, clock: ManualClock
) -> None:
    spend(settings, clock, 800)
    assert reason_to_wait(settings, Lane.INCREMENTAL, 20, clock) is None
    assert "lane backfill has 0 tokens left" in str(reason_to_wait(settings, Lane.BACKFILL, 20, clock))


def test_pipedrives_own_word_counts_for_every_lane(settings: PipedriveSettings, clock: ManualClock) -> None:
    spend(settings, clock, 10, Observation(limit=30_000, remaining=0))
    off = PipedriveSettings(**{**settings.model_dump(), "rate_limiting_enabled": False})
    for lane in Lane:
        for each in (settings, off):
            assert "no tokens are left today; the budget resets at 2026-11-24" in str(
                reason_to_wait(each, lane, 1, clock)
            )


def test_an_open_breaker_is_waited_for_until_its_next_try(
    settings: PipedriveSettings, clock: ManualClock
) -> None:
    open_breaker(settings, clock.time(), 300)
    assert reason_to_wait(settings, Lane.PUSH, 1, clock) == (
        "the circuit breaker is open; the next try is at 2026-11-23 12:05:00 UTC"
    )
    clock.advance(300)
    assert reason_to_wait(settings, Lane.PUSH, 1, clock) is None, "this run is the next try"
    with StateStore.open(settings.state_url, clock=clock) as store:
        store.breaker(COMPANY).admit("another", now=clock.time(), probe_seconds=60)
    assert "waits for the answer to a probe, until 2026-11-23 12:06:00 UTC" in str(
        reason_to_wait(settings, Lane.PUSH, 1, clock)
    )


def test_a_breaker_that_a_clock_a_month_ahead_has_opened_holds_no_run_back(
    settings: PipedriveSettings, clock: ManualClock
) -> None:
    open_breaker(settings, clock.time() + 30 * 86_400, 300)
    assert reason_to_wait(settings, Lane.INCREMENTAL, 20, clock) is None


def test_the_dearest_request_is_that_of_the_streams_that_are_read(settings: PipedriveSettings) -> None:
    assert dearest_request(settings, ["deals"]) == 20
    assert dearest_request(settings, ["leads"]) == 40
    assert dearest_request(settings, ["leads"], Tier.CORE) == 20
    dear = PipedriveSettings(**{**settings.model_dump(), "token_costs": {"leads": 50}})
    assert dearest_request(dear, ["deals", "leads"]) == 50


def test_a_schedule_skips_with_the_reason(settings: PipedriveSettings, tmp_path: Path) -> None:
    repository = build_defs(settings).get_repository_def()
    schedule = repository.get_schedule_def("pipedrive_core")
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        # Entered and left: what it has opened would outlive this test.
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC), repository_def=repository
        ) as context,
    ):
        assert schedule.evaluate_tick(context).run_requests
        open_breaker(settings, SystemClock().time(), 300)
        skipped = schedule.evaluate_tick(context)
        assert "the circuit breaker is open; the next try is at" in str(skipped.skip_message)
