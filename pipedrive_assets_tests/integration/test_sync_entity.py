"""The one path from the API into the warehouse, over real HTTP into a real DuckDB file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.exceptions import PipedriveServerException
from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncStatus
from pipedrive_assets.sync.session import Session
from pipedrive_assets_tests.clocks import SkippingClock
from pipedrive_assets_tests.equality import assert_equal_copy, differences, stored_rows
from pipedrive_assets_tests.integration.conftest import OpenSession

FULL = SyncOptions(mode=SyncMode.FULL)
DEFAULT = [name for name, spec in CATALOG.items() if spec.default]
PER_RECORD = [name for name, spec in CATALOG.items() if not spec.default]


def sync_all(session: Session, options: SyncOptions = FULL, names: list[str] | None = None) -> dict[str, Any]:
    return {name: session.sync(name, options) for name in names or DEFAULT}


def month(sandbox: Sandbox, back: int) -> tuple[datetime, datetime]:
    """A whole past month of the account's time."""
    now = datetime.fromtimestamp(sandbox.clock.time(), UTC)
    number = now.year * 12 + now.month - 1 - back
    start = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
    number += 1
    return start, datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def test_a_full_sync_copies_every_entity_value_by_value(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        results = sync_all(session, names=list(CATALOG))
        assert {result.status for result in results.values()} == {SyncStatus.COMPLETE}
        assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in CATALOG})
        assert all(result.quarantined == 0 for result in results.values())


def test_a_second_run_changes_nothing_and_fetches_only_the_overlap(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        sync_all(session)
        sandbox.log.clear()
        results = sync_all(session, SyncOptions())
        for name, result in results.items():
            assert (result.created, result.updated) == (0, 0), name
        live = [record for record in sandbox.log if record.path == "/deals"]
        assert len(live) == 1
        assert "updated_since" in live[0].params


def test_a_change_arrives_with_the_next_incremental_run(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("deals", FULL)
        sandbox.clock.advance(3600)
        deal = sandbox.rows("deals")[0]["id"]
        sandbox.account.update("deals", deal, title="Renamed 🎉")
        created = sandbox.account.create("deals", title="Brand new")
        result = session.sync("deals", SyncOptions())
        assert (result.created, result.updated) == (1, 1)
        assert_equal_copy(session.warehouse, {"deals": sandbox.rows("deals")})
        assert created in {row["id"] for row in stored_rows(session.warehouse, "deals")}


def test_a_past_partition_is_asked_with_its_own_bounds(sandbox: Sandbox, session_for: OpenSession) -> None:
    since, until = month(sandbox, back=3)
    with session_for(sandbox) as session:
        session.sync(
            "deals", SyncOptions(mode=SyncMode.WINDOW, since=since, until=until, source=Source.BACKFILL)
        )
        for path in ("/deals", "/deals/archived"):
            (request,) = [record for record in sandbox.log if record.path == path]
            assert request.params["updated_since"] == since.strftime("%Y-%m-%dT%H:%M:%SZ")
            assert request.params["updated_until"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")
        inside = [
            row
            for row in sandbox.rows("deals")
            if row["update_time"] and since <= datetime.fromisoformat(row["update_time"]) < until
        ]
        assert_equal_copy(session.warehouse, {"deals": inside})


@pytest.mark.parametrize("entity", ["deals", "products", "notes", "leads", "files", "activities"])
def test_windows_in_any_order_add_up_to_the_whole(
    sandbox: Sandbox, session_for: OpenSession, entity: str
) -> None:
    months = [month(sandbox, back) for back in range(40)]
    oldest, newest = months[-1][0], months[0][0]
    windows: list[tuple[datetime | None, datetime | None]] = [
        *months[1:-1],
        (None, months[-1][1]),
        (newest, None),
    ]
    windows.sort(key=lambda window: hash((entity, str(window))))
    with session_for(sandbox) as session:
        for since, until in windows:
            session.sync(entity, SyncOptions(mode=SyncMode.WINDOW, since=since, until=until))
        assert oldest is not None
        assert_equal_copy(session.warehouse, {entity: sandbox.rows(entity)})
        for held in session.warehouse.coverage(entity).values():
            assert held.watermark is not None


def test_a_failing_scan_keeps_what_it_fetched_and_goes_on_from_there(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox, max_retry_attempts=0, max_batch_size=10) as session:
        fault = sandbox.faults.add("status", path=r"/activities$", status=503, after=3, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("activities", FULL)
        kept = len(stored_rows(session.warehouse, "activities"))
        assert kept == 30
        assert fault.fired == 1
        sandbox.log.clear()
        session.sync("activities", FULL)
        first = next(record for record in sandbox.log if record.path == "/activities")
        assert "cursor" in first.params
        assert_equal_copy(session.warehouse, {"activities": sandbox.rows("activities")})


def test_an_endpoint_the_plan_does_not_open_is_skipped_and_stops_nothing(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    for path, status in ((r"/persons$", 403), (r"/organizations$", 402), (r"/projects", 415)):
        sandbox.faults.add("status", path=path, status=status)
    with session_for(sandbox) as session:
        results = sync_all(session)
        for name in ("persons", "organizations", "projects"):
            assert results[name].status is SyncStatus.SKIPPED
            assert results[name].reason
            assert session.warehouse.coverage(name) == {}
        assert results["deals"].status is SyncStatus.COMPLETE
        assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in ("deals", "activities")})


def test_archived_leads_closed_to_the_plan_do_not_hold_the_others_back(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("status", path=r"/leads/archived$", status=402)
    with session_for(sandbox) as session:
        result = session.sync("leads", FULL)
        assert result.status is SyncStatus.COMPLETE
        assert "archived" in result.reason
        assert stored_rows(session.warehouse, "leads")


def test_fields_that_a_plan_does_not_have_are_left_out_and_named(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("status", path=r"/persons$", status=403, count=1)
    with session_for(sandbox) as session:
        result = session.sync("persons", FULL)
        assert result.status is SyncStatus.COMPLETE
        assert "marketing_status" in result.reason
        assert len(stored_rows(session.warehouse, "persons")) == len(sandbox.rows("persons"))


def test_fields_that_were_refused_for_a_while_are_read_once_they_are_open(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox, max_batch_size=20, max_retry_attempts=0) as session:
        sandbox.faults.add("status", path=r"/persons$", status=400, count=1)
        sandbox.faults.add("status", path=r"/persons$", status=503, after=1, count=1)
        with pytest.raises(PipedriveServerException):
            session.sync("persons", FULL)
        for _ in range(2):
            sandbox.faults.clear()
            sandbox.clock.advance(3600)
            sandbox.faults.add("status", path=r"/persons$", status=400, count=1)
            still_refused = session.sync("persons", SyncOptions())
        assert still_refused.fetched == 0, "what is known to lack the fields need not be read again"
        session.sync("persons", SyncOptions())
        assert_equal_copy(session.warehouse, {"persons": sandbox.rows("persons")})
        assert session.sync("persons", SyncOptions()).fetched == 0


def test_an_error_in_the_middle_of_a_scan_never_empties_optional_fields(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("status", path=r"/persons$", status=403, nth=2, count=1)
    with session_for(sandbox, max_batch_size=20) as session:
        session.sync("persons", FULL)
        session.sync("persons", SyncOptions())
        assert_equal_copy(session.warehouse, {"persons": sandbox.rows("persons")})


def test_a_bad_value_and_an_unknown_key_neither_stop_a_run_nor_get_lost(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    sandbox.faults.add("bad_value", path=r"/deals$", column="value", value="a lot", count=1)
    sandbox.faults.add("extra_key", path=r"/persons$", column="brand_new", value={"a": 1}, count=1)
    with session_for(sandbox) as session:
        result = session.sync("deals", FULL)
        assert result.quarantined == len(result.error_samples) > 0
        assert {sample.column for sample in result.error_samples} == {"value"}
        spoilt = [row for row in stored_rows(session.warehouse, "deals") if row["_extra"] is not None]
        assert len(spoilt) == result.quarantined
        for row in spoilt:
            assert (row["value"], json.loads(row["_extra"])) == (None, {"value": "a lot"})
        session.sync("persons", FULL)
        assert any("brand_new" in (row["_extra"] or "") for row in stored_rows(session.warehouse, "persons"))


# Each option changes behaviour ------------------------------------------------------------------------


def test_mode_decides_between_everything_and_what_is_missing(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        everything = session.sync("persons", FULL)
        again = session.sync("persons", FULL)
        missing = session.sync("persons", SyncOptions())
        assert again.fetched == everything.fetched > missing.fetched


def test_since_and_until_bound_what_is_fetched(sandbox: Sandbox, session_for: OpenSession) -> None:
    since, until = month(sandbox, back=2)
    with session_for(sandbox) as session:
        session.sync("activities", SyncOptions(mode=SyncMode.WINDOW, since=since, until=until))
        times = [
            row["update_time"].replace(tzinfo=UTC) for row in stored_rows(session.warehouse, "activities")
        ]
        assert times
        assert all(since <= moment < until for moment in times)


def test_limit_stops_early_and_records_no_coverage(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        result = session.sync("activities", SyncOptions(mode=SyncMode.FULL, limit=7))
        assert (result.fetched, result.status) == (7, SyncStatus.PARTIAL)
        assert len(stored_rows(session.warehouse, "activities")) == 7
        assert session.warehouse.coverage("activities") == {}


def test_page_size_caps_the_rows_of_a_request(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("persons", SyncOptions(mode=SyncMode.FULL, page_size=11))
        assert {record.params["limit"] for record in sandbox.log if record.path == "/persons"} == {"11"}


def test_deadline_stops_between_pages_and_the_next_run_goes_on(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    clock = SkippingClock()
    sandbox.account.hook_before_page(
        lambda version, path, params: clock.sleep(60 if "cursor" in params else 0)
    )
    deadline = datetime.now(UTC) + timedelta(seconds=50)
    with session_for(sandbox, clock=clock) as session:
        result = session.sync("activities", SyncOptions(mode=SyncMode.FULL, page_size=10, deadline=deadline))
        assert (result.status, result.pages) == (SyncStatus.PARTIAL, 2)
        assert "deadline" in result.reason
        sandbox.log.clear()
        session.sync("activities", SyncOptions(mode=SyncMode.FULL, page_size=10))
        assert "cursor" in sandbox.log[0].params
        assert_equal_copy(session.warehouse, {"activities": sandbox.rows("activities")})


def test_lane_says_on_whose_account_tokens_are_spent(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("persons", SyncOptions(mode=SyncMode.FULL, lane=Lane.BACKFILL))
        assert session.budget().by_lane[Lane.BACKFILL] == 10


def test_a_result_names_the_peak_of_memory_in_use(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        assert session.sync("persons", FULL).peak_rss_mb > 10


def test_source_is_stored_with_each_row(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("persons", SyncOptions(mode=SyncMode.FULL, source=Source.BACKFILL))
        assert {row["_source"] for row in stored_rows(session.warehouse, "persons")} == {"backfill"}


def test_tier_leaves_the_dearer_stream_to_its_own_rhythm(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        session.sync("leads", SyncOptions(tier=Tier.CORE))
        assert {record.path for record in sandbox.log if "/leads" in record.path} == {"/leads"}
        session.sync("leads", SyncOptions(tier=Tier.HOURLY))
        assert_equal_copy(session.warehouse, {"leads": sandbox.rows("leads")})


def test_dry_run_counts_and_writes_nothing(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        result = session.sync("persons", SyncOptions(mode=SyncMode.FULL, dry_run=True))
        assert result.created == len(sandbox.rows("persons"))
        assert stored_rows(session.warehouse, "persons") == []
        assert session.warehouse.coverage("persons") == {}
        assert session.warehouse.runs() == []


# Children ---------------------------------------------------------------------------------------------


def test_children_are_fetched_in_batches_of_a_hundred_parents(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        sync_all(session, names=["deals"])
        sandbox.log.clear()
        result = session.sync("deal_products", FULL)
        with_products = [row for row in sandbox.rows("deals") if row["products_count"]]
        assert result.requests == -(-len(with_products) // 100)
        assert_equal_copy(session.warehouse, {"deal_products": sandbox.rows("deal_products")})


def test_children_of_unchanged_parents_cost_nothing(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        sync_all(session, names=["deals", "deal_products"])
        sandbox.clock.advance(3600)
        sync_all(session, SyncOptions(), names=["deals", "deal_products"])
        assert session.sync("deal_products", SyncOptions()).requests == 0


def test_children_without_their_parents_say_what_is_missing(
    sandbox: Sandbox, session_for: OpenSession
) -> None:
    with session_for(sandbox) as session:
        result = session.sync("deal_products", SyncOptions())
        assert result.status is SyncStatus.PARTIAL
        assert "deals" in result.reason


def test_lists_below_single_records_are_complete(sandbox: Sandbox, session_for: OpenSession) -> None:
    with session_for(sandbox) as session:
        sync_all(session)
        sync_all(session, names=PER_RECORD)
        for name in PER_RECORD:
            assert differences(session.warehouse, name, sandbox.rows(name)) == []
