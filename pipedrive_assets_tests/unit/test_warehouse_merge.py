"""The merge: newer wins, unchanged rows are not written, and a model that says so in plain Python."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog.spec import ColumnType
from pipedrive_assets.exceptions import PipedriveWarehouseException
from pipedrive_assets.warehouse import MergeCounts, ReplacedParents, Warehouse
from pipedrive_assets_tests.warehouse_rows import (
    DEALS,
    FOLLOWERS,
    LEADS,
    NOTES,
    at,
    batch,
    entity,
    open_warehouse,
    stored,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = open_warehouse(tmp_path / "w.duckdb")
    yield opened
    opened.close()


def test_every_type_comes_back_as_it_went_in(warehouse: Warehouse) -> None:
    row = {
        "id": 1,
        "title": 'It\'s "quoted" 🎉 \\ and\nlong ' + "x" * 60_000,
        "value": 0.1 + 0.2,
        "won": False,
        "close_date": datetime(2025, 2, 28).date(),
        "label_ids": "[1,2]",
        "update_time": at(0.123456),
        "custom_fields": '{"dcf558aac1ae4e8c4f849ba5e668430d8df9be12":"O\'Hara; DROP TABLE"}',
        "_extra": '{"new":{"deep":[null,1e308]}}',
    }
    warehouse.commit(batch(DEALS, row))
    (found,) = stored(warehouse, DEALS)
    assert {name: found[name] for name in row} == {**row, "update_time": at(0.123456).replace(tzinfo=None)}
    assert (found["_source"], found["_run_id"], found["_is_deleted"]) == ("manual", "run-1", False)


def test_an_unchanged_row_is_not_written_again(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "a", "update_time": at(1)}))
    before = stored(warehouse, DEALS)
    again = batch(
        DEALS, {"id": 1, "title": "a", "update_time": at(1), "_observed_at": at(500)}, run_id="run-2"
    )
    assert warehouse.commit(again) == MergeCounts(unchanged=1)
    assert stored(warehouse, DEALS) == before


def test_a_changed_row_replaces_the_stored_one(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "a", "update_time": at(1)}))
    changed = batch(DEALS, {"id": 1, "title": "b", "update_time": at(2)}, {"id": 2}, run_id="run-2")
    assert warehouse.commit(changed) == MergeCounts(created=1, updated=1)
    first, second = stored(warehouse, DEALS)
    assert (first["title"], first["_run_id"], second["id"]) == ("b", "run-2", 2)


def test_an_older_row_never_overwrites_a_newer_one(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "new", "update_time": at(10)}))
    late = {"id": 1, "title": "old", "update_time": at(9), "_observed_at": at(99)}
    assert warehouse.commit(batch(DEALS, late)) == MergeCounts(stale=1)
    assert stored(warehouse, DEALS)[0]["title"] == "new"


def test_a_row_whose_time_was_lost_is_newer_where_it_was_seen_later(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "a", "update_time": at(1), "_observed_at": at(5)}))
    assert warehouse.commit(batch(DEALS, {"id": 1, "title": "b", "_observed_at": at(4)})).stale == 1
    assert warehouse.commit(batch(DEALS, {"id": 1, "title": "c", "_observed_at": at(6)})).updated == 1
    assert stored(warehouse, DEALS)[0]["title"] == "c"


def test_a_row_that_has_its_time_again_is_newer_where_it_was_seen_later(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "untimed", "_observed_at": at(5)}))
    timed = {"id": 1, "title": "timed", "update_time": at(1)}
    assert warehouse.commit(batch(DEALS, {**timed, "_observed_at": at(4)})).stale == 1
    assert warehouse.commit(batch(DEALS, {**timed, "_observed_at": at(6)})).updated == 1


def test_in_a_batch_a_row_without_a_time_is_as_new_as_what_was_seen_before_it(warehouse: Warehouse) -> None:
    rows = [
        {"id": 1, "title": "old but seen last", "update_time": at(1), "_observed_at": at(3)},
        {"id": 1, "title": "untimed", "_observed_at": at(2)},
        {"id": 1, "title": "timed", "update_time": at(2), "_observed_at": at(1)},
    ]
    assert warehouse.commit(batch(DEALS, *rows)) == MergeCounts(created=1)
    assert [row["title"] for row in stored(warehouse, DEALS)] == ["untimed"]


def test_rows_without_times_are_ordered_by_when_they_were_seen(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "a", "_observed_at": at(5)}))
    assert warehouse.commit(batch(DEALS, {"id": 1, "title": "b", "_observed_at": at(4)})).stale == 1
    assert warehouse.commit(batch(DEALS, {"id": 1, "title": "c", "_observed_at": at(5)})).updated == 1
    assert stored(warehouse, DEALS)[0]["title"] == "c"


def test_two_new_rows_of_one_key_in_a_batch_are_one_row(warehouse: Warehouse) -> None:
    rows = [
        {"id": 1, "title": "untimed"},
        {"id": 1, "title": "newest", "update_time": at(3)},
        {"id": 1, "title": "older", "update_time": at(2)},
    ]
    assert warehouse.commit(batch(DEALS, *rows)) == MergeCounts(created=1)
    assert [row["title"] for row in stored(warehouse, DEALS)] == ["newest"]


def test_of_equals_in_a_batch_the_last_one_counts(warehouse: Warehouse) -> None:
    warehouse.commit(batch(DEALS, {"id": 1, "title": "first"}, {"id": 1, "title": "last"}))
    assert [row["title"] for row in stored(warehouse, DEALS)] == ["last"]


def test_keys_may_be_text_or_composite(warehouse: Warehouse) -> None:
    warehouse.commit(batch(LEADS, {"id": "adf21080-0e10-11eb-879b-05d71fb426ec", "update_time": at(1)}))
    warehouse.commit(
        batch(
            FOLLOWERS,
            {"deal_id": 1, "user_id": 1},
            {"deal_id": 1, "user_id": 2},
            {"deal_id": 2, "user_id": 1},
        )
    )
    again = batch(FOLLOWERS, {"deal_id": 1, "user_id": 2, "add_time": at(1)}, {"deal_id": 2, "user_id": 1})
    assert warehouse.commit(again) == MergeCounts(updated=1, unchanged=1)
    assert warehouse.row_count("leads") == 1
    assert warehouse.duplicate_keys(FOLLOWERS) == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("title", "b"),
        ("title", None),
        ("value", 2.0),
        ("won", True),
        ("close_date", datetime(2025, 1, 2).date()),
        ("label_ids", "[2]"),
        ("custom_fields", '{"a":2}'),
        ("_extra", "{}"),
        ("_is_deleted", True),
        ("_deleted_reason", "deleted"),
        ("_merged_into", 7),
    ],
)
def test_a_difference_in_any_column_is_a_change(warehouse: Warehouse, column: str, value: Any) -> None:
    row = {"id": 1, "title": "a", "value": 1.0, "won": False, "label_ids": "[1]", "custom_fields": '{"a":1}'}
    warehouse.commit(batch(DEALS, row))
    assert warehouse.commit(batch(DEALS, {**row, column: value})) == MergeCounts(updated=1)
    assert stored(warehouse, DEALS)[0][column] == value


def test_a_name_that_is_sql_is_only_a_name(warehouse: Warehouse) -> None:
    hostile = entity(
        'x"; DROP TABLE y; --', ("select",), **{"select": ColumnType.INTEGER, 'a"b': ColumnType.TEXT}
    )
    assert warehouse.commit(batch(hostile, {"select": 1, 'a"b': "c"})).created == 1
    assert warehouse.commit(batch(hostile, {"select": 1, 'a"b': "d"})).updated == 1
    assert warehouse.preview(hostile.name).column('a"b').to_pylist() == ["d"]


def test_children_that_their_parents_no_longer_have_become_tombstones(warehouse: Warehouse) -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (3, 1)]
    warehouse.commit(batch(FOLLOWERS, *({"deal_id": deal, "user_id": user} for deal, user in pairs)))
    reread = batch(
        FOLLOWERS,
        {"deal_id": 1, "user_id": 2, "_observed_at": at(60)},
        replaces=ReplacedParents("deal_id", (1, 2), at(60)),
    )
    assert warehouse.compare(reread) == MergeCounts(unchanged=1, tombstoned=2)
    assert warehouse.commit(reread) == MergeCounts(unchanged=1, tombstoned=2)
    gone = [
        (row["deal_id"], row["user_id"], row["_deleted_reason"], row["_deleted_at"], row["_observed_at"])
        for row in stored(warehouse, FOLLOWERS)
        if row["_is_deleted"]
    ]
    minute = at(60).replace(tzinfo=None)
    assert gone == [(1, 1, "gone", minute, minute), (2, 1, "gone", minute, minute)]
    assert warehouse.commit(reread) == MergeCounts(unchanged=1)


def test_a_tombstone_yields_to_a_row_seen_later_and_not_to_one_seen_before(warehouse: Warehouse) -> None:
    row = {"deal_id": 1, "user_id": 1}
    warehouse.commit(batch(FOLLOWERS, row))
    warehouse.commit(batch(FOLLOWERS, replaces=ReplacedParents("deal_id", (1,), at(60))))
    assert warehouse.commit(batch(FOLLOWERS, {**row, "_observed_at": at(59)})) == MergeCounts(stale=1)
    assert warehouse.commit(batch(FOLLOWERS, {**row, "_observed_at": at(61)})) == MergeCounts(updated=1)
    assert [each["_is_deleted"] for each in stored(warehouse, FOLLOWERS)] == [False]


def test_a_child_seen_after_its_parents_list_was_read_stays(warehouse: Warehouse) -> None:
    warehouse.commit(batch(FOLLOWERS, {"deal_id": 1, "user_id": 1, "_observed_at": at(61)}))
    late = batch(FOLLOWERS, replaces=ReplacedParents("deal_id", (1,), at(60)))
    assert warehouse.commit(late) == MergeCounts()


def bury(warehouse: Warehouse) -> int:
    return warehouse.bury_children_of_deleted(NOTES, DEALS, run_id="run-9", source="schedule")


def test_children_go_with_their_deleted_parent_and_those_of_live_parents_stay(warehouse: Warehouse) -> None:
    moment = at(50).replace(tzinfo=None)
    gone = {"id": 1, "_is_deleted": True, "_deleted_at": at(50), "_observed_at": at(60)}
    warehouse.commit(batch(DEALS, gone, {"id": 2}, {"id": 3, "_is_deleted": True}))
    buried_before = {"id": 13, "deal_id": 1, "_is_deleted": True, "_deleted_reason": "deleted"}
    pairs = [(10, 1), (11, 1), (12, 2), (14, 3), (15, 99), (16, None)]
    warehouse.commit(batch(NOTES, buried_before, *({"id": note, "deal_id": deal} for note, deal in pairs)))
    before = {row["id"]: row for row in stored(warehouse, NOTES)}
    assert bury(warehouse) == 3
    after = {row["id"]: row for row in stored(warehouse, NOTES)}
    assert {note for note in after if after[note] != before[note]} == {10, 11, 14}
    tombstone = after[10]
    assert (tombstone["_is_deleted"], tombstone["_deleted_reason"]) == (True, "gone")
    assert (tombstone["_deleted_at"], tombstone["_observed_at"]) == (moment, at(60).replace(tzinfo=None))
    assert (tombstone["_source"], tombstone["_run_id"]) == ("schedule", "run-9")
    assert after[14]["_deleted_at"] == after[14]["_synced_at"]  # nobody said when that parent went
    assert bury(warehouse) == 0


def test_a_child_whose_parent_came_back_is_live_again_when_it_is_fetched(warehouse: Warehouse) -> None:
    note = {"id": 10, "deal_id": 1, "update_time": at(1)}
    warehouse.commit(batch(NOTES, {**note, "_observed_at": at(70)}))
    warehouse.commit(batch(DEALS, {"id": 1, "_is_deleted": True, "_observed_at": at(60)}))
    assert bury(warehouse) == 1
    assert warehouse.commit(batch(NOTES, {**note, "_observed_at": at(69)})) == MergeCounts(stale=1)
    warehouse.commit(batch(DEALS, {"id": 1, "_observed_at": at(80)}))
    assert warehouse.commit(batch(NOTES, {**note, "_observed_at": at(80)})) == MergeCounts(updated=1)
    assert bury(warehouse) == 0
    (found,) = stored(warehouse, NOTES)
    assert (found["_is_deleted"], found["_deleted_at"], found["_deleted_reason"]) == (False, None, None)


def test_where_parents_or_children_were_never_synced_there_is_nobody_to_bury(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path / "w.duckdb")
    assert bury(warehouse) == 0
    assert not list(tmp_path.iterdir())
    warehouse.commit(batch(NOTES, {"id": 1, "deal_id": 1}))
    assert bury(warehouse) == 0
    warehouse.close()


def test_only_an_entity_with_a_parent_has_children_to_bury(warehouse: Warehouse) -> None:
    warehouse.ensure_entities((DEALS, LEADS))
    with pytest.raises(PipedriveWarehouseException, match="leads does not hang below deals"):
        warehouse.bury_children_of_deleted(LEADS, DEALS, run_id="run-1", source="manual")


def test_replacing_no_parents_changes_nothing(warehouse: Warehouse) -> None:
    warehouse.commit(batch(FOLLOWERS, {"deal_id": 1, "user_id": 1}))
    assert (
        warehouse.commit(batch(FOLLOWERS, replaces=ReplacedParents("deal_id", (), at(60)))) == MergeCounts()
    )


def test_compare_counts_what_commit_would_do_and_writes_nothing(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path / "w.duckdb")
    first = batch(DEALS, {"id": 1}, {"id": 1}, {"id": 2})
    assert warehouse.compare(first) == MergeCounts(created=2)
    assert not list(tmp_path.iterdir())
    warehouse.ensure_entities((LEADS,))
    assert warehouse.compare(first) == MergeCounts(created=2)
    warehouse.commit(first)
    second = batch(DEALS, {"id": 1}, {"id": 2, "title": "b"}, {"id": 3})
    assert warehouse.compare(second) == MergeCounts(created=1, updated=1, unchanged=1)
    assert warehouse.row_count("deals") == 2
    warehouse.close()


def test_a_batch_with_other_columns_is_refused(warehouse: Warehouse) -> None:
    wrong = batch(DEALS, {"id": 1})
    renamed = replace(wrong, rows=wrong.rows.rename_columns(["x", *wrong.rows.column_names[1:]]))
    with pytest.raises(PipedriveWarehouseException, match=r"missing \['id'\], not expected \['x'\]"):
        warehouse.commit(renamed)


def test_a_key_must_not_be_null(warehouse: Warehouse) -> None:
    with pytest.raises(PipedriveWarehouseException, match="key column id has NULLs"):
        warehouse.commit(batch(DEALS, {"id": None}))


def test_counts_add_up() -> None:
    total = MergeCounts(1, 2, 3, 4, 5) + MergeCounts(10, 20, 30, 40, 50)
    assert total == MergeCounts(11, 22, 33, 44, 55)
    assert total.written == 11 + 22 + 55


titles = st.sampled_from(["a", "b", None])
times = st.one_of(st.none(), st.integers(0, 2))
versions = st.fixed_dictionaries(
    {"id": st.integers(1, 3), "title": titles, "update_time": times, "_observed_at": st.integers(0, 2)}
)


def is_stale(row: dict[str, Any], old: dict[str, Any]) -> bool:
    times = row["update_time"], old["update_time"]
    if None in times or times[0] == times[1]:
        return bool(row["_observed_at"] < old["_observed_at"])
    return bool(times[0] < times[1])


def newest_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one key as they were seen; one without a time takes the newest time before it."""
    best, rank, newest_time = rows[0], (-1, -1), -1
    for row in sorted(rows, key=lambda each: each["_observed_at"]):  # stable: ties stay in batch order
        time = row["update_time"]
        newest_time = max(newest_time, -1 if time is None else time)
        its_rank = (newest_time if time is None else time, row["_observed_at"])
        if its_rank >= rank:
            best, rank = row, its_rank
    return best


def model_merge(table: dict[int, dict[str, Any]], rows: list[dict[str, Any]]) -> MergeCounts:
    """The same rules, one row at a time."""
    by_key: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_key.setdefault(row["id"], []).append(row)
    newest = {key: newest_of(of_key) for key, of_key in by_key.items()}
    fates = dict.fromkeys(("created", "updated", "unchanged", "stale"), 0)
    for key, row in newest.items():
        old = table.get(key)
        if old is None:
            fate = "created"
        elif (row["title"], row["update_time"]) == (old["title"], old["update_time"]):
            fate = "unchanged"
        else:
            fate = "stale" if is_stale(row, old) else "updated"
        fates[fate] += 1
        if fate in ("created", "updated"):
            table[key] = row
    return MergeCounts(**fates)


@given(st.lists(st.lists(versions, max_size=5), min_size=1, max_size=4))
def test_any_sequence_of_batches_ends_as_the_model_says(batches: list[list[dict[str, Any]]]) -> None:
    model: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        warehouse = open_warehouse(Path(folder) / "w.duckdb")
        for rows in batches:
            moments = [
                {
                    **row,
                    "update_time": None if row["update_time"] is None else at(row["update_time"]),
                    "_observed_at": at(row["_observed_at"]),
                }
                for row in rows
            ]
            assert warehouse.commit(batch(DEALS, *moments)) == model_merge(model, rows)
        kept = {row["id"]: (row["title"], row["update_time"]) for row in stored(warehouse, DEALS)}
        expected = {
            key: (
                row["title"],
                None if row["update_time"] is None else at(row["update_time"]).replace(tzinfo=None),
            )
            for key, row in model.items()
        }
        assert kept == expected
        assert warehouse.duplicate_keys(DEALS) == 0
        warehouse.close()
