from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import spec
from pipedrive_assets.sync.parsing import PageFacts, ParsedPage, PipedriveParsingService

OBSERVED = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
HASH = "a" * 40
HOSTILE_HASH = "0123456789abcdef0123456789abcdef01234567"


def parse(entity: str, *records: Any, stream: str = "live", parent_id: int | str | None = None) -> ParsedPage:
    entity_spec = spec(entity)
    chosen = next(each for each in entity_spec.streams if each.name == stream)
    return PipedriveParsingService(entity_spec).parse(records, PageFacts(chosen, OBSERVED, parent_id))


def only(page: ParsedPage) -> dict[str, Any]:
    (row,) = page.rows.to_pylist()
    return row


def test_a_deal_becomes_typed_columns_and_custom_fields_by_hash() -> None:
    page = parse(
        "deals",
        {
            "id": 7,
            "title": "Größe 🚀",
            "value": 12.5,
            "update_time": "2026-10-31T23:59:59Z",
            "label_ids": [1, 2],
            "is_archived": False,
            "custom_fields": {HASH: {"value": 3, "currency": "EUR"}, "b" * 40: None},
        },
    )
    row = only(page)
    assert row["title"] == "Größe 🚀"
    assert row["value"] == 12.5
    assert row["update_time"] == datetime(2026, 10, 31, 23, 59, 59)
    assert json.loads(row["label_ids"]) == [1, 2]
    assert json.loads(row["custom_fields"]) == {HASH: {"value": 3, "currency": "EUR"}}
    assert row["_extra"] is None
    assert row["_is_deleted"] is False
    assert page.newest == datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    assert page.last_id == "7"


def test_a_bad_value_is_null_in_its_column_and_kept_beside() -> None:
    page = parse("deals", {"id": 7, "value": "a lot"}, {"id": 8, "value": 5})
    first, second = page.rows.to_pylist()
    assert first["value"] is None
    assert json.loads(first["_extra"]) == {"value": "a lot"}
    assert second["value"] == 5
    (kept,) = page.quarantine
    assert (kept.key, kept.column, json.loads(kept.value)) == ("7", "value", "a lot")


def test_an_unknown_key_is_kept_and_named() -> None:
    page = parse("deals", {"id": 7, "brand_new": {"a": 1}})
    assert json.loads(only(page)["_extra"]) == {"brand_new": {"a": 1}}
    assert page.unknown_keys == {"brand_new"}
    assert page.quarantine == ()


def test_a_row_without_a_usable_key_goes_to_quarantine_whole() -> None:
    page = parse("deals", {"title": "no id"}, "not even an object", {"id": True}, {"id": 1})
    assert page.rows.num_rows == 1
    assert [json.loads(each.value) for each in page.quarantine] == [
        {"title": "no id"},
        "not even an object",
        {"id": True},
    ]
    assert {each.column for each in page.quarantine} == {"*"}


def test_leads_carry_their_custom_fields_at_the_top_level() -> None:
    lead = {"id": "7f1a", "title": "x", HASH: 5, f"{HASH}_currency": "EUR", HOSTILE_HASH: None}
    row = only(parse("leads", lead))
    assert json.loads(row["custom_fields"]) == {HASH: 5, f"{HASH}_currency": "EUR"}
    assert row["_extra"] is None


def test_a_deleted_record_is_a_tombstone_from_its_own_update_time() -> None:
    row = only(
        parse(
            "deals", {"id": 1, "status": "deleted", "is_deleted": True, "update_time": "2026-10-01T00:00:00Z"}
        )
    )
    assert (row["_is_deleted"], row["_deleted_reason"]) == (True, "deleted")
    assert row["_deleted_at"] == datetime(2026, 10, 1)


def test_projects_of_the_archived_list_are_marked_as_such() -> None:
    assert only(parse("projects", {"id": 1}))["is_archived"] is False
    assert only(parse("projects", {"id": 1}, stream="archived"))["is_archived"] is True


def test_followers_carry_the_record_they_hang_below() -> None:
    row = only(parse("deal_followers", {"user_id": 3, "add_time": "2026-10-01T00:00:00Z"}, parent_id=9))
    assert (row["deal_id"], row["user_id"]) == (9, 3)


def test_changes_without_an_id_get_one_from_parent_and_content() -> None:
    change = {"field_key": "title", "old_value": "a", "new_value": "b", "time": "2026-10-01 00:00:00"}
    here, again = parse("deal_changelog", change, parent_id=1), parse("deal_changelog", change, parent_id=1)
    elsewhere = parse("deal_changelog", change, parent_id=2)
    assert only(here)["change_id"] == only(again)["change_id"] != only(elsewhere)["change_id"]


def test_a_password_of_a_webhook_subscription_is_never_kept() -> None:
    page = parse("webhooks", {"id": 1, "http_auth_password": "hunter22"}, {"http_auth_password": "hunter22"})
    assert "hunter22" not in str(page.rows.to_pylist()) + str(page.quarantine)


JSON_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.lists(st.integers(0, 3), max_size=2)
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["title", "value", "add_time", "owner_id", "new_key"]), JSON_VALUES)
    )
)
def test_no_value_is_ever_lost(records: list[dict[str, Any]]) -> None:
    for number, record in enumerate(records):
        record["id"] = number
    page = parse("deals", *records)
    for record, row in zip(records, page.rows.to_pylist(), strict=True):
        extra = json.loads(row["_extra"] or "{}")
        for key, value in record.items():
            if value is None or key in extra:
                assert extra.get(key) == value
            elif isinstance(value, str) and key != "title" and not value.strip():
                assert row[key] is None
            else:
                assert row[key] is not None
