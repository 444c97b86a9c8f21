"""The sandbox's lists: cursors, offsets, time filters, index lag, strict parameters."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pipedrive_assets.sandbox import Sandbox, SandboxConfig

CONFIG = SandboxConfig(scale="tiny", burst_limit=10_000, now="2026-06-15T12:00:00Z", frozen=True)
ALL = "open,won,lost,deleted"
DEAL_FIELDS = (
    "next_activity_id,last_activity_id,first_won_time,products_count,files_count,notes_count,followers_count,"
    "email_messages_count,activities_count,done_activities_count,undone_activities_count,participants_count,"
    "last_incoming_mail_time,last_outgoing_mail_time,smart_bcc_email,source_lead_id"
)


class Caller:
    """Requests with a token, as a test writes them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["x-api-token"] = sandbox.token

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + path, params=params)

    def walk(self, path: str, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            body = self.get(path, **params).json()
            rows += body["data"]
            cursor = body["additional_data"]["next_cursor"]
            if cursor is None:
                return rows
            params["cursor"] = cursor


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(CONFIG) as running:
        yield running


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Caller]:
    made = Caller(sandbox)
    with made.session:
        yield made


@pytest.mark.parametrize("sort_by", ["id", "update_time", "add_time"])
@pytest.mark.parametrize("sort_direction", ["asc", "desc"])
def test_a_cursor_walk_shows_every_deal_once(caller: Caller, sort_by: str, sort_direction: str) -> None:
    order = {"sort_by": sort_by, "sort_direction": sort_direction}
    live = caller.walk("/api/v2/deals", limit=7, status=ALL, include_fields=DEAL_FIELDS, **order)
    archived = caller.walk("/api/v2/deals/archived", limit=2, include_fields=DEAL_FIELDS, **order)
    assert sorted(live + archived, key=lambda row: row["id"]) == caller.sandbox.rows("deals")
    times = [row[sort_by] for row in live if row[sort_by] is not None]
    assert times == sorted(times, reverse=sort_direction == "desc")


def test_deleted_deals_are_listed_only_when_asked_for(caller: Caller) -> None:
    assert not any(row["is_deleted"] for row in caller.walk("/api/v2/deals"))
    deleted = caller.walk("/api/v2/deals", status="deleted")
    assert deleted and all(row["is_deleted"] and row["status"] == "deleted" for row in deleted)


def test_deleted_deals_are_purged_after_thirty_days(caller: Caller) -> None:
    gone = caller.walk("/api/v2/deals", status="deleted")[0]["id"]
    assert caller.get(f"/api/v2/deals/{gone}").json()["data"]["is_deleted"] is True
    caller.sandbox.clock.advance(31 * 86_400)
    assert caller.walk("/api/v2/deals", status="deleted") == []
    assert caller.get(f"/api/v2/deals/{gone}").status_code == 404


def test_time_filters_include_since_and_exclude_until_and_nulls(caller: Caller) -> None:
    rows = caller.walk("/api/v2/activities")
    middle = sorted(row["update_time"] for row in rows if row["update_time"])[40]
    since = caller.walk("/api/v2/activities", updated_since=middle)
    until = caller.walk("/api/v2/activities", updated_until=middle)
    assert {row["id"] for row in since} == {
        r["id"] for r in rows if r["update_time"] and r["update_time"] >= middle
    }
    assert {row["id"] for row in until} == {
        r["id"] for r in rows if r["update_time"] and r["update_time"] < middle
    }
    assert any(row["update_time"] is None for row in rows)


@pytest.mark.parametrize("nulls_first", [True, False])
def test_rows_without_a_time_sort_to_the_configured_end(nulls_first: bool) -> None:
    config = SandboxConfig(scale="tiny", nulls_first=nulls_first)
    with Sandbox.start(config) as running, Caller(running).session as session:
        url = f"{running.url}/api/v2/activities?sort_by=update_time&limit=500"
        times = [row["update_time"] for row in session.get(url).json()["data"]]
    assert (times[0] is None) is nulls_first
    assert (times[-1] is None) is not nulls_first


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/v2/deals", {"updated_since": "2026-01-01T00:00:00.000Z"}),
        ("/api/v2/deals", {"updated_since": "yesterday"}),
        ("/api/v2/deals", {"nope": "1"}),
        ("/api/v2/activities", {"type": "call"}),
        ("/api/v2/pipelines", {"updated_since": "2026-01-01T00:00:00Z"}),
        ("/api/v2/products", {"updated_until": "2026-01-01T00:00:00Z"}),
        ("/api/v2/deals", {"include_fields": "products_count,nope"}),
        ("/api/v2/deals", {"sort_by": "title"}),
        ("/api/v2/deals", {"ids": ",".join(map(str, range(1, 102)))}),
        ("/api/v2/deals", {"cursor": "garbage"}),
        ("/api/v2/deals/products", {}),
        ("/api/v2/deals/search", {"term": "deal", "limit": "101"}),
    ],
)
def test_v2_refuses_parameters_it_does_not_know(caller: Caller, path: str, params: dict[str, str]) -> None:
    response = caller.get(path, **params)
    assert response.status_code == 400
    assert response.json()["code"] == "ERR_SCHEMA_VALIDATION_FAILED"


@pytest.mark.parametrize(("path", "limit"), [("/api/v1/files", 101), ("/api/v1/callLogs", 51)])
def test_v1_lists_with_small_pages_refuse_larger_ones(caller: Caller, path: str, limit: int) -> None:
    assert caller.get(path, limit=limit).status_code == 400
    assert caller.get(path, limit=limit - 1).status_code == 200


def test_a_v2_limit_above_500_is_clamped() -> None:
    with Sandbox.start(SandboxConfig(scale="small")) as running, Caller(running).session as session:
        body = session.get(f"{running.url}/api/v2/deals?limit=900").json()
    assert len(body["data"]) == 500


def test_a_cursor_is_base64url_json_and_bound_to_its_sorting(caller: Caller) -> None:
    body = caller.get("/api/v2/deals", limit=3).json()
    cursor = body["additional_data"]["next_cursor"]
    content = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    assert set(content) == {"field", "fieldValue", "sortDirection", "id"}
    assert content["field"] == "id" and content["sortDirection"] == "asc"
    assert caller.get("/api/v2/deals", cursor=cursor, sort_by="update_time").status_code == 400


def test_ids_leave_out_unknown_records_and_filter_id_overrides_them(caller: Caller) -> None:
    assert [row["id"] for row in caller.walk("/api/v2/persons", ids="3,1,99999")] == [1, 3]
    assert len(caller.walk("/api/v2/persons", ids="1", filter_id=1)) > 1


def test_offset_pages_end_without_next_start(caller: Caller) -> None:
    rows, start = [], 0
    while True:
        body = caller.get("/api/v1/notes", start=start, limit=7).json()
        rows += body["data"]
        pagination = body["additional_data"]["pagination"]
        if not pagination["more_items_in_collection"]:
            break
        start = pagination["next_start"]
    assert "next_start" not in pagination
    assert rows == caller.sandbox.rows("notes")


def test_leads_are_flat_and_archived_ones_have_a_list_of_their_own(caller: Caller) -> None:
    live = caller.get("/api/v1/leads", limit=500).json()["data"]
    archived = caller.get("/api/v1/leads/archived", limit=500).json()["data"]
    assert archived and all(row["is_archived"] for row in archived)
    by_id = {row["id"]: row for row in live + archived}
    assert by_id == {row["id"]: row for row in caller.sandbox.rows("leads")}
    assert "custom_fields" not in live[0] and any(len(name) == 40 for row in live for name in row)


@pytest.mark.parametrize("sort", ["update_time DESC", "id ASC", "add_time DESC"])
def test_v1_lists_sort_as_asked(caller: Caller, sort: str) -> None:
    name, direction = sort.split()
    values = [row[name] for row in caller.get("/api/v1/files", sort=sort, limit=100).json()["data"]]
    assert values == sorted(values, reverse=direction == "DESC")


def test_goals_need_a_type_and_an_activity_flag_to_show_all(caller: Caller) -> None:
    kinds = ("deals_won", "deals_progressed", "activities_completed", "activities_added", "deals_started")
    found = [
        row
        for kind in kinds
        for active in ("true", "false")
        for row in caller.get("/api/v1/goals/find", **{"type.name": kind, "is_active": active}).json()[
            "data"
        ]["goals"]
    ]
    assert sorted(row["id"] for row in found) == sorted(row["id"] for row in caller.sandbox.rows("goals"))
    assert all(row["owner_id"] == 1 for row in caller.get("/api/v1/goals/find").json()["data"]["goals"])


def test_mail_folders_together_show_every_thread(caller: Caller) -> None:
    seen = {
        row["id"]
        for folder in ("inbox", "drafts", "sent", "archive")
        for row in caller.get("/api/v1/mailbox/mailThreads", folder=folder, limit=50).json()["data"]
    }
    assert seen == {row["id"] for row in caller.sandbox.rows("mail_threads")}


def test_children_hang_below_their_parents(caller: Caller) -> None:
    ids = ",".join(str(n) for n in range(1, 61))
    assert caller.walk("/api/v2/deals/products", deal_ids=ids, limit=9) == caller.sandbox.rows(
        "deal_products"
    )
    followers = caller.sandbox.rows("deal_followers")
    deal = followers[0]["deal_id"]
    expected = [
        {k: v for k, v in row.items() if k != "deal_id"} for row in followers if row["deal_id"] == deal
    ]
    assert caller.walk(f"/api/v2/deals/{deal}/followers") == expected
    assert caller.get("/api/v2/deals/9999/followers").status_code == 404


def test_lists_lag_behind_writes_while_single_reads_do_not(caller: Caller) -> None:
    sandbox = caller.sandbox
    sandbox.account.set_index_lag(30)
    made = sandbox.account.create("deals", title="fresh")
    sandbox.account.update("deals", 1, title="edited")
    assert caller.get(f"/api/v2/deals/{made}").json()["data"]["title"] == "fresh"
    assert made not in [row["id"] for row in caller.walk("/api/v2/deals")]
    assert caller.walk("/api/v2/deals", ids="1")[0]["title"] != "edited"
    sandbox.clock.advance(29)
    assert made not in [row["id"] for row in caller.walk("/api/v2/deals")]
    sandbox.clock.advance(2)
    assert made in [row["id"] for row in caller.walk("/api/v2/deals")]
    assert caller.walk("/api/v2/deals", ids="1")[0]["title"] == "edited"


def test_a_hook_edits_records_between_pages(caller: Caller) -> None:
    pages: list[str | None] = []

    def edit(version: str, path: str, params: dict[str, str]) -> None:
        pages.append(params.get("cursor"))
        if len(pages) == 2:
            caller.sandbox.account.update("deals", 1, title="moved to the end")

    caller.sandbox.account.hook_before_page(edit)
    rows = caller.walk("/api/v2/deals", limit=20, sort_by="update_time")
    assert [row["id"] for row in rows].count(1) >= 1 and rows[-1]["title"] == "moved to the end"


def test_optional_fields_come_only_when_asked(caller: Caller) -> None:
    plain = caller.get("/api/v2/deals/1").json()["data"]
    asked = caller.get("/api/v2/deals/1", include_fields="products_count").json()["data"]
    assert "products_count" not in plain and set(asked) - set(plain) == {"products_count"}


def test_custom_fields_can_be_restricted_and_labelled(caller: Caller) -> None:
    book = caller.sandbox.account.book
    made = next(field for field in book.custom["deal"].values() if field.type == "enum")
    rows = caller.walk(
        "/api/v2/deals", custom_fields=made.code, include_option_labels="true", include_labels="true"
    )
    assert all(set(row["custom_fields"]) == {made.code} for row in rows)
    assert any(isinstance(row["custom_fields"][made.code], dict) for row in rows)
    assert all(isinstance(row["labels"], list) for row in rows)
    assert set(caller.walk("/api/v2/deals")[0]["custom_fields"]) == set(book.custom["deal"])


def test_the_date_header_follows_the_server_clock(caller: Caller) -> None:
    caller.sandbox.clock.set("2026-12-31T23:59:59Z")
    assert caller.get("/api/v1/users/me").headers["date"] == "Thu, 31 Dec 2026 23:59:59 GMT"


def test_empty_v1_lists_can_be_null_and_answers_compressed() -> None:
    config = SandboxConfig(scale="tiny", v1_empty_as_null=True, gzip=True)
    with Sandbox.start(config) as running, Caller(running).session as session:
        assert session.get(f"{running.url}/api/v1/notes?deal_id=99999").json()["data"] is None
        deals = session.get(f"{running.url}/api/v2/deals")
        assert deals.headers["content-encoding"] == "gzip" and deals.json()["success"]


def test_a_warm_sandbox_answers_as_a_cold_one(caller: Caller) -> None:
    before = caller.walk("/api/v2/deals", include_fields=DEAL_FIELDS)
    with Sandbox(CONFIG) as warm:
        warm.warm()
        other = Caller(warm)
        with other.session:
            assert other.walk("/api/v2/deals", include_fields=DEAL_FIELDS) == before


def test_a_relationship_is_listed_below_both_organizations_from_their_sides(caller: Caller) -> None:
    owner = caller.get("/api/v1/organizationRelationships", org_id=1).json()["data"][0]
    linked = caller.get("/api/v1/organizationRelationships", org_id=2).json()["data"][0]
    assert owner["id"] == linked["id"]
    assert (owner["calculated_type"], owner["calculated_related_org_id"]) == ("daughter", 2)
    assert (linked["calculated_type"], linked["calculated_related_org_id"]) == ("parent", 1)
    assert [row["org_id"] for row in caller.sandbox.rows("organization_relationships")][:2] == [1, 2]
