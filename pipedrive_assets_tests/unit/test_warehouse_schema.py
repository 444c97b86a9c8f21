"""Tables follow the catalog; the metadata has versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Column, ColumnType
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse import Warehouse, arrow_schema
from pipedrive_assets.warehouse.column_types import ARROW_TYPES, SQL_TYPES
from pipedrive_assets.warehouse.names import identifier, identifiers, literal
from pipedrive_assets.warehouse.schema import VERSION
from pipedrive_assets_tests.warehouse_rows import DEALS, batch, open_warehouse, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


@pytest.fixture
def warehouse(path: Path) -> Iterator[Warehouse]:
    opened = open_warehouse(path)
    yield opened
    opened.close()


def test_every_column_type_has_a_sql_and_an_arrow_type() -> None:
    assert set(SQL_TYPES) == set(ARROW_TYPES) == set(ColumnType)


def test_the_arrow_schema_has_json_as_text_and_no_column_the_merge_fills() -> None:
    schema = arrow_schema(DEALS)
    assert schema.field("label_ids").type == schema.field("custom_fields").type == pa.string()
    assert schema.field("_observed_at").type == pa.timestamp("us")
    assert not {"_synced_at", "_source", "_run_id", "_row_hash"} & set(schema.names)


def test_every_entity_of_the_catalog_gets_its_table(warehouse: Warehouse) -> None:
    warehouse.ensure_entities(CATALOG.values())
    tables = warehouse.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pipedrive'"
    )
    assert set(tables.column("table_name").to_pylist()) == set(CATALOG)


def test_a_column_the_catalog_gains_is_added_and_recorded(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    grown = replace(DEALS, columns=(*DEALS.columns, Column("score", ColumnType.INTEGER, "lead score")))
    later = open_warehouse(path)
    assert later.commit(batch(grown, {"id": 1, "score": 7}, {"id": 2, "score": 8})).written == 2
    assert [row["score"] for row in stored(later, DEALS)] == [7, 8]
    changes = later.query("SELECT kind, name, detail FROM pipedrive_meta.schema_changes").to_pylist()
    assert changes == [{"kind": "column_added", "name": "score", "detail": "BIGINT"}]
    later.close()


def test_a_column_whose_type_widens_keeps_its_values(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "products_count": 3}))
    widened = tuple(
        replace(column, type=ColumnType.NUMBER) if column.name == "products_count" else column
        for column in DEALS.columns
    )
    later = open_warehouse(path)
    later.ensure_entities((replace(DEALS, columns=widened),))
    assert stored(later, DEALS)[0]["products_count"] == 3.0
    assert later.query("FROM pipedrive_meta.schema_changes").to_pylist()[0]["detail"] == "BIGINT -> DOUBLE"
    later.close()


def test_a_column_whose_values_do_not_fit_a_new_type_is_left_as_it_is(
    warehouse: Warehouse, path: Path
) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "no number"}))
    narrowed = tuple(
        replace(column, type=ColumnType.INTEGER) if column.name == "title" else column
        for column in DEALS.columns
    )
    later = open_warehouse(path)
    with pytest.raises(PipedriveWarehouseException, match=r"deals\.title holds VARCHAR values"):
        later.ensure_entities((replace(DEALS, columns=narrowed),))
    assert stored(later, DEALS)[0]["title"] == "no number"
    later.close()


def test_a_column_the_catalog_loses_stays(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "a"}))
    shrunk = replace(DEALS, columns=tuple(each for each in DEALS.columns if each.name != "title"))
    later = open_warehouse(path)
    later.commit(batch(shrunk, {"id": 2}))
    assert [row["title"] for row in stored(later, DEALS)] == ["a", None]
    later.close()


def test_a_warehouse_of_a_newer_version_is_refused_and_left_alone(warehouse: Warehouse, path: Path) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"INSERT INTO pipedrive_meta.version VALUES ({VERSION + 1}, now()::TIMESTAMP)")
    before = path.read_bytes()
    for use in (
        lambda: warehouse.commit(batch(DEALS, {"id": 2})),
        lambda: warehouse.coverage("deals"),
    ):
        with pytest.raises(PipedriveWarehouseException, match="newer pipedrive-assets"):
            use()
    assert path.read_bytes() == before


def test_a_warehouse_of_version_1_is_read_as_it_is_and_upgraded_by_a_write(
    warehouse: Warehouse, path: Path
) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE pipedrive_meta.closed_streams")
        connection.execute("DELETE FROM pipedrive_meta.version WHERE version > 1")
    assert warehouse.closed_streams("deals") == set()
    warehouse.mark_stream("deals", "archived", closed=True, reason="plan", run_id="run-2")
    assert warehouse.closed_streams("deals") == {"archived"}
    versions = warehouse.query("SELECT version FROM pipedrive_meta.version ORDER BY version")
    assert versions.column("version").to_pylist() == list(range(1, VERSION + 1))
    assert warehouse.row_count("deals") == 1


def test_a_duckdb_file_of_the_users_own_is_joined_not_replaced(warehouse: Warehouse, path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    assert warehouse.coverage("deals") == {}
    warehouse.commit(batch(DEALS, {"id": 1}))
    assert warehouse.query("FROM mine").to_pylist() == [{"answer": 42}]


def test_a_warehouse_removed_under_a_running_process_is_created_again(
    warehouse: Warehouse, path: Path
) -> None:
    warehouse.commit(batch(DEALS, {"id": 1}))
    path.unlink()
    assert warehouse.commit(batch(DEALS, {"id": 1})).created == 1


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()))
def test_any_name_survives_quoting(name: str) -> None:
    with duckdb.connect(":memory:") as connection:
        result = connection.execute(f"SELECT 1 AS {identifier(name)}, {literal(name)} AS text")
        assert result.description is not None
        assert result.description[0][0] == name
        row = result.fetchone()
        assert row is not None
        assert row[1] == name


def test_names_that_no_engine_can_store_are_refused() -> None:
    for name in ("", "a\0b"):
        with pytest.raises(ValueError, match="cannot be a SQL identifier"):
            identifier(name)
    assert identifiers(("a", 'b"'), prefix="t.") == 't."a", t."b"""'
