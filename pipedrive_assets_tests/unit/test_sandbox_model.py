"""The sandbox's model without HTTP: generation, life cycles, lists that agree with the truth."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipedrive_assets.sandbox as package
from pipedrive_assets.sandbox.account import Account, UnknownRecordError
from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.collection import ARCHIVED, LIVE
from pipedrive_assets.sandbox.config import SandboxConfig
from pipedrive_assets.sandbox.shown import Selection
from pipedrive_assets.sandbox.times import milliseconds, v1, v2

NOW = "2026-06-15T12:00:00Z"


def account(**config: object) -> Account:
    made = SandboxConfig(now=NOW, frozen=True, **config)
    return Account(made, ServerClock(made.now, frozen=True))


def test_the_sandbox_imports_nothing_of_the_rest_of_the_package() -> None:
    for source in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name.startswith("pipedrive_assets")]
            assert all(name.startswith("pipedrive_assets.sandbox") for name in ours), source
            assert not (isinstance(node, ast.ImportFrom) and node.level), source


def test_the_same_seed_gives_the_same_account_and_another_seed_another() -> None:
    first, second, other = account(), account(), account(seed=8)
    for entity in first.collections:
        assert first.rows(entity) == second.rows(entity)
    assert first.rows("deals") != other.rows("deals")


def test_the_awkward_records_are_there() -> None:
    made = account(scale="small")
    deals, notes = made.rows("deals"), made.rows("notes")
    assert any(row["update_time"] is None for row in deals)
    assert any(row["is_archived"] for row in deals) and any(row["is_deleted"] for row in deals)
    assert any((row["update_time"] or "").endswith("-01T00:00:00Z") for row in deals)
    seconds = [row["update_time"] for row in deals if row["update_time"]]
    assert len(set(seconds)) < len(seconds) - 30
    assert any(len(note["content"].encode()) > 55_000 for note in notes)
    assert any(row["birthday"] == "0000-00-00" for row in made.rows("persons"))
    names = [field["field_name"] for field in made.rows("deal_fields")]
    assert 'id"; DROP TABLE deals; --' in names and len(names) != len(set(names))
    assert max(map(len, names)) == 200
    assert {field["field_type"] for field in made.rows("deal_fields") if field["is_custom_field"]} >= {
        "varchar", "text", "double", "phone", "date", "daterange", "time", "timerange", "set", "enum",
        "varchar_auto", "address", "monetary", "org", "people", "user",
    }  # fmt: skip


def test_products_and_installments_agree_with_the_counters_of_their_deals() -> None:
    made = account(scale="small")
    deals = {row["id"]: row for row in made.rows("deals")}
    counted: dict[int, int] = {}
    for row in made.rows("deal_products"):
        counted[row["deal_id"]] = counted.get(row["deal_id"], 0) + 1
    assert counted == {key: row["products_count"] for key, row in deals.items() if row["products_count"]}
    assert all(deals[row["deal_id"]]["products_count"] for row in made.rows("deal_installments"))


@pytest.mark.parametrize(("scale", "seconds"), [("tiny", 0.3), ("medium", 4.0), ("large", 30.0)])
def test_an_account_of_any_scale_starts_quickly(scale: str, seconds: float) -> None:
    started = time.process_time()
    made = account(scale=scale)
    assert time.process_time() - started < seconds
    rows = sum(collection.source.count for collection in made.collections.values())
    assert rows >= {"tiny": 300, "medium": 120_000, "large": 1_000_000}[scale]


def test_a_deleted_record_is_readable_for_thirty_days_and_its_children_are_gone() -> None:
    made = account()
    deal = made.rows("deal_products")[0]["deal_id"]
    made.delete("deals", deal)
    assert made.get("deals", deal)["status"] == "deleted"
    assert not [row for row in made.rows("deal_products") if row["deal_id"] == deal]
    made.clock.advance(31 * 86_400)
    assert deal not in [row["id"] for row in made.rows("deals")]
    with pytest.raises(UnknownRecordError):
        made.get("deals", deal)


def test_a_deleted_lead_is_gone_at_once() -> None:
    made = account()
    lead = made.create("leads", title="x", person_id=1)
    made.delete("leads", lead)
    with pytest.raises(UnknownRecordError):
        made.get("leads", lead)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "delete", "archive", "unarchive", "wait"]),
        st.integers(1, 70),
        st.integers(0, 40),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    operations=OPERATIONS,
    lag=st.sampled_from([0.0, 30.0]),
    sort=st.sampled_from(["id", "update_time", "add_time"]),
)
def test_lists_agree_with_the_truth_once_the_lag_has_passed(
    operations: list[tuple[str, int, int]], lag: float, sort: str
) -> None:
    made = account(index_lag_seconds=lag)
    shown = made.collections["deals"].shown
    wanted = Selection(states=frozenset({LIVE, ARCHIVED}), sort=sort)
    shown.select(wanted)
    for action, key, seconds in operations:
        try:
            if action == "create":
                made.create("deals", title=f"made {seconds}")
            elif action == "update":
                made.update("deals", key, title=f"edited {seconds}")
            elif action == "delete":
                made.delete("deals", key)
            elif action in ("archive", "unarchive"):
                made.archive("deals", key, archived=action == "archive")
        except UnknownRecordError:
            pass
        made.clock.advance(seconds)
        made.collections["deals"].settle()
        entries = shown.select(wanted)
        assert entries == sorted(entries) and len({n for _, n in entries}) == len(entries)
    made.clock.advance(lag + 1)
    made.collections["deals"].settle()
    listed = sorted((shown.row(n) for _, n in shown.select(wanted)), key=lambda row: row["id"])
    assert listed == [row for row in made.rows("deals") if not row["is_deleted"]]


@given(st.integers(0, 4_000_000_000))
def test_times_round_trip_in_every_form(seconds: int) -> None:
    for form in (v1, v2):
        assert milliseconds(form(seconds * 1000) or "") == seconds * 1000


def test_the_clock_jumps_stands_and_runs_on() -> None:
    clock = ServerClock("2026-01-01T00:00:00Z", frozen=True)
    assert clock.http_date() == "Thu, 01 Jan 2026 00:00:00 GMT" and clock.day() == "2026-01-01"
    clock.advance(86_400)
    assert clock.day() == "2026-01-02"
    clock.unfreeze()
    clock.set("2027-05-05T05:05:05Z")
    assert 0 <= clock.time() - milliseconds("2027-05-05T05:05:05Z") / 1000 < 5


@pytest.mark.parametrize("edit", ["update", "delete", "archive"])
def test_a_deleted_record_can_only_be_read(edit: str) -> None:
    made = account()
    made.delete("deals", 1)
    with pytest.raises(UnknownRecordError):
        getattr(made, edit)("deals", 1)
    assert made.get("deals", 1)["is_deleted"]
