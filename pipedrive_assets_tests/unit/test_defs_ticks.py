"""Moments of the schedules, told from their cron lines: the same as Dagster's own."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from dagster._utils.schedules import cron_string_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from pipedrive_assets.defs.pricing import LADDER, RHYTHM_NAMES, Rhythm, plan_schedules
from pipedrive_assets.defs.ticks import cron_line, planned_runs, ticks_after
from pipedrive_assets.settings import PipedriveSettings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
RESET = datetime(2026, 5, 5, tzinfo=UTC)


@settings(max_examples=30)
@given(
    name=st.sampled_from(RHYTHM_NAMES),
    minutes=st.sampled_from(LADDER),
    clock=st.times().map(lambda time: f"{time:%H:%M}"),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]),
    # No day on which clocks change.
    now=st.datetimes(datetime(2026, 4, 1), datetime(2026, 10, 1), timezones=st.just(UTC)),
)
def test_ticks_are_those_of_dagster(name: str, minutes: int, clock: str, zone: str, now: datetime) -> None:
    if name == "daily":
        minutes = max(60, minutes)
    cron = cron_line(Rhythm(name, ("deals",), None, minutes, minutes, 10), clock)
    after = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    theirs = itertools.islice(cron_string_iterator(after.timestamp(), cron, zone), 12)
    assert list(itertools.islice(ticks_after(now, cron, zone), 12)) == list(theirs)


def test_a_change_of_clocks_does_not_end_the_ticks() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    first, second = itertools.islice(ticks_after(before, "30 2 * * *", "Europe/Berlin"), 2)
    assert second - first <= timedelta(days=1)


def test_planned_are_all_runs_until_the_reset_and_the_next_of_each_schedule() -> None:
    values = PipedriveSettings(plan="ultimate", scheduler_enabled=True, hourly_schedule_enabled=False)
    plan = plan_schedules(values)
    runs = planned_runs(plan, values, NOON, RESET)
    assert [run.at for run in runs] == sorted(run.at for run in runs)
    counts = {name: sum(run.name == name for run in runs) for name in RHYTHM_NAMES}
    assert counts == {"core": 47, "hourly": 0, "custom_fields": 12, "daily": 1}
    (daily,) = [run for run in runs if run.name == "daily"]
    assert daily.at == RESET + timedelta(hours=2)
    assert {run.tokens for run in runs if run.name == "core"} == {plan["core"].tokens_per_run}
