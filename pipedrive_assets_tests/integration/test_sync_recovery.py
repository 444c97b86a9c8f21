"""After failures of every kind, what a later run says it holds is what it holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipedrive_assets.api.pages import ListRequest, Page, PageToken
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.exceptions import PipedriveAuthException, PipedriveServerException
from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncStatus
from pipedrive_assets.warehouse.store import Warehouse
from pipedrive_assets_tests.clocks import ShiftedClock
from pipedrive_assets_tests.equality import assert_equal_copy, stored_rows
from pipedrive_assets_tests.integration.conftest import OpenSession

FULL = SyncOptions(mode=SyncMode.FULL)
HOUR = 3600.0
DAY = 24 * HOUR


def test_records_without_a_time_at_the_end_of_the_only_page_are_kept(session_for: OpenSession) -> None:
    config = SandboxConfig(scale="tiny", nulls_first=False, plan="ultimate")
    with Sandbox.start(config) as sandbox, session_for(sandbox) as session:
        session.sync("persons", SyncOptions(mode=SyncMode.WINDOW, until=datetime(2024, 6, 1, tzinfo=UTC)))
        session.sync("persons", SyncOptions())
        assert_equal_copy(session.warehouse, {"persons": sandbox.rows("persons")})


def test_children_of_a_parent_list_that_failed_once_are_not_taken_for_read(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    for deal in [row for row in sandbox.rows("deals") if row["products_count"]][:3]:
        if not deal["is_archived"] and not deal["is_deleted"]:
            sandbox.account.archive("deals", deal["id"])
    sandbox.clock.advance(HOUR)
    with session_for(sandbox, max_retry_attempts=0) as session:
        sandbox.faults.add("status", path="/deals/archived", status=503, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("deals", SyncOptions())
        assert session.sync("deal_products", SyncOptions()).status is SyncStatus.PARTIAL
        assert session.status().entities
        for _ in range(2):
            sandbox.clock.advance(HOUR)
            session.sync("deals", SyncOptions())
            session.sync("deal_products", SyncOptions())
        names = ("deals", "deal_products")
        assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in names})


def test_an_unread_stream_leaves_the_watermark_open(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox, max_retry_attempts=0) as session:
        sandbox.faults.add("status", path="/deals/archived", status=503, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("deals", SyncOptions())
        (deals,) = [each for each in session.status().entities if each.entity == "deals"]
        assert deals.watermark is None
        session.sync("deals", SyncOptions())
        (deals,) = [each for each in session.status().entities if each.entity == "deals"]
        assert deals.watermark is not None


def test_a_stream_the_plan_does_not_open_holds_back_neither_watermark_nor_children(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("status", path="/deals/archived", status=402)
    with session_for(sandbox) as session:
        session.sync("deals", SyncOptions())
        (deals,) = [each for each in session.status().entities if each.entity == "deals"]
        assert deals.watermark is not None
        assert session.sync("deal_products", SyncOptions()).status is SyncStatus.COMPLETE


def test_a_full_child_sync_begins_anew_after_one_that_ended_with_a_whole_batch(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        session.sync("notes", FULL)
        assert len(sandbox.rows("notes")) % 10 == 0, "or this test shows nothing"
        first = session.sync("note_comments", FULL)
        note = sandbox.rows("notes")[3]["id"]
        sandbox.account.create("note_comments", note_id=note, content="written later")
        again = session.sync("note_comments", FULL)
        assert again.requests >= first.requests
        assert_equal_copy(session.warehouse, {"note_comments": sandbox.rows("note_comments")})


def test_one_record_hidden_from_the_token_does_not_hide_the_others(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        session.sync("notes", FULL)
        hidden = sandbox.rows("notes")[0]["id"]
        sandbox.faults.add("status", path=rf"/notes/{hidden}/comments", status=403)
        result = session.sync("note_comments", FULL)
        assert result.status is SyncStatus.COMPLETE
        assert str(hidden) in result.reason
        others = [row for row in sandbox.rows("note_comments") if row["note_id"] != hidden]
        assert_equal_copy(session.warehouse, {"note_comments": others})


def test_an_endpoint_closed_for_every_record_is_skipped(sandbox: Sandbox, session_for: OpenSession) -> None:
    sandbox.faults.add("status", path=r"/notes/\d+/comments", status=403)
    with session_for(sandbox) as session:
        session.sync("notes", FULL)
        for _ in range(2):
            result = session.sync("note_comments", FULL)
            assert (result.status, result.fetched) == (SyncStatus.SKIPPED, 0)
        sandbox.faults.clear()
        session.sync("note_comments", FULL)
        assert_equal_copy(session.warehouse, {"note_comments": sandbox.rows("note_comments")})


def test_everything_asked_for_anew_is_not_taken_from_a_run_of_long_ago(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox, max_batch_size=10, max_retry_attempts=0) as session:
        session.sync("organizations", FULL)
        sandbox.faults.add("status", path="/organizations$", status=503, nth=2, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("organizations", FULL)
        sandbox.clock.advance(40 * DAY)
        session.sync("organizations", SyncOptions())  # the first answer tells what day it is
        timed = [row for row in sandbox.rows("organizations") if row["update_time"]]
        oldest = min(timed, key=lambda row: row["update_time"])
        sandbox.account.touch_counter("organizations", oldest["id"], people_count=999)
        session.sync("organizations", FULL)
        assert_equal_copy(session.warehouse, {"organizations": sandbox.rows("organizations")})


def test_a_list_without_times_is_not_resumed_once_its_first_pages_have_aged(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox, max_batch_size=5, min_batch_size=5, max_retry_attempts=0) as session:
        sandbox.faults.add("status", path="/tasks$", status=503, nth=3, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("tasks", FULL)
        sandbox.clock.advance(20 * HOUR)
        session.sync("users", FULL)
        sandbox.account.update("tasks", sandbox.rows("tasks")[0]["id"], title="edited meanwhile")
        session.sync("tasks", FULL)
        assert_equal_copy(session.warehouse, {"tasks": sandbox.rows("tasks")})


def test_children_of_a_deleted_parent_are_marked_gone(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        for name in ("deals", "deal_products"):
            session.sync(name, FULL)
        parent = sandbox.rows("deal_products")[0]["deal_id"]
        sandbox.clock.advance(HOUR)
        sandbox.account.delete("deals", parent)
        sandbox.clock.advance(HOUR)
        for name in ("deals", "deal_products"):
            session.sync(name, SyncOptions())
        assert parent not in {row["deal_id"] for row in stored_rows(session.warehouse, "deal_products")}
        assert_equal_copy(session.warehouse, {"deal_products": sandbox.rows("deal_products")})


def test_values_no_calendar_or_column_can_hold_do_not_stop_a_run(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    for value in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"):
        sandbox.faults.add("bad_value", path="/persons$", column="update_time", value=value, count=1)
    sandbox.faults.add("bad_value", path="/deals$", column="id", value=2**63, count=1)
    with session_for(sandbox) as session:
        for name in ("persons", "persons", "deals"):
            result = session.sync(name, FULL)
            assert result.quarantined > 0


def test_a_wait_for_another_run_ends_at_the_deadline(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox, run_id="holder") as holder, session_for(sandbox, run_id="waiter") as waiter:
        holder.sync("users", FULL)
        lease = holder.state.leases(holder.account_key).acquire("sync:users", "holder")
        assert lease is not None
        deadline = datetime.now(UTC) + timedelta(seconds=1)
        result = waiter.sync("users", SyncOptions(source=Source.CLI, deadline=deadline))
        assert result.status is SyncStatus.BUSY
        assert "holder" in result.reason
        lease.release()


def test_a_run_whose_lease_was_taken_over_stops_at_its_next_commit(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox, run_id="first", max_batch_size=5, min_batch_size=5) as session:
        session.sync("users", FULL)
        # To a process whose clock is an hour ahead the lease has run out.
        with StateStore.open(session.settings.state_url, clock=ShiftedClock(HOUR)) as elsewhere:

            def take_over(version: str, path: str, params: dict[str, str]) -> None:
                if path.endswith("/activities") and "cursor" in params:
                    elsewhere.leases(session.account_key).acquire("sync:activities", "second")

            sandbox.account.hook_before_page(take_over)
            result = session.sync("activities", FULL)
        assert result.status is SyncStatus.PARTIAL
        assert "lease" in result.reason
        assert 0 < result.fetched < len(sandbox.rows("activities"))


def test_the_error_that_failed_a_run_is_told_even_if_it_cannot_be_recorded(
    sandbox: Sandbox, session_for: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_for(sandbox, warehouse_lock_timeout=1) as session:
        session.sync("users", FULL)
        sandbox.faults.add("status", path="/stages$", status=401)
        blocker = Warehouse(
            session.settings.warehouse, lock_timeout=1, memory_limit_mb=64, threads=1, clock=session.clock
        )

        def hold(version: str, path: str, params: dict[str, str]) -> None:
            if path.endswith("/stages"):
                held.set()
                release.wait(20)

        held, release = threading.Event(), threading.Event()
        sandbox.account.hook_before_page(hold)

        def occupy() -> None:
            held.wait(20)
            with blocker.together(read_only=False):
                release.set()
                done.wait(20)

        done = threading.Event()
        thread = threading.Thread(target=occupy)
        thread.start()
        try:
            with pytest.raises(PipedriveAuthException):
                session.sync("stages", FULL)
        finally:
            done.set()
            thread.join()
            blocker.close()


def test_a_dry_run_creates_no_warehouse(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("persons", SyncOptions(mode=SyncMode.FULL, dry_run=True))
        assert session.warehouse.account() is None


class _Timeless:
    """A paginator whose answers carry no ``Date``."""

    def __init__(self, paginator: PipedrivePaginator) -> None:
        self._paginator = paginator

    def pages(self, request: ListRequest, resume: PageToken | None = None) -> Iterator[Page]:
        for page in self._paginator.pages(request, resume):
            yield replace(page, server_time_known=False)


def test_a_scan_without_the_servers_time_proves_nothing(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        vars(session)["paginator"] = _Timeless(session.paginator)
        session.sync("persons", FULL)
        assert_equal_copy(session.warehouse, {"persons": sandbox.rows("persons")})
        assert session.warehouse.coverage("persons") == {}
