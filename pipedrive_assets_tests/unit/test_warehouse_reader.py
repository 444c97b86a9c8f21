"""Reading the warehouse: parents to visit, checks, previews and a user's own SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse import Warehouse
from pipedrive_assets_tests.warehouse_rows import DEALS, FOLLOWERS, LEADS, at, batch, entity, open_warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = open_warehouse(tmp_path / "w.duckdb")
    opened.commit(
        batch(
            DEALS,
            {"id": 30, "title": "c", "update_time": at(30), "products_count": 1},
            {"id": 10, "title": "a", "update_time": at(10), "products_count": 0},
            {"id": 5, "title": None, "products_count": 2},
            {"id": 20, "update_time": at(20), "products_count": 3, "_is_deleted": True},
        )
    )
    yield opened
    opened.close()


def test_parents_are_those_that_changed_in_the_window(warehouse: Warehouse) -> None:
    assert warehouse.parent_ids(DEALS, since=at(10), until=at(30)) == [10]
    assert warehouse.parent_ids(DEALS, since=at(11)) == [30]


def test_parents_without_a_time_belong_to_the_part_open_to_the_past(warehouse: Warehouse) -> None:
    assert warehouse.parent_ids(DEALS) == [5, 10, 30]
    assert warehouse.parent_ids(DEALS, until=at(30)) == [5, 10]
    assert warehouse.parent_ids(DEALS, since=at(0)) == [10, 30]


def test_deleted_parents_are_left_out(warehouse: Warehouse) -> None:
    assert warehouse.parent_ids(DEALS, since=at(20), until=at(21)) == []


def test_a_counter_that_is_not_known_is_no_reason_to_spare_the_visit(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 7, "products_count": None}))
    assert warehouse.parent_ids(DEALS, positive_column="products_count") == [5, 7, 30]


def test_a_counter_of_zero_spares_the_visit_unless_children_are_stored(warehouse: Warehouse) -> None:
    children = ("deal_followers", "deal_id")
    assert warehouse.parent_ids(DEALS, positive_column="products_count", children=children) == [5, 30]
    warehouse.commit(batch(FOLLOWERS, {"deal_id": 10, "user_id": 1}))
    assert warehouse.parent_ids(DEALS, positive_column="products_count", children=children) == [5, 10, 30]
    warehouse.commit(batch(FOLLOWERS, {"deal_id": 10, "user_id": 1, "_is_deleted": True}))
    assert warehouse.parent_ids(DEALS, positive_column="products_count", children=children) == [5, 30]


def test_parents_that_have_no_update_time_are_never_filtered_by_it(warehouse: Warehouse) -> None:
    boards = entity("boards", ("id",), id=DEALS.column("id").type)
    warehouse.commit(batch(boards, {"id": 2}, {"id": 1}))
    assert warehouse.parent_ids(boards, since=at(0), until=at(1)) == [1, 2]


def test_text_keys_are_sorted_too(warehouse: Warehouse) -> None:
    warehouse.commit(batch(LEADS, {"id": "b"}, {"id": "a"}))
    assert warehouse.parent_ids(LEADS) == ["a", "b"]


def test_checks_count_duplicates_and_nulls(warehouse: Warehouse) -> None:
    assert warehouse.duplicate_keys(DEALS) == 0
    assert warehouse.null_counts(DEALS, ("id", "title", "update_time")) == {
        "id": 0,
        "title": 1,
        "update_time": 1,
    }
    assert warehouse.null_counts(DEALS, ()) == {}


def test_a_preview_shows_the_rows_that_came_in_last(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 99}))
    shown = warehouse.preview("deals", 2)
    assert shown.column("id").to_pylist()[0] == 99
    assert shown.num_rows == 2
    assert "_row_hash" not in shown.column_names


def test_a_query_finds_the_tables_by_schema_and_takes_parameters(warehouse: Warehouse) -> None:
    found = warehouse.query("SELECT count(*) AS deals FROM pipedrive.deals WHERE id > ?", [5])
    assert found.to_pydict() == {"deals": [3]}
    assert warehouse.query("FROM pipedrive_meta.account").num_rows == 0
    assert warehouse.query("DESCRIBE pipedrive.deals").num_rows > 10


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM pipedrive.deals",
        "SELECT 1; SELECT 2",
        "DROP TABLE pipedrive.deals",
        "COPY pipedrive.deals TO 'deals.csv'",
        "ATTACH 'other.duckdb'",
        "SET threads = 1",
        "PRAGMA enable_profiling = 'json'",
        "PRAGMA import_database('folder')",
        "CALL enable_logging()",
        "INSTALL spatial",
        "LOAD json",
        "EXPLAIN DELETE FROM pipedrive.deals",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'deals.csv'",
        "/* why */ EXPLAIN ANALYZE COPY (SELECT 1) TO 'deals.csv'",
        "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO 'deals.csv'",
        "EXPLAIN ANALYZE CREATE TABLE memory.x AS SELECT 1",
        "EXPLAIN ANALYZE SET threads = 1",
        "EXPLAIN EXPLAIN SELECT 1",
        "EXPLAIN",
        "-- nothing",
        "",
    ],
)
def test_a_query_only_reads_and_is_one_statement(
    warehouse: Warehouse, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(PipedriveWarehouseException, match=r"one statement that reads|syntax error"):
        warehouse.query(sql)
    assert warehouse.row_count("deals") == 4
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "sql",
    [
        "FROM enable_logging(storage = 'file', storage_path = 'logs')",
        "EXPLAIN ANALYZE FROM \"Enable_Logging\"(storage = 'file', storage_path = 'logs')",
        "WITH a AS (FROM enable_profiling(format = 'json', save_location = 'p.json')) SELECT 1 FROM a",
        "FROM query('FROM enable_logging(storage = ''file'', storage_path = ''logs'')')",
        "SELECT (SELECT count(*) FROM checkpoint())",
    ],
)
def test_a_query_calls_no_function_that_acts(
    warehouse: Warehouse, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(PipedriveWarehouseException, match=r"^a query only reads: \w+\(\) is not open to it$"):
        warehouse.query(sql)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT * FROM pipedrive.deals",
        "explain analyze from pipedrive.deals",
        "-- how\n/* and why */ EXPLAIN SELECT 1",
        "EXPLAIN (FORMAT json) WITH a AS (SELECT 1) FROM a",
        "EXPLAIN (ANALYZE, FORMAT json) /* why */ SELECT 1;",
        "VALUES (1)",
        "SHOW ALL TABLES",
        "SUMMARIZE pipedrive.deals",
        "PIVOT pipedrive.deals ON title IN ('a', 'c') USING count(*)",
        'SELECT \'query(\', "query" FROM (SELECT 1 AS "query")',
        "SELECT " + " + ".join(["1"] * 200),
    ],
)
def test_whatever_reads_is_run(warehouse: Warehouse, sql: str) -> None:
    assert warehouse.query(sql).num_rows > 0


def test_a_query_may_read_files(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("currency,rate\nEUR,1\n", encoding="utf-8")
    assert warehouse.query("FROM read_csv(?)", [str(file)]).to_pylist() == [{"currency": "EUR", "rate": 1}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM pipedrive.deals", "nothing"),
        ("FROM x.y", "does not exist"),
        ("FROM connection", "does not exist"),
    ],
)
def test_a_mistake_in_a_query_is_told_in_one_line(warehouse: Warehouse, sql: str, message: str) -> None:
    with pytest.raises(PipedriveWarehouseException, match=message) as raised:
        warehouse.query(sql)
    assert "\n" not in str(raised.value)


def test_reading_where_nothing_is_finds_nothing_and_creates_nothing(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path / "none" / "w.duckdb")
    assert warehouse.account() is None
    assert warehouse.coverage("deals") == {}
    assert warehouse.positions("deals") == {}
    assert warehouse.closed_streams("deals") == set()
    assert (warehouse.row_count("deals"), warehouse.quarantine_count("deals"), warehouse.runs()) == (0, 0, [])
    assert warehouse.parent_ids(DEALS) == []
    assert warehouse.preview("deals").num_rows == 0
    assert warehouse.null_counts(DEALS, ("id",)) == {"id": 0}
    with pytest.raises(PipedriveWarehouseException, match="sync something first"):
        warehouse.query("SELECT 1")
    assert not list(tmp_path.iterdir())
    warehouse.close()


def test_an_entity_that_was_never_synced_is_empty(warehouse: Warehouse) -> None:
    assert warehouse.row_count("persons") == 0
    assert warehouse.duplicate_keys(FOLLOWERS) == 0
    assert warehouse.preview("persons").num_rows == 0
