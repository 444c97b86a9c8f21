"""Setting, plan and headers that tell different limits: one sentence each, and what to do."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.disagreements import disagreements
from pipedrive_assets.api.limit_policy import BURST_LIMITS
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.settings import PipedriveSettings, daily_budget
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock


def said(header: int | None = None, burst: int | None = None, **values: object) -> tuple[str, ...]:
    return disagreements(PipedriveSettings(**values), header, burst)


def test_a_setting_above_the_accounts_limit_is_told_and_the_limit_holds() -> None:
    (line,) = said(30_000, daily_token_budget=100_000)
    assert "100,000" in line
    assert "30,000 holds" in line
    assert "set it to 30000 or less" in line
    assert daily_budget(PipedriveSettings(daily_token_budget=100_000), 30_000) == (30_000, "header")


def test_a_setting_above_the_plan_is_told_while_no_answer_has_named_the_limit() -> None:
    (line,) = said(daily_token_budget=100_000, plan="growth")
    assert "bring 60,000: 100,000 holds until an answer" in line


def test_plan_and_seats_that_differ_from_the_accounts_limit_are_told_with_the_seats_that_fit() -> None:
    (line,) = said(300_000, plan="growth")
    assert "PIPEDRIVE_PLAN=growth and PIPEDRIVE_SEATS=1 bring 60,000" in line
    assert "300,000 holds (header)" in line
    assert "set PIPEDRIVE_SEATS=5" in line


def test_a_limit_that_no_number_of_seats_explains_gives_no_number() -> None:
    (line,) = said(35_000, plan="growth")
    assert "correct PIPEDRIVE_PLAN and PIPEDRIVE_SEATS" in line
    assert "PIPEDRIVE_DAILY_TOKEN_BUDGET=35000" in line


def test_bought_tokens_are_settled_by_setting_what_the_account_has() -> None:
    assert said(100_000, plan="growth", daily_token_budget=100_000) == ()


@pytest.mark.parametrize(("burst", "advice"), [(100, "set PIPEDRIVE_PLAN=premium"), (33, "correct PIPED")])
def test_a_burst_limit_that_is_not_the_plans_is_told(burst: int, advice: str) -> None:
    (line,) = said(burst=burst, plan="lite")
    assert f"20 requests in two seconds, but Pipedrive's answers name {burst}: {burst} holds" in line
    assert advice in line


def test_what_agrees_or_is_not_known_is_not_spoken_of() -> None:
    assert said() == ()
    assert said(30_000, 20) == ()
    assert said(120_000, 40, plan="growth", seats=2, daily_token_budget=5_000) == ()


numbers = st.none() | st.integers(1, 10_000_000)


@given(
    header=numbers,
    burst=st.none() | st.integers(1, 500),
    setting=st.none() | st.integers(0, 10_000_000),
    plan=st.none() | st.sampled_from(sorted(BURST_LIMITS)),
    seats=st.integers(1, 500),
)
def test_each_sentence_names_the_figure_that_is_in_force(
    header: int | None, burst: int | None, setting: int | None, plan: str | None, seats: int
) -> None:
    values = PipedriveSettings(daily_token_budget=setting, plan=plan, seats=seats)
    lines = disagreements(values, header, burst)
    in_force = daily_budget(values, header).tokens
    assert all(f"{in_force:,} holds" in line or f"{burst} holds" in line for line in lines)
    assert len(lines) == len(set(lines)) <= 3


def test_it_is_logged_once_when_the_answers_first_show_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    values = PipedriveSettings(plan="growth", daily_token_budget=100_000)
    headers = {"x-daily-ratelimit-token-limit": "30000", "x-ratelimit-limit": "40"}
    with (
        StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as store,
        caplog.at_level(logging.WARNING, logger="pipedrive_assets"),
    ):
        manager = PipedriveRateLimitManager(store, values, clock=clock, token_key="k", account="7")
        for limits in (headers, headers, {}, headers, {**headers, "x-ratelimit-limit": "20"}):
            manager.settle(manager.acquire(1, "v2:/deals", Lane.INCREMENTAL), charged=1, headers=limits)
        told = [record.pipedrive for record in caplog.records]  # type: ignore[attr-defined]
        assert [event["event"] for event in told] == ["budget_disagrees"] * 3
        assert [event["reason"] for event in told] == list(manager.disagreements())
