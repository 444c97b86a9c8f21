"""What is recorded besides rows: coverage, positions, quarantine, runs, schema changes, the company."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.sync.options import Source, SyncMode
from pipedrive_assets.sync.result import CoverageSpan as ResultSpan
from pipedrive_assets.sync.result import ErrorSample, SyncResult, SyncStatus
from pipedrive_assets.warehouse import (
    CoverageSpan,
    IntervalSet,
    Position,
    QuarantinedValue,
    Warehouse,
)
from pipedrive_assets.warehouse.runs import JSON_COLUMNS, SCALAR_COLUMNS
from pipedrive_assets_tests.warehouse_rows import DEALS, at, batch, open_warehouse, stored

COMPANY = AccountIdentity(
    company_id=7,
    company_name="Acme",
    company_domain="acme",
    user_id=1,
    user_name="Ann",
    is_admin=True,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = open_warehouse(tmp_path / "w.duckdb")
    yield opened
    opened.close()


def position(**parts: Any) -> Position:
    return replace(
        Position(
            stream="live",
            query_hash="q",
            token={"cursor": "abc", "start": None},
            last_update_time=at(5),
            last_id="17",
            t0=at(9),
            catalog_version="v1",
            rows=500,
            pages=1,
        ),
        **parts,
    )


def quarantined(**parts: Any) -> QuarantinedValue:
    value = QuarantinedValue("1", "value", '"n/a"', "not a number", at(1))
    return replace(value, **parts)


def test_coverage_is_merged_on_read_by_stream(warehouse: Warehouse) -> None:
    spans = (
        CoverageSpan("live", None, at(10)),
        CoverageSpan("live", at(5), at(20)),
        CoverageSpan("archived", at(0), at(1)),
        CoverageSpan("archived", at(3), at(3)),
    )
    warehouse.commit(batch(DEALS, coverage=spans))
    warehouse.commit(batch(DEALS, coverage=(CoverageSpan("live", at(30), at(40)),), run_id="run-2"))
    live = IntervalSet.of(None, at(20)) | IntervalSet.of(at(30), at(40))
    assert warehouse.coverage("deals") == {"archived": IntervalSet.of(at(0), at(1)), "live": live}
    assert warehouse.spans_of_run("run-2", "deals") == {"live": IntervalSet.of(at(30), at(40))}
    assert warehouse.coverage("persons") == {}
    assert warehouse.spans_of_run("run-1", "persons") == {}


def test_the_newest_position_of_a_scan_counts(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, position=position(pages=1)))
    warehouse.commit(
        batch(DEALS, position=position(pages=2, token=None, last_update_time=None, last_id=None))
    )
    warehouse.commit(batch(DEALS, position=position(query_hash="other", pages=9)))
    found = warehouse.positions("deals").get(("live", "q"))
    assert found == position(pages=2, token=None, last_update_time=None, last_id=None)
    assert warehouse.positions("deals").get(("archived", "q")) is None
    assert warehouse.positions("persons").get(("live", "q")) is None


def test_a_finished_scan_has_no_position_until_it_begins_anew(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, position=position()))
    warehouse.commit(batch(DEALS, position=position(token=None, finished=True)))
    assert warehouse.positions("deals").get(("live", "q")) is None
    warehouse.commit(batch(DEALS, position=position(rows=1)))
    assert warehouse.positions("deals").get(("live", "q")) == position(rows=1)


def test_a_stream_is_closed_as_long_as_its_newest_record_says_so(warehouse: Warehouse) -> None:
    def mark(stream: str, closed: bool, run_id: str) -> None:
        warehouse.mark_stream("deals", stream, closed=closed, reason="plan", run_id=run_id)

    assert warehouse.closed_streams("deals") == set()
    mark("live", False, "run-1")
    mark("archived", True, "run-1")
    mark("archived", True, "run-2")
    assert warehouse.closed_streams("deals") == {"archived"}
    assert warehouse.closed_streams("leads") == set()
    mark("archived", False, "run-3")
    assert warehouse.closed_streams("deals") == set()
    mark("archived", True, "run-4")
    assert warehouse.closed_streams("deals") == {"archived"}
    rows = warehouse.query("FROM pipedrive_meta.closed_streams ORDER BY number").to_pylist()
    assert [(row["stream"], row["closed"], row["reason"], row["run_id"]) for row in rows] == [
        ("archived", True, "plan", "run-1"),
        ("archived", False, "plan", "run-3"),
        ("archived", True, "plan", "run-4"),
    ]


def test_a_value_is_quarantined_once(warehouse: Warehouse) -> None:
    first = quarantined()
    warehouse.commit(batch(DEALS, quarantine=(first, first, quarantined(value='"x"'))))
    warehouse.commit(
        batch(DEALS, quarantine=(quarantined(observed_at=at(99)), quarantined(key="2")), run_id="run-2")
    )
    assert warehouse.quarantine_count("deals") == 3
    rows = warehouse.query(
        "SELECT * FROM pipedrive_meta.quarantine WHERE key = '1' ORDER BY value"
    ).to_pylist()
    assert [(row["value"], row["run_id"]) for row in rows] == [('"n/a"', "run-1"), ('"x"', "run-1")]


def test_everything_of_a_failed_batch_is_rolled_back(warehouse: Warehouse) -> None:
    bad = batch(
        DEALS,
        {"id": 1, "label_ids": "{no json"},
        coverage=(CoverageSpan("live", None, at(1)),),
        position=position(),
        quarantine=(quarantined(),),
    )
    with pytest.raises(PipedriveWarehouseException, match=r"w\.duckdb: .*JSON"):
        warehouse.commit(bad)
    assert (warehouse.coverage("deals"), warehouse.positions("deals").get(("live", "q"))) == ({}, None)
    assert (warehouse.quarantine_count("deals"), warehouse.row_count("deals")) == (0, 0)
    assert warehouse.commit(batch(DEALS, {"id": 1})).created == 1


def test_an_unknown_key_is_recorded_when_first_seen(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "_extra": '{"new_key":"a","title":5}'}, {"id": 2}))
    warehouse.commit(batch(DEALS, {"id": 3, "_extra": '{"new_key":"b","other":{"c":1}}'}, run_id="run-2"))
    changes = warehouse.query("SELECT * FROM pipedrive_meta.schema_changes ORDER BY name").to_pylist()
    assert [(row["kind"], row["name"], row["detail"], row["run_id"]) for row in changes] == [
        ("unknown_key", "new_key", "VARCHAR", "run-1"),
        ("unknown_key", "other", "OBJECT", "run-2"),
    ]


def a_result(**parts: Any) -> SyncResult:
    whole = {
        "entity": "deals",
        "run_id": "run-1",
        "mode": SyncMode.WINDOW,
        "source": Source.BACKFILL,
        "status": SyncStatus.PARTIAL,
        "reason": "deadline",
        "since": at(0),
        "until": at(60),
        "started_at": at(100),
        "finished_at": at(101.5),
        "fetched": 3,
        "stale": 1,
        "seconds": 1.5,
        "coverage_after": (ResultSpan(stream="live", since=None, until=at(60)),),
        "error_samples": (ErrorSample(key="1", column="value", value='"n/a"', reason="no number"),),
        **parts,
    }
    return SyncResult.model_validate(whole)


@pytest.mark.parametrize("dumped", [True, False])
def test_a_run_comes_back_as_it_was_recorded(warehouse: Warehouse, dumped: bool) -> None:
    result = a_result()
    warehouse.record_run(result.model_dump() if dumped else dict(result))
    (found,) = warehouse.runs()
    del found["recorded_at"]
    assert SyncResult.model_validate(found) == result


def test_runs_are_listed_newest_first_and_fields_without_a_column_are_kept(warehouse: Warehouse) -> None:
    for number in range(3):
        warehouse.record_run({**a_result(run_id=f"run-{number}").model_dump(), "later_field": number})
    assert [(run["run_id"], run["later_field"]) for run in warehouse.runs(2)] == [("run-2", 2), ("run-1", 1)]


def test_every_field_of_a_sync_result_has_a_column_but_what_few_runs_have() -> None:
    assert {*SCALAR_COLUMNS, *JSON_COLUMNS, "resumes_at"} == set(SyncResult.model_fields)


def test_a_warehouse_belongs_to_the_company_that_came_first(warehouse: Warehouse) -> None:
    assert warehouse.account() is None
    warehouse.bind(COMPANY)
    warehouse.bind(replace(COMPANY, company_name="Acme Inc", user_id=2))
    owner = warehouse.account()
    assert owner is not None
    assert (owner.company_id, owner.company_name, owner.company_domain) == (7, "Acme", "acme")
    with pytest.raises(PipedriveWarehouseException) as raised:
        warehouse.bind(replace(COMPANY, company_id=8, company_name="Rival"))
    assert "bound to company 7 (Acme), this token belongs to 8 (Rival)" in str(raised.value)
    assert "use another PIPEDRIVE_WAREHOUSE" in str(raised.value)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=8))
def test_coverage_equals_the_union_of_what_was_recorded(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]]
) -> None:
    warehouse = open_warehouse(tmp_path_factory.mktemp("coverage") / "w.duckdb")
    spans = tuple(CoverageSpan("live", at(start) if start else None, at(end)) for start, end in pairs)
    warehouse.commit(batch(DEALS, coverage=spans))
    expected = IntervalSet()
    for span in spans:
        expected |= IntervalSet.of(span.since, span.until)
    assert warehouse.coverage("deals").get("live", IntervalSet()) == expected
    warehouse.close()


def test_a_batch_without_rows_still_records_what_it_proves(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, coverage=(CoverageSpan("live", None, at(1)),)))
    assert warehouse.coverage("deals") == {"live": IntervalSet.of(None, at(1))}
    assert stored(warehouse, DEALS) == []
