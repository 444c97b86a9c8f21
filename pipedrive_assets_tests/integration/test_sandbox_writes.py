"""Writes over HTTP: validation, defaults, what they move, archives, merges, field definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pipedrive_assets.sandbox import Sandbox, SandboxConfig


class Writer:
    """JSON requests; answers (status, body)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.session = sandbox, requests.Session()
        self.session.headers["x-api-token"] = sandbox.token

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        response = self.session.request(method, f"{self.sandbox.url}/api/{path}", json=body)
        return response.status_code, response.json()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", burst_limit=10_000)) as running:
        yield running


@pytest.fixture
def write(sandbox: Sandbox) -> Iterator[Writer]:
    made = Writer(sandbox)
    with made.session:
        yield made


CREATED = [
    ("v2/deals", {"title": "New"}, 200),
    ("v2/persons", {"name": "Ada Lovelace", "emails": [{"value": "a@example.com"}]}, 200),
    ("v2/organizations", {"name": "Org"}, 200),
    ("v2/activities", {"subject": "Call", "deal_id": 1}, 200),
    ("v2/products", {"name": "Thing", "prices": [{"currency": "EUR", "price": 5}]}, 201),
    ("v2/deals/1/products", {"product_id": 1, "item_price": 10, "quantity": 2.5}, 201),
    ("v2/deals/1/installments", {"description": "x", "amount": 3, "billing_date": "2026-01-01"}, 200),
    ("v2/deals/1/discounts", {"description": "x", "amount": 3, "type": "amount"}, 201),
    ("v2/pipelines", {"name": "P"}, 200),
    ("v2/stages", {"name": "S", "pipeline_id": 1}, 200),
    ("v2/projects", {"title": "Project"}, 201),
    ("v2/tasks", {"title": "Task", "project_id": 1, "done": 1}, 201),
    ("v2/boards", {"name": "Board"}, 200),
    ("v2/phases", {"name": "Phase", "board_id": 1}, 200),
    ("v1/notes", {"content": "Hello", "deal_id": 1}, 200),
    ("v1/leads", {"title": "Lead", "person_id": 1}, 201),
    ("v1/leadLabels", {"name": "New", "color": "blue"}, 200),
    ("v1/notes/1/comments", {"content": "Yes"}, 200),
]
ENTITY_OF = {
    "v2/deals/1/products": "deal_products",
    "v2/deals/1/installments": "deal_installments",
    "v2/deals/1/discounts": "deal_discounts",
    "v1/leadLabels": "lead_labels",
    "v1/notes/1/comments": "note_comments",
}


@pytest.mark.parametrize(("path", "body", "status"), CREATED, ids=[each[0] for each in CREATED])
def test_a_created_record_reads_back_and_can_be_changed_and_deleted(
    write: Writer, path: str, body: dict[str, Any], status: int
) -> None:
    entity = ENTITY_OF.get(path, path.split("/")[1])
    name = "uuid" if entity == "note_comments" else "id"
    code, answer = write("POST", path, body)
    assert code == status, answer
    key = answer["data"][name]
    assert [row for row in write.sandbox.rows(entity) if row[name] == key]
    shape = set(write.sandbox.rows(entity)[0])
    made = next(row for row in write.sandbox.rows(entity) if row[name] == key)
    assert {k for k in shape if len(k) < 40} == {k for k in made if len(k) < 40}
    change = "PUT" if path.startswith("v1/notes") else "PATCH"
    same = {k: v for k, v in body.items() if k not in ("deal_id", "product_id")}
    assert write(change, f"{path}/{key}", same)[0] in (200, 201)
    assert write("DELETE", f"{path}/{key}")[0] == 200
    assert not [row for row in write.sandbox.rows(entity) if row[name] == key and not row.get("is_deleted")]
    assert write("DELETE", f"{path}/{key}")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "v2/deals", {}),
        ("POST", "v2/deals", {"title": 5}),
        ("POST", "v2/deals", {"title": "x", "value": "100"}),
        ("POST", "v2/deals", {"title": "x", "person_id": "1"}),
        ("POST", "v2/deals", {"title": "x", "unknown": 1}),
        ("POST", "v2/deals", {"title": "x", "id": 5}),
        ("POST", "v2/deals", {"title": "x", "is_deleted": True}),
        ("POST", "v2/deals", {"title": "x", "status": "deleted"}),
        ("POST", "v2/deals", {"title": "x", "won_time": "2026-01-01T00:00:00Z"}),
        ("POST", "v2/deals", {"title": "x", "pipeline_id": 3, "probability": 50}),
        ("POST", "v2/deals", {"title": "x", "stage_id": 1, "pipeline_id": 2}),
        ("POST", "v2/deals", {"title": "x", "expected_close_date": "tomorrow"}),
        ("POST", "v2/deals", {"title": "x", "custom_fields": {"f" * 40: 1}}),
        ("POST", "v2/persons", {"emails": [{"value": "a@b.c"}]}),
        (
            "POST",
            "v2/persons",
            {"name": "x", "phones": [{"value": "1", "primary": True}, {"value": "2", "primary": True}]},
        ),
        ("PATCH", "v2/activities/1", {"person_id": 1}),
        ("POST", "v2/products", {"name": "x", "prices": [{"currency": "EUR"}, {"currency": "EUR"}]}),
        ("POST", "v2/dealFields", {"field_name": "x", "field_type": "enum"}),
        ("POST", "v2/deals/1/followers", {"user_id": None}),
    ],
)
def test_v2_refuses_wrong_bodies(write: Writer, method: str, path: str, body: dict[str, Any]) -> None:
    code, answer = write(method, path, body)
    assert code == 400 and answer["code"] == "ERR_SCHEMA_VALIDATION_FAILED", answer


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("v1/notes", {"content": "nowhere"}),
        ("v1/notes", {"content": "x" * 100_001, "deal_id": 1}),
        ("v1/leads", {"title": "alone"}),
        ("v1/leads", {"title": "x", "person_id": 1, "value": {"amount": 5}}),
    ],
)
def test_v1_refuses_wrong_bodies(write: Writer, path: str, body: dict[str, Any]) -> None:
    assert write("POST", path, body)[0] == 400


def test_a_change_is_partial_null_clears_and_custom_fields_merge_by_key(write: Writer) -> None:
    fields = write.sandbox.account.book.custom["deal"]
    text = next(f.code for f in fields.values() if f.type == "text")
    number = next(f.code for f in fields.values() if f.type == "double")
    _, made = write(
        "POST", "v2/deals", {"title": "x", "person_id": 1, "custom_fields": {text: "a", number: 1.5}}
    )
    key = made["data"]["id"]
    _, changed = write("PATCH", f"v2/deals/{key}", {"person_id": None, "custom_fields": {number: None}})
    row = changed["data"]
    assert (row["title"], row["person_id"]) == ("x", None)
    assert (row["custom_fields"][text], row["custom_fields"][number]) == ("a", None)
    assert set(row["custom_fields"]) == set(fields)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("double", "1"),
        ("set", []),
        ("enum", 10**9),
        ("date", "soon"),
        ("monetary", 5),
        ("user", "1"),
        ("varchar", 1),
    ],
)
def test_custom_values_of_the_wrong_type_are_refused_by_code(write: Writer, kind: str, wrong: Any) -> None:
    code = next(f.code for f in write.sandbox.account.book.custom["deal"].values() if f.type == kind)
    status, answer = write("PATCH", "v2/deals/1", {"custom_fields": {code: wrong}})
    assert status == 400 and code in answer["error"]


def test_winning_a_deal_sets_its_times(write: Writer) -> None:
    key = write("POST", "v2/deals", {"title": "x"})[1]["data"]["id"]
    won = write("PATCH", f"v2/deals/{key}", {"status": "won"})[1]["data"]
    assert won["won_time"] == won["close_time"] and won["lost_time"] is None
    lost = write("PATCH", f"v2/deals/{key}", {"status": "lost", "lost_reason": "Price"})[1]["data"]
    assert lost["won_time"] is None and lost["lost_time"]


def test_moving_to_another_pipeline_moves_the_stage(write: Writer) -> None:
    key = write("POST", "v2/deals", {"title": "x"})[1]["data"]["id"]
    moved = write("PATCH", f"v2/deals/{key}", {"pipeline_id": 2})[1]["data"]
    assert (moved["pipeline_id"], moved["stage_id"]) == (2, 7)


def test_an_archived_deal_can_only_be_unarchived(write: Writer) -> None:
    key = write("POST", "v2/deals", {"title": "x"})[1]["data"]["id"]
    archived = write("PATCH", f"v2/deals/{key}", {"is_archived": True})[1]["data"]
    assert archived["is_archived"] and archived["archive_time"]
    assert write("PATCH", f"v2/deals/{key}", {"title": "y"})[0] == 403
    back = write("PATCH", f"v2/deals/{key}", {"is_archived": False})[1]["data"]
    assert not back["is_archived"] and back["archive_time"] is None


def test_a_products_change_moves_its_deal_and_its_counter(write: Writer) -> None:
    sandbox = write.sandbox
    key = write("POST", "v2/deals", {"title": "x"})[1]["data"]["id"]
    attached = write("POST", f"v2/deals/{key}/products", {"product_id": 1, "item_price": 4, "quantity": 3})[
        1
    ]["data"]
    assert attached["sum"] == 12
    assert sandbox.account.get("deals", key)["products_count"] == 1
    write("DELETE", f"v2/deals/{key}/products/{attached['id']}")
    assert sandbox.account.get("deals", key)["products_count"] == 0


@pytest.mark.parametrize("entity", ["deals", "persons", "organizations"])
def test_a_merge_keeps_the_survivor_and_fills_its_gaps(write: Writer, entity: str) -> None:
    name = "title" if entity == "deals" else "name"
    loser, survivor = (
        write("POST", f"v2/{entity}", {name: each})[1]["data"]["id"] for each in ("lost", "kept")
    )
    write("PATCH", f"v2/{entity}/{loser}", {"label_ids": [2]})
    assert write("PUT", f"v1/{entity}/{loser}/merge", {"merge_with_id": survivor})[0] == 200
    row = write.sandbox.account.get(entity, survivor)
    assert row[name] == "kept" and row["label_ids"] == [2]
    assert write("GET", f"v2/{entity}/{loser}")[1]["data"]["is_deleted"] is True
    assert write("PUT", f"v1/{entity}/{loser}/merge", {"merge_with_id": survivor})[0] == 404


def test_following_twice_is_refused_and_moves_no_update_time(write: Writer) -> None:
    key = write("POST", "v2/deals", {"title": "x"})[1]["data"]["id"]
    before = write.sandbox.account.get("deals", key)
    assert write("POST", f"v2/deals/{key}/followers", {"user_id": 2})[0] == 201
    assert write("POST", f"v2/deals/{key}/followers", {"user_id": 2})[0] == 400
    after = write.sandbox.account.get("deals", key)
    assert after["followers_count"] == before["followers_count"] + 1
    assert after["update_time"] == before["update_time"]
    assert write("DELETE", f"v2/deals/{key}/followers/2")[0] == 200
    assert write("DELETE", f"v2/deals/{key}/followers/2")[0] == 404


def test_a_field_can_be_made_renamed_extended_and_removed(write: Writer) -> None:
    body = {"field_name": 'id"; DROP TABLE', "field_type": "set", "options": [{"label": "a"}]}
    code = write("POST", "v2/personFields", body)[1]["data"]["field_code"]
    path = f"v2/personFields/{code}"
    assert write("PATCH", path, {"field_name": "renamed"})[1]["data"]["field_name"] == "renamed"
    option = write("POST", f"{path}/options", [{"label": "b"}])[1]["data"][0]
    assert write("POST", f"{path}/options", [{"label": "b"}])[0] == 400
    assert write("PATCH", f"{path}/options", [{"id": option["id"], "label": "c"}])[0] == 200
    person = write("GET", "v2/persons/1")[1]["data"]
    assert person["custom_fields"][code] is None
    assert write("PATCH", "v2/persons/1", {"custom_fields": {code: [option["id"]]}})[0] == 200
    assert write("DELETE", f"{path}/options", [{"id": 10**9}])[0] == 400
    assert write("DELETE", path)[0] == 200
    assert code not in write("GET", "v2/persons/1")[1]["data"]["custom_fields"]
    listed = write("GET", "v2/persons?limit=1")[1]["data"][0]
    assert code not in listed["custom_fields"]


def test_webhooks_need_https_and_are_limited_to_forty(write: Writer) -> None:
    body = {
        "subscription_url": "https://x.example.com",
        "event_action": "*",
        "event_object": "*",
        "name": "n",
    }
    assert write("POST", "v1/webhooks", {**body, "subscription_url": "http://x"})[0] == 400
    statuses = [write("POST", "v1/webhooks", body)[0] for _ in range(39)]
    assert statuses == [201] * 38 + [422]
    assert write("DELETE", "v1/webhooks/3")[0] == 200
    assert write("DELETE", "v1/webhooks/3")[0] == 404
