"""Prices are told before a request is made, and no plan can be cheaper than the floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import CATALOG, default_entities
from pipedrive_assets.catalog.price import floor_tokens, incremental_price
from pipedrive_assets.catalog.spec import PerParent, Tier

DEFAULTS = [CATALOG[name] for name in default_entities()]


@pytest.mark.parametrize(
    ("entity", "rows", "parents", "tokens"),
    [
        ("deals", {}, 0, 10 + 20),
        ("deals", {"live": 500, "archived": 501}, 0, 10 + 40),
        ("files", {"live": 101}, 0, 40),
        ("users", {"live": 10_000}, 0, 20),
        ("goals", {"live": 3}, 0, 10 * 20),
        ("mail_threads", {"live": 201}, 0, 5 * 20),
        ("mail_threads", {"live": [51, 0, 150, 0]}, 0, (2 + 1 + 3 + 1) * 20),
        ("deal_products", {"live": 90}, 0, 0),
        ("deal_products", {"live": 90}, 101, 2 * 10),
        ("deal_products", {"live": [700, 20]}, 101, 3 * 10),
        ("phases", {"live": 12}, 3, 3 * 10),
        ("deal_followers", {"live": 7}, 5, 5 * 10),
    ],
)
def test_the_floor_counts_full_pages_and_at_least_one_request_a_list(
    entity: str, rows: dict[str, int | list[int]], parents: int, tokens: int
) -> None:
    assert floor_tokens(CATALOG[entity], rows, parents=parents) == tokens


@given(st.sampled_from(list(CATALOG)), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 5000))
def test_more_rows_never_cost_less(entity: str, one: int, other: int, parents: int) -> None:
    fewer, more = sorted((one, other))
    spec = CATALOG[entity]
    assert floor_tokens(spec, {"live": fewer}, parents=parents) <= floor_tokens(
        spec, {"live": more}, parents=parents
    )


def test_the_core_tier_costs_110_tokens_while_nothing_changes() -> None:
    assert incremental_price(DEFAULTS, tier=Tier.CORE) == 110


def test_archived_leads_are_paid_for_by_the_hourly_tier() -> None:
    assert incremental_price([CATALOG["leads"]], tier=Tier.CORE) == 20
    assert incremental_price([CATALOG["leads"]], tier=Tier.HOURLY) == 40


def test_children_of_unchanged_parents_cost_nothing() -> None:
    children = [
        spec
        for spec in CATALOG.values()
        if isinstance(spec.streams[0].fan, PerParent) and spec.parent not in ("boards", "mail_threads")
    ]
    assert children
    assert incremental_price(children) == 0


def test_phases_are_listed_for_each_known_board() -> None:
    phases = [CATALOG["phases"]]
    assert incremental_price(phases) == 10
    assert incremental_price(phases, rows={"boards": 4}) == 40


def test_lists_without_a_filter_are_paid_for_by_the_page() -> None:
    assert incremental_price([CATALOG["tasks"]], rows={"tasks": 1501}) == 40
    assert incremental_price([CATALOG["notes"]], rows={"notes": 1501}) == 20


def test_the_tiers_together_cost_what_everything_costs() -> None:
    assert sum(incremental_price(DEFAULTS, tier=tier) for tier in Tier) == incremental_price(DEFAULTS)
