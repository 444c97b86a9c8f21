"""Whatever happens in the account and on the way, nothing is lost once the sync has caught up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncStatus
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.clocks import ShiftedClock
from pipedrive_assets_tests.equality import assert_equal_copy, stored_rows
from pipedrive_assets_tests.integration.conftest import OpenSession

FULL = SyncOptions(mode=SyncMode.FULL)
HOUR = 3600.0


def edit(sandbox: Sandbox, entity: str, number: int, text: str) -> None:
    key = sandbox.rows(entity)[number]["id"]
    field = {"deals": "title", "notes": "content", "persons": "name", "leads": "title", "products": "name"}[
        entity
    ]
    sandbox.account.update(entity, key, **{field: text})


def test_a_write_that_the_lists_show_late_arrives_all_the_same(session_for: OpenSession) -> None:
    config = SandboxConfig(scale="tiny", index_lag_seconds=30.0, plan="ultimate")
    with Sandbox.start(config) as sandbox, session_for(sandbox) as session:
        session.sync("deals", FULL)
        sandbox.clock.advance(HOUR)
        edit(sandbox, "deals", 0, "not yet visible")
        session.sync("deals", SyncOptions())
        sandbox.clock.advance(60)
        session.sync("deals", SyncOptions())
        assert_equal_copy(session.warehouse, {"deals": sandbox.rows("deals")})


def test_rows_written_in_the_second_in_which_a_scan_ends_are_not_missed(session_for: OpenSession) -> None:
    # No overlap, so that the coverage ends in the very second in which the rows are written.
    now = "2026-11-20T12:00:00Z"
    config = SandboxConfig(scale="tiny", now=now, frozen=True, plan="ultimate")
    with Sandbox.start(config) as sandbox, session_for(sandbox, sync_overlap=0) as session:
        session.sync("deals", FULL)
        edit(sandbox, "deals", 3, "same second")
        sandbox.account.create("deals", title="same second too")
        sandbox.clock.advance(1)
        session.sync("deals", SyncOptions())
        assert_equal_copy(session.warehouse, {"deals": sandbox.rows("deals")})


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_a_client_clock_an_hour_off_loses_nothing(
    sandbox: Sandbox, session_for: OpenSession, shift: float
) -> None:
    with session_for(sandbox, clock=ShiftedClock(shift)) as session:
        for name in ("deals", "notes"):
            session.sync(name, FULL)
        for step in range(3):
            sandbox.clock.advance(1200)
            edit(sandbox, "deals", step, f"step {step}")
            edit(sandbox, "notes", step, f"step {step}")
            for name in ("deals", "notes"):
                session.sync(name, SyncOptions())
        head = session.warehouse.coverage("deals")["live"].head
        assert head is not None
        assert head.timestamp() <= sandbox.clock.time()
        for name in ("deals", "notes"):
            assert_equal_copy(session.warehouse, {name: sandbox.rows(name)})


@pytest.mark.parametrize("nulls_first", [True, False])
def test_records_without_an_update_time_are_found_at_either_end(
    session_for: OpenSession, nulls_first: bool
) -> None:
    config = SandboxConfig(scale="tiny", nulls_first=nulls_first, plan="ultimate")
    with Sandbox.start(config) as sandbox, session_for(sandbox, max_batch_size=10) as session:
        boundary = datetime(2024, 6, 1, tzinfo=UTC)
        session.sync("persons", SyncOptions(mode=SyncMode.WINDOW, until=boundary))
        stored = {row["id"] for row in stored_rows(session.warehouse, "persons")}
        timeless = {row["id"] for row in sandbox.rows("persons") if row["update_time"] is None}
        assert timeless
        assert timeless <= stored
        watermark = session.warehouse.coverage("persons")["live"].watermark
        assert watermark == boundary
        session.sync("persons", SyncOptions(mode=SyncMode.WINDOW, since=boundary))
        assert_equal_copy(session.warehouse, {"persons": sandbox.rows("persons")})


def test_a_record_edited_out_of_a_window_while_it_is_read_is_caught_by_the_next_run(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    last = max(sandbox.rows("activities"), key=lambda row: row["update_time"] or "")
    pages: list[str] = []

    def edit_before_the_third_page(version: str, path: str, params: dict[str, str]) -> None:
        pages.append(path)
        if len(pages) == 3:
            sandbox.account.update("activities", last["id"], subject="moved ahead")

    with session_for(sandbox, max_batch_size=10) as session:
        sandbox.account.hook_before_page(edit_before_the_third_page)
        until = datetime.fromisoformat(last["update_time"]) + timedelta(seconds=1)
        session.sync("activities", SyncOptions(mode=SyncMode.WINDOW, until=until))
        sandbox.clock.advance(HOUR)
        session.sync("activities", SyncOptions())
        assert_equal_copy(session.warehouse, {"activities": sandbox.rows("activities")})


@pytest.mark.parametrize("entity", ["notes", "leads", "files"])
def test_edits_and_deletes_between_the_pages_of_an_offset_list_hide_no_row(
    sandbox: Sandbox, session_for: OpenSession, entity: str
) -> None:
    rows = sandbox.rows(entity)
    calls: list[str] = []

    def disturb(version: str, path: str, params: dict[str, str]) -> None:
        calls.append(path)
        if len(calls) == 2:
            for row in rows[:3]:
                sandbox.account.delete(entity, row["id"])
            if entity != "files":
                field = "content" if entity == "notes" else "title"
                sandbox.account.update(entity, rows[4]["id"], **{field: "edited"})

    with session_for(sandbox, max_batch_size=10) as session:
        sandbox.account.hook_before_page(disturb)
        session.sync(entity, FULL)
        sandbox.clock.advance(HOUR)
        session.sync(entity, SyncOptions())
        stored = {row["id"] for row in stored_rows(session.warehouse, entity)}
        assert {row["id"] for row in sandbox.rows(entity)} <= stored


def test_a_refused_cursor_is_replaced_by_reading_on_from_the_last_time_seen(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    since = datetime(2023, 1, 1, tzinfo=UTC)
    options = SyncOptions(mode=SyncMode.WINDOW, since=since)
    with session_for(sandbox, max_batch_size=10, max_retry_attempts=0) as session:
        sandbox.faults.add("status", path=r"/activities$", status=503, nth=5, count=1)
        with pytest.raises(Exception, match="503"):
            session.sync("activities", options)
        sandbox.faults.clear()
        sandbox.faults.add("status", path=r"/activities$", status=400, count=1)
        sandbox.log.clear()
        session.sync("activities", options)
        refused, resumed = sandbox.log.for_path("/activities")[:2]
        assert "cursor" in refused.params
        assert resumed.params["updated_since"] > "2023-01-01T00:00:00Z"
        assert_equal_copy(
            session.warehouse,
            {"activities": [row for row in sandbox.rows("activities") if row["update_time"] is not None]},
        )


def test_a_schedule_that_fires_during_a_backfill_leaves_the_entity_to_it(
    sandbox: Sandbox, session_for: OpenSession, tmp_path: Path
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(version: str, path: str, params: dict[str, str]) -> None:
        if path.endswith("/activities") and "cursor" in params and not reached.is_set():
            reached.set()
            go_on.wait(20)

    sandbox.account.hook_before_page(hold)
    with session_for(sandbox, run_id="backfill", max_batch_size=10) as backfill:
        backfill.sync("users", FULL)
        worker = threading.Thread(
            target=backfill.sync, args=("activities", FULL.model_copy(update={"source": Source.BACKFILL}))
        )
        worker.start()
        assert reached.wait(20)
        with session_for(sandbox, run_id="tick") as tick:
            # The sandbox holds a page back, so only what needs no page may be asked of it here.
            busy = tick.sync("activities", SyncOptions(source=Source.SCHEDULE))
        go_on.set()
        worker.join()
        assert busy.status is SyncStatus.BUSY
        assert "backfill" in busy.reason
        assert_equal_copy(backfill.warehouse, {"activities": sandbox.rows("activities")})


KILLED = """
import sys
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import open_session
with open_session(load_settings()) as session:
    for name in ("users", "deals", "activities", "notes", "deal_products"):
        session.sync(name, SyncOptions(mode=SyncMode.FULL))
"""


def test_a_killed_run_loses_nothing_and_pays_for_no_committed_page_twice(tmp_path: Path) -> None:
    config = SandboxConfig(scale="tiny", plan="ultimate", latency_ms=30)
    with Sandbox.start(config) as sandbox:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "PIPEDRIVE_TOKEN": sandbox.token,
            "PIPEDRIVE_BASE_URL": sandbox.url,
            "PIPEDRIVE_PLAN": "ultimate",
            "PIPEDRIVE_MAX_BATCH_SIZE": "10",
            "PIPEDRIVE_MIN_BATCH_SIZE": "5",
        }
        for pages_before_the_kill in (3, 7, 12):
            sandbox.log.clear()
            process = subprocess.Popen([sys.executable, "-c", KILLED], env={**os.environ, **environment})
            while process.poll() is None and len(sandbox.log) < pages_before_the_kill:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with open_session(load_settings(environment)) as session:
            for name in ("users", "deals", "activities", "notes", "deal_products"):
                session.sync(name, SyncOptions())
                assert_equal_copy(session.warehouse, {name: sandbox.rows(name)})


# Cost --------------------------------------------------------------------------------------------------


CORE = [name for name, spec in CATALOG.items() if spec.tier is Tier.CORE]


def test_an_incremental_run_without_changes_costs_at_most_110_tokens_for_the_core_tier(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    options = SyncOptions(tier=Tier.CORE)
    with session_for(sandbox) as session:
        for name in CORE:
            session.sync(name, FULL)
        sandbox.clock.advance(HOUR)
        for name in CORE:
            session.sync(name, options)
        sandbox.log.clear()
        for name in CORE:
            session.sync(name, options)
        assert sandbox.log.tokens <= 110
        paths = [record.path for record in sandbox.log]
        assert len(paths) == len(set(paths)), "one request per endpoint at most"


# Random histories ---------------------------------------------------------------------------------------

Operation = tuple[str, str, int]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "update", "archive", "sync", "sync", "advance", "window"]),
        st.sampled_from(["deals", "notes", "persons", "leads", "products"]),
        st.integers(0, 30),
    ),
    min_size=3,
    max_size=14,
)


@pytest.fixture(scope="module")
def history_sandbox() -> Any:
    with Sandbox.start(SandboxConfig(scale="tiny", index_lag_seconds=5.0, plan="ultimate")) as running:
        yield running


@examples(max_examples=12)
@given(operations=OPERATIONS)
def test_random_edits_between_random_syncs_end_in_an_equal_copy(
    history_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, operations: list[Operation]
) -> None:
    _live_through(history_sandbox, tmp_path_factory.mktemp("history"), operations)


@pytest.mark.soak
@examples(max_examples=400)
@given(operations=OPERATIONS)
def test_many_random_histories_end_in_an_equal_copy(
    history_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, operations: list[Operation]
) -> None:
    _live_through(history_sandbox, tmp_path_factory.mktemp("history"), operations)


def _live_through(sandbox: Sandbox, home: Path, operations: list[Operation]) -> None:
    environment = {
        "DAGSTER_HOME": str(home),
        "PIPEDRIVE_TOKEN": sandbox.token,
        "PIPEDRIVE_BASE_URL": sandbox.url,
        "PIPEDRIVE_PLAN": "ultimate",
        "PIPEDRIVE_MAX_BATCH_SIZE": "20",
    }
    touched = {entity for _, entity, _ in operations}
    with open_session(load_settings(environment)) as session:
        for operation, entity, number in operations:
            _apply(sandbox, session, operation, entity, number)
        sandbox.clock.advance(60)
        for entity in touched:
            session.sync(entity, SyncOptions())
            assert_equal_copy(session.warehouse, {entity: sandbox.rows(entity)})


def _apply(sandbox: Sandbox, session: Session, operation: str, entity: str, number: int) -> None:
    rows = [row for row in sandbox.rows(entity) if not row.get("is_archived") and not row.get("is_deleted")]
    match operation:
        case "create":
            fields: dict[str, dict[str, Any]] = {
                "deals": {"title": f"deal {number}"},
                "notes": {"content": f"note {number} 🎈"},
                "persons": {"name": f"person {number}"},
                "leads": {"title": f"lead {number}"},
                "products": {"name": f"product {number}"},
            }
            sandbox.account.create(entity, **fields[entity])
        case "update":
            field = {"notes": "content", "deals": "title", "leads": "title"}.get(entity, "name")
            sandbox.account.update(entity, rows[number % len(rows)]["id"], **{field: f"edit {number}"})
        case "archive" if entity in ("deals", "leads"):
            sandbox.account.archive(entity, rows[number % len(rows)]["id"])
        case "sync":
            session.sync(entity, SyncOptions())
        case "window":
            start = datetime(2024, 1 + number % 12, 1, tzinfo=UTC)
            options = SyncOptions(mode=SyncMode.WINDOW, since=start, until=start + timedelta(days=40))
            session.sync(entity, options)
        case "advance":
            sandbox.clock.advance(number * 40)
