"""What happens when the day's tokens are spent: a clean stop, silence until the reset, then the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipedrive_assets.sandbox import Sandbox, SandboxConfig
from pipedrive_assets.sandbox.log import RequestRecord
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncResult, SyncStatus
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets_tests.clocks import FollowingClock
from pipedrive_assets_tests.equality import assert_equal_copy
from pipedrive_assets_tests.integration.conftest import SettingsFor

ENTITIES = ("tasks", "call_logs", "persons", "deals", "deal_followers", "boards", "phases", "notes", "files")
"""Lists of every kind: whole, by cursor without times, by update time, by id, and below parents."""
MORNING = "2026-06-01T06:00:00Z"
SMALL = {"min_batch_size": 5, "max_batch_size": 5, "incremental_schedule_enabled": False, "plan": ""}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxConfig(scale="tiny", seed=7, now=MORNING)) as running:
        yield running


def test_a_first_sync_of_five_days_tokens_pays_each_page_once(
    sandbox: Sandbox, settings_for: SettingsFor, tmp_path: Path
) -> None:
    clock = FollowingClock(sandbox.clock)
    options = SyncOptions(mode=SyncMode.FULL, lane=Lane.BACKFILL)
    price = whole_price(sandbox, settings_for, tmp_path / "rehearsal", options)
    budget = budget_for(price / 4.3)
    sandbox.log.clear()
    sandbox.limits.reset()
    sandbox.limits.set_budget(budget)
    days: list[Mapping[str, SyncResult]] = []
    left: Sequence[str] = ENTITIES
    runs: list[str] = []
    while left and len(days) < 8:
        run_id = f"day-{len(days) + 1}"
        asked = options.model_copy(update={"resumes": tuple(runs)})
        with open_session(
            settings_for(sandbox, tmp_path / "real", **SMALL), run_id=run_id, clock=clock
        ) as session:
            results = {name: session.sync(name, asked) for name in left}
            left = [name for name in left if results[name].status is not SyncStatus.COMPLETE]
            if left:
                assert_silent_until_the_reset(sandbox, session, left, asked)
        days.append(results)
        runs.append(run_id)
        sandbox.clock.set(next_morning(sandbox))
    assert len(days) == 5
    assert max(sandbox.log.tokens_by_day().values()) <= budget
    assert refused(sandbox) == 0
    assert repeated_pages(sandbox) == []
    with open_session(settings_for(sandbox, tmp_path / "real", **SMALL), clock=clock) as session:
        assert_equal_copy(session.warehouse, {name: sandbox.rows(name) for name in ENTITIES})


@pytest.mark.parametrize(
    ("entity", "budget"),
    [
        ("tasks", 25),
        ("call_logs", 50),
        ("deals", 125),
        ("notes", 70),
        ("deal_followers", 90),
        ("mail_threads", 50),
    ],
    ids=[
        "by cursor, without times",
        "by offset, without times",
        "two lists",
        "by id",
        "below parents",
        "a list for each folder",
    ],
)
@pytest.mark.parametrize("mode", [SyncMode.INCREMENTAL, SyncMode.FULL])
def test_a_list_dearer_than_a_days_tokens_comes_to_its_end(
    sandbox: Sandbox, settings_for: SettingsFor, entity: str, budget: int, mode: SyncMode
) -> None:
    clock = FollowingClock(sandbox.clock)
    if entity == "deal_followers":
        with open_session(settings_for(sandbox, **SMALL), clock=clock) as session:
            session.sync("deals", SyncOptions(mode=SyncMode.FULL))
        sandbox.clock.set(next_morning(sandbox))
        sandbox.log.clear()
    sandbox.limits.set_budget(budget)
    runs: list[str] = []
    statuses: list[SyncStatus] = []
    while SyncStatus.COMPLETE not in statuses and len(runs) < 12:
        run_id = f"day-{len(runs) + 1}"
        # The most urgent lane has all of the budget.
        options = SyncOptions(mode=mode, lane=Lane.PUSH, resumes=tuple(runs))
        with open_session(settings_for(sandbox, **SMALL), run_id=run_id, clock=clock) as session:
            statuses.append(session.sync(entity, options).status)
            recorded = session.warehouse.runs(1)[0]
            assert (recorded["run_id"], recorded["status"]) == (run_id, statuses[-1])
        runs.append(run_id)
        sandbox.clock.set(next_morning(sandbox))
    assert len(runs) > 1
    assert set(statuses[:-1]) == {SyncStatus.PAUSED}
    assert refused(sandbox) == 0
    assert repeated_pages(sandbox) == []
    with open_session(settings_for(sandbox, **SMALL), clock=clock) as session:
        assert_equal_copy(session.warehouse, {entity: sandbox.rows(entity)})


@pytest.mark.parametrize("resumes", [True, False], ids=["resumed for days", "asked again the next day"])
def test_with_tokens_for_one_page_a_day_a_window_without_timeless_rows_comes_to_its_end(
    sandbox: Sandbox, settings_for: SettingsFor, resumes: bool
) -> None:
    for row in sandbox.rows("organizations"):
        if row["update_time"] is None:
            sandbox.account.update("organizations", row["id"], name="touched")
    until = midnight_after(sandbox)
    runs: list[str] = []
    result: SyncResult | None = None
    while result is None or result.status is SyncStatus.PAUSED:
        assert len(runs) < 20
        sandbox.clock.set(
            next_morning(sandbox) if resumes or not runs else midnight_after(sandbox).timestamp()
        )
        sandbox.limits.reset()
        # The first day also asks whose token it is.
        sandbox.limits.set_budget(12 if not runs else 10 if resumes else 1000)
        options = SyncOptions(
            mode=SyncMode.WINDOW, until=until, lane=Lane.PUSH, resumes=tuple(runs) if resumes else ()
        )
        run_id = f"day-{len(runs) + 1}"
        with open_session(
            settings_for(sandbox, **SMALL), run_id=run_id, clock=FollowingClock(sandbox.clock)
        ) as session:
            result = session.sync("organizations", options)
            held = session.warehouse.row_count("organizations")
            if not runs:
                assert held == 5, "the page that was paid for is kept"
            if result.status is SyncStatus.COMPLETE:
                assert_equal_copy(session.warehouse, {"organizations": sandbox.rows("organizations")})
        runs.append(run_id)
    assert result.status is SyncStatus.COMPLETE
    looks = [record for record in sandbox.log if record.params.get("sort_direction") == "desc"]
    assert [record.status for record in looks] == [200], "it was looked for rows without a time, once"


@pytest.mark.parametrize("asked_until", ["the day it was read", "a month later"])
def test_a_list_below_parents_without_times_is_read_again_for_what_came_after_it(
    sandbox: Sandbox, settings_for: SettingsFor, asked_until: str
) -> None:
    def visits() -> int:
        return sum(record.path == "/phases" for record in sandbox.log)

    clock = FollowingClock(sandbox.clock)
    with open_session(settings_for(sandbox, **SMALL), run_id="day-1", clock=clock) as session:
        session.sync("boards")
        first = session.sync("phases", SyncOptions(mode=SyncMode.FULL))
        assert first.status is SyncStatus.COMPLETE
    until = datetime(2026, 6, 1, tzinfo=UTC)
    if asked_until == "a month later":
        until = datetime(2026, 7, 1, tzinfo=UTC)
        sandbox.clock.set(datetime(2026, 7, 1, 6, tzinfo=UTC).timestamp())
    before = visits()
    with open_session(settings_for(sandbox, **SMALL), run_id="later", clock=clock) as session:
        session.sync("boards", SyncOptions(mode=SyncMode.FULL))
        options = SyncOptions(mode=SyncMode.WINDOW, until=until, resumes=("day-1",))
        assert session.sync("phases", options).status is SyncStatus.COMPLETE
    assert (visits() > before) == (asked_until == "a month later")


def assert_silent_until_the_reset(
    sandbox: Sandbox, session: Session, left: Sequence[str], options: SyncOptions
) -> None:
    """Whoever tries again asks Pipedrive nothing, and is told until when."""
    requests = len(sandbox.log)
    again = session.sync(left[0], options)
    assert (again.status, again.requests) == (SyncStatus.PAUSED, 0)
    assert again.resumes_at == midnight_after(sandbox)
    assert len(sandbox.log) == requests


def whole_price(sandbox: Sandbox, settings_for: SettingsFor, home: Path, options: SyncOptions) -> int:
    """What the whole first sync costs, by doing it elsewhere without any limit."""
    with open_session(settings_for(sandbox, home, **SMALL), clock=FollowingClock(sandbox.clock)) as session:
        return sum(session.sync(name, options).tokens for name in ENTITIES)


def budget_for(tokens: float) -> int:
    """A day's budget of which a backfill may spend about ``tokens`` at six in the morning."""
    kept = (0.05 + 0.05) * 18 / 24
    return round(tokens / (1 - kept))


def midnight_after(sandbox: Sandbox) -> datetime:
    today = datetime.fromtimestamp(sandbox.clock.time(), UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return today + timedelta(days=1)


def next_morning(sandbox: Sandbox) -> float:
    return (midnight_after(sandbox) + timedelta(hours=6)).timestamp()


def refused(sandbox: Sandbox) -> int:
    return sum(record.status == 429 for record in sandbox.log)


def repeated_pages(sandbox: Sandbox) -> list[object]:
    """Requests that were answered more than once, but for the question whose token it is."""
    pages = Counter(page_of(record) for record in sandbox.log if record.path != "/users/me")
    return [page for page, count in pages.items() if count > 1]


def page_of(record: RequestRecord) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return record.version, record.raw_path, tuple(sorted(record.params.items()))
