"""The price of the schedules, and how they give way to the budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.defs.pricing import (
    LADDER,
    MINUTES_PER_DAY,
    RHYTHM_NAMES,
    Rhythm,
    plan_schedules,
    snapped,
    span,
    stretch,
)
from pipedrive_assets.settings import load_settings


def rhythm(name: str, minutes: int, tokens: int, *, enabled: bool = True) -> Rhythm:
    return Rhythm(name, ("deals",), None, minutes, minutes, tokens, enabled)


def test_with_default_settings_an_idle_day_stays_below_ten_thousand_tokens() -> None:
    plan = plan_schedules(load_settings({}))
    assert plan.budget == 10_000
    assert plan.tokens_per_day < 10_000


def test_the_core_tier_costs_at_most_110_tokens_and_stays_within_half_an_hour_by_default() -> None:
    core = plan_schedules(load_settings({}))["core"]
    assert core.tokens_per_run <= 110
    assert core.interval_minutes <= 30


def test_a_budget_that_is_large_enough_leaves_every_interval_alone() -> None:
    plan = plan_schedules(load_settings({"PIPEDRIVE_PLAN": "growth"}))
    assert [rhythm.interval_minutes for rhythm in plan.rhythms] == [15, 60, 60, 1440]
    assert plan.warnings == ()


def test_the_budget_of_the_last_response_counts_where_none_is_set() -> None:
    assert plan_schedules(load_settings({}), header_limit=210_000).warnings == ()


def test_a_stretched_schedule_is_named_with_its_interval_and_the_budget() -> None:
    warnings = plan_schedules(load_settings({})).warnings
    assert any("core schedule runs every 20 minutes instead of every 15 minutes" in line for line in warnings)
    assert all("10,000 tokens a day (fallback)" in line for line in warnings)


def test_the_slow_tiers_give_way_before_the_core_tier_does() -> None:
    plan = stretch(
        [rhythm("core", 15, 100), rhythm("hourly", 60, 100), rhythm("custom_fields", 60, 100)], 9_900
    )
    assert [each.interval_minutes for each in plan] == [15, 720, 1440]


def test_what_the_core_tier_leaves_over_goes_back_to_the_slow_tiers() -> None:
    plan = stretch(
        [rhythm("core", 15, 100), rhythm("hourly", 60, 10), rhythm("custom_fields", 60, 10)], 9_000
    )
    assert [each.interval_minutes for each in plan] == [20, 60, 60]


def test_a_schedule_that_is_off_costs_nothing() -> None:
    plan = plan_schedules(load_settings({"PIPEDRIVE_INCREMENTAL_SCHEDULE_ENABLED": "false"}))
    assert plan["core"].tokens_per_day == 0
    assert plan.warnings == ()


def test_a_hopeless_budget_is_said_to_be_one() -> None:
    plan = plan_schedules(load_settings({"PIPEDRIVE_DAILY_TOKEN_BUDGET": "5"}))
    assert "even so" in plan.warnings[-1]


def test_the_interval_of_the_core_tier_is_a_setting() -> None:
    env = {"PIPEDRIVE_PLAN": "ultimate", "PIPEDRIVE_INCREMENTAL_SCHEDULE_MINUTES": "7"}
    assert plan_schedules(load_settings(env))["core"].interval_minutes == 10


def test_custom_fields_are_left_out_of_the_daily_run_where_settings_say_so() -> None:
    with_fields = plan_schedules(load_settings({}))["daily"].entities
    without = plan_schedules(load_settings({"PIPEDRIVE_SCHEDULER_SYNC_CUSTOM_FIELDS": "false"}))[
        "daily"
    ].entities
    assert {name for name in with_fields if name not in without} == {
        spec.name for spec in CATALOG.values() if spec.group == "fields"
    }


def test_no_schedule_runs_an_entity_that_is_not_enabled() -> None:
    plan = plan_schedules(load_settings({"PIPEDRIVE_ENABLED_ENTITIES": "deals,deal_followers"}))
    assert {name for each in plan.rhythms for name in each.entities} == {"deals"}
    assert not plan["hourly"].enabled


def test_the_archived_leads_are_read_by_the_hourly_schedule_only() -> None:
    plan = plan_schedules(load_settings({"PIPEDRIVE_ENABLED_ENTITIES": "leads"}))
    assert (plan["core"].tier, plan["core"].tokens_per_run) == (Tier.CORE, 20)
    assert (plan["hourly"].tier, plan["hourly"].tokens_per_run) == (Tier.HOURLY, 40)


def test_every_default_entity_has_a_schedule() -> None:
    plan = plan_schedules(load_settings({}))
    scheduled = {name for each in plan.rhythms for name in each.entities}
    assert scheduled == {name for name, spec in CATALOG.items() if spec.default}


prices = st.integers(1, 2_000)
wanted = st.sampled_from(LADDER)


@given(prices, prices, prices, wanted, wanted, wanted, st.integers(0, 300_000))
def test_intervals_never_shrink_and_fit_whenever_they_can(
    core: int, hourly: int, fields: int, first: int, second: int, third: int, budget: int
) -> None:
    asked = [
        rhythm("core", first, core),
        rhythm("hourly", second, hourly),
        rhythm("custom_fields", third, fields),
    ]
    got = stretch(asked, budget)
    assert all(each.interval_minutes >= each.wanted_minutes for each in got)
    assert all(each.interval_minutes in LADDER for each in got)
    slowest = sum(each.every(MINUTES_PER_DAY).tokens_per_day for each in asked)
    if slowest <= budget:
        assert sum(each.tokens_per_day for each in got) <= budget


@given(prices, prices, wanted, st.integers(0, 300_000))
def test_the_core_tier_is_never_slower_than_it_would_be_beside_the_slowest_others(
    core: int, hourly: int, minutes: int, budget: int
) -> None:
    got = stretch([rhythm("core", minutes, core), rhythm("hourly", 60, hourly)], budget)
    index = LADDER.index(got[0].interval_minutes)
    if got[0].stretched and index:
        faster = got[0].every(LADDER[index - 1])
        assert faster.tokens_per_day + hourly > budget


@given(st.integers(1, 1440))
def test_an_interval_is_snapped_to_the_next_one_that_a_cron_line_can_hold(minutes: int) -> None:
    step = snapped(minutes)
    assert step in LADDER and step >= minutes


def test_intervals_read_as_people_say_them() -> None:
    assert [span(minutes) for minutes in (1, 20, 60, 90, 120, 1440)] == [
        "minute",
        "20 minutes",
        "hour",
        "90 minutes",
        "2 hours",
        "day",
    ]


def test_the_plan_is_plain_json() -> None:
    plan = plan_schedules(load_settings({})).to_dict()
    assert [each["name"] for each in plan["schedules"]] == list(RHYTHM_NAMES)  # type: ignore[attr-defined]
