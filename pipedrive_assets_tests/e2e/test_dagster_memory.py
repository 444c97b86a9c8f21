"""A step that runs out of memory is tried again by Dagster and goes on from where it was, page by page."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.defs.partitions import KeyRange
from pipedrive_assets.logs import ROOT
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets_tests.e2e.world import MakeWorld
from pipedrive_assets_tests.equality import assert_equal_copy

YEARS = KeyRange("2024-01", "2026-06")
MIB = 1 << 20
BALLAST_MB = 400


class Ballast(logging.Handler):
    """Holds memory from the third page of a list until its sync has failed: only then is there room again."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = 0
        self.held = b""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "pipedrive", {})
        if event.get("event") == "page_fetched":
            self.pages += 1
            if self.pages == 3:
                self.held = b"x" * (BALLAST_MB * MIB)
        elif event.get("event") == "entity_synced" and event["status"] == "failed":
            self.held = b""


@pytest.fixture
def ballast() -> Iterator[Ballast]:
    handler, logger = Ballast(), logging.getLogger(ROOT)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_step_that_ran_out_of_memory_goes_on_at_its_position_when_dagster_tries_it_again(
    make_world: MakeWorld, sandbox: Sandbox, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipedrive_assets.defs.failures.RETRY_DELAY_SECONDS", 0)
    # All of the limit but two percent is in use once the ballast is held.
    limit_mb = (SystemProbe().rss_bytes() // MIB + BALLAST_MB) * 100 // 98
    world = make_world(sandbox, job_max_tries=2, memory_limit_mb=limit_mb, min_batch_size=4, max_batch_size=4)
    result = world.run(["persons"], YEARS)
    assert result.success
    (retried,) = [event for event in result.all_events if event.is_step_up_for_retry]
    assert "are in use, although pages are down to 4 rows" in str(retried.step_retry_data.error)
    assert len([event for event in result.all_events if event.is_step_restarted]) == 1
    asked = [
        {name: value for name, value in record.params.items() if name != "limit"}
        for record in sandbox.log.for_path("/persons")
    ]
    assert all(asked.count(params) == 1 for params in asked), "no page was paid twice"
    assert world.materialized("persons") == world.calendar.keys_between(YEARS)
    in_time = [row for row in sandbox.rows("persons") if (row["update_time"] or "") < "2026-07"]
    with world.warehouse() as warehouse:
        assert_equal_copy(warehouse, {"persons": in_time})


def test_a_step_in_a_process_too_large_for_its_limit_fails_once_and_says_what_to_do(
    make_world: MakeWorld, sandbox: Sandbox
) -> None:
    world = make_world(sandbox, job_max_tries=3, memory_limit_mb=64, min_batch_size=4, max_batch_size=4)
    result = world.run(["persons"], YEARS)
    assert not result.success
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "Raise PIPEDRIVE_MEMORY_LIMIT_MB" in str(failed.step_failure_data.error)
    assert world.table("persons")
