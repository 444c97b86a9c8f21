"""The catalog is complete, consistent with itself, and in an order in which it can be synced."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import (
    CATALOG,
    CATALOG_VERSION,
    default_entities,
    resolve_entities,
    spec,
)
from pipedrive_assets.catalog.registry import fingerprint
from pipedrive_assets.catalog.spec import ColumnType, Computed, EntitySpec, Incremental, PerParent, Tier
from pipedrive_assets.exceptions import PipedriveConfigException

DEFAULT = [
    "activities",
    "deals",
    "files",
    "goals",
    "notes",
    "organizations",
    "persons",
    "pipelines",
    "products",
    "stages",
    "users",
    "activity_fields",
    "deal_fields",
    "lead_fields",
    "note_fields",
    "organization_fields",
    "person_fields",
    "product_fields",
    "project_fields",
    "leads",
    "lead_labels",
    "lead_sources",
    "activity_types",
    "currencies",
    "filters",
    "deal_products",
    "deal_installments",
    "projects",
    "boards",
    "phases",
    "project_templates",
    "tasks",
    "roles",
    "permission_sets",
    "legacy_teams",
    "call_logs",
    "mail_threads",
    "webhooks",
]
ON_DEMAND = [
    "deal_followers",
    "person_followers",
    "organization_followers",
    "product_followers",
    "deal_participants",
    "deal_changelog",
    "person_changelog",
    "organization_changelog",
    "organization_relationships",
    "note_comments",
    "product_variations",
    "deal_discounts",
    "mail_messages",
]
OWN_COLUMNS = {
    "custom_fields",
    "_extra",
    "_is_deleted",
    "_deleted_at",
    "_deleted_reason",
    "_merged_into",
    "_observed_at",
    "_synced_at",
    "_source",
    "_run_id",
}

every_entity = pytest.mark.parametrize("entity", CATALOG.values(), ids=CATALOG.keys())
names = st.sampled_from(list(CATALOG))


def test_the_catalog_holds_exactly_the_entities_of_the_design() -> None:
    assert sorted(CATALOG) == sorted([*DEFAULT, *ON_DEMAND])
    assert sorted(default_entities()) == sorted(DEFAULT)


def test_entities_come_in_the_order_in_which_they_refer_to_each_other() -> None:
    order = list(CATALOG)
    chain = [
        "users",
        "pipelines",
        "stages",
        "organizations",
        "persons",
        "products",
        "deals",
        "activities",
        "notes",
        "files",
    ]
    assert all(order.index(before) < order.index(after) for before, after in pairwise(chain))


@every_entity
def test_parents_come_before_their_children(entity: EntitySpec) -> None:
    if entity.parent is not None:
        order = list(CATALOG)
        assert order.index(entity.parent) < order.index(entity.name)


@every_entity
def test_key_columns_exist_and_are_required(entity: EntitySpec) -> None:
    assert entity.key
    assert all(entity.column(name).required for name in entity.key)


@every_entity
def test_column_names_are_unique_whatever_their_case_and_never_our_own(entity: EntitySpec) -> None:
    lowered = [column.name.lower() for column in entity.columns]
    assert len(set(lowered)) == len(lowered)
    assert not OWN_COLUMNS & set(lowered)
    assert not set(entity.redacted) & set(lowered)


@every_entity
def test_the_update_column_is_a_timestamp(entity: EntitySpec) -> None:
    if entity.update_column is not None:
        assert entity.column(entity.update_column).type is ColumnType.TIMESTAMP


@every_entity
def test_streams_that_are_asked_for_changes_can_tell_when_a_record_changed(entity: EntitySpec) -> None:
    if any(stream.incremental is not Incremental.NONE for stream in entity.streams):
        assert entity.update_column == "update_time"


@every_entity
def test_references_lead_from_existing_columns_to_existing_entities(entity: EntitySpec) -> None:
    for reference in entity.references:
        entity.column(reference.column)
        assert reference.entity in CATALOG


@every_entity
def test_a_child_holds_the_id_of_its_parent_in_a_column_of_the_parents_key_type(entity: EntitySpec) -> None:
    if entity.parent is None:
        assert entity.parent_column is None
        return
    assert entity.parent_column is not None
    (key,) = CATALOG[entity.parent].key
    column = entity.column(entity.parent_column)
    assert column.required
    assert column.type is CATALOG[entity.parent].column(key).type


@every_entity
def test_a_counter_that_lets_parents_be_skipped_is_a_column_of_the_parent(entity: EntitySpec) -> None:
    for stream in entity.streams:
        if isinstance(stream.fan, PerParent) and stream.fan.only_where_positive:
            counter = CATALOG[stream.fan.parent].column(stream.fan.only_where_positive)
            assert counter.type is ColumnType.INTEGER


@every_entity
def test_entities_that_cost_tokens_per_record_are_off_and_on_demand(entity: EntitySpec) -> None:
    assert (entity.tier is Tier.ON_DEMAND) == (not entity.default)


@every_entity
def test_names_fit_the_warehouse_and_dagster(entity: EntitySpec) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", entity.name)
    assert re.fullmatch(r"[A-Za-z0-9_]+", entity.group)
    assert len({stream.name for stream in entity.streams}) == len(entity.streams)


@every_entity
def test_every_entity_and_column_is_described_in_one_line(entity: EntitySpec) -> None:
    assert entity.description.endswith(".")
    for column in entity.columns:
        assert column.description.strip() == column.description
        assert column.description
        assert "\n" not in column.description
        assert not column.description.endswith(".")


@every_entity
def test_moments_say_that_they_are_utc(entity: EntitySpec) -> None:
    for column in entity.columns:
        if column.type is ColumnType.TIMESTAMP:
            assert column.description.endswith("(UTC)")


def test_archived_is_computed_only_where_there_is_an_archived_stream() -> None:
    for entity in CATALOG.values():
        computed = {column.computed for column in entity.columns}
        if Computed.ARCHIVED_STREAM in computed:
            assert "archived" in {stream.name for stream in entity.streams}


def test_an_unknown_entity_is_answered_with_near_matches() -> None:
    with pytest.raises(PipedriveConfigException, match=r"no entity 'deal'.*did you mean .*deals"):
        spec("deal")


def test_a_known_entity_is_found_by_name() -> None:
    assert spec("deals") is CATALOG["deals"]


@pytest.mark.parametrize(
    "change",
    [
        lambda entity: replace(entity, columns=entity.columns[:-1]),
        lambda entity: replace(entity, key=("title",)),
        lambda entity: replace(entity, streams=(replace(entity.streams[0], token_cost=11),)),
    ],
)
def test_the_version_changes_with_what_is_fetched_or_stored(
    change: Callable[[EntitySpec], EntitySpec],
) -> None:
    changed = [change(entity) if entity.name == "deals" else entity for entity in CATALOG.values()]
    assert fingerprint(changed) != CATALOG_VERSION


def test_the_version_does_not_change_with_a_description() -> None:
    reworded = [replace(entity, description="Other words.") for entity in CATALOG.values()]
    assert fingerprint(reworded) == fingerprint(CATALOG.values()) == CATALOG_VERSION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        (" , ", set()),
        ("deals", {"deals"}),
        ("notes, deals", {"deals", "notes"}),
        ("default", set(DEFAULT)),
        ("default,+deal_followers,-goals", {*DEFAULT, "deal_followers"} - {"goals"}),
        ("-goals", set(DEFAULT) - {"goals"}),
        ("+deal_followers", {*DEFAULT, "deal_followers"}),
        ("all", set(CATALOG)),
        ("all,-default", set(ON_DEMAND)),
    ],
)
def test_enabled_entities_are_read_from_left_to_right(text: str, expected: set[str]) -> None:
    assert set(resolve_entities(text)) == expected


@given(st.lists(names))
def test_a_plain_list_selects_what_it_names_in_sync_order(chosen: list[str]) -> None:
    assert list(resolve_entities(",".join(chosen))) == [name for name in CATALOG if name in chosen]


@given(st.lists(names), names)
def test_what_is_taken_away_last_is_off(chosen: list[str], removed: str) -> None:
    assert removed not in resolve_entities(",".join(["default", *chosen, f"-{removed}"]))


def test_every_unknown_name_is_reported_at_once() -> None:
    with pytest.raises(PipedriveConfigException) as caught:
        resolve_entities("default,+deal_follower,-gaols,xyzzy")
    assert caught.value.problems == (
        "PIPEDRIVE_ENABLED_ENTITIES: Pipedrive has no entity 'deal_follower'; "
        "did you mean deal_followers, person_followers, product_followers?",
        "PIPEDRIVE_ENABLED_ENTITIES: Pipedrive has no entity 'gaols'; did you mean goals, roles, deals?",
        "PIPEDRIVE_ENABLED_ENTITIES: Pipedrive has no entity 'xyzzy'",
    )
