"""Which paused runs the resume sensor goes on with, in which order, and what it tells their successors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

from pipedrive_assets.api.auth import token_fingerprint
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.defs import pause, reported, run_tags
from pipedrive_assets.defs.build import build_defs
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import Calendar, Granularity, KeyRange
from pipedrive_assets.defs.resume import Work, build_resume_sensors
from pipedrive_assets.exceptions import PipedriveRateLimitException
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.sync.options import SyncMode
from pipedrive_assets_tests.clocks import ManualClock

TOKEN = "0123456789abcdef0123456789abcdef01234567"
MONTHS = Calendar(Granularity.MONTHLY, date(2026, 1, 1))
SPRING = KeyRange("2026-01", "2026-04")
ENTITIES = ("persons", "deals", "deal_products", "notes")
DAY = timedelta(days=1).total_seconds()
RESET = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

Paused = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path) -> PipedriveSettings:
    return load_settings({**home_of(tmp_path), "PIPEDRIVE_TOKEN": TOKEN})


def home_of(folder: Path) -> dict[str, str]:
    return {
        "DAGSTER_HOME": str(folder),
        "PIPEDRIVE_ENABLED_ENTITIES": ",".join(ENTITIES),
        "PIPEDRIVE_START_DATE": "2026-01-01",
    }


@cache
def entity_job() -> dg.JobDefinition:
    return build_defs(load_settings(home_of(Path("/nonexistent")))).resolve_job_def(ENTITY_JOB)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(RESET.timestamp() + 60)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as found:
        yield found


@pytest.fixture
def run(instance: dg.DagsterInstance) -> Paused:
    """Creates a run that ended, or not, without any event of a step; returns its id."""

    def create(
        *entities: str,
        span: KeyRange = SPRING,
        status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE,
        paused: bool = True,
        **tags: str,
    ) -> str:
        keys = frozenset(entity_key(name) for name in entities or ENTITIES)
        own = {run_tags.RESUMES_AT: RESET.isoformat()} if paused else {}
        return instance.create_run_for_job(
            entity_job().get_subset(asset_selection=keys),
            asset_selection=keys,
            status=status,
            tags={
                **run_tags.range_tags(span),
                **own,
                **{f"pipedrive/{name}": value for name, value in tags.items()},
            },
        ).run_id

    return create


@pytest.fixture
def tick(
    settings: PipedriveSettings, instance: dg.DagsterInstance, clock: ManualClock
) -> Callable[[], list[dg.RunRequest] | str]:
    (sensor,) = build_resume_sensors(settings, MONTHS, ENTITIES, [entity_job()], clock)  # type: ignore[list-item]

    def look() -> list[dg.RunRequest] | str:
        answer = sensor(dg.build_sensor_context(instance=instance))
        if isinstance(answer, dg.SkipReason):
            return str(answer.skip_message)
        assert isinstance(answer, dg.SensorResult)
        return list(answer.run_requests or ())

    return look


Tick = Callable[[], "list[dg.RunRequest] | str"]


def names(request: dg.RunRequest) -> list[str]:
    return [key.path[-1] for key in request.asset_selection or ()]


def test_a_refusal_that_names_no_reset_is_resumed_after_the_next_midnight(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset
    def account(context):  # type: ignore[no-untyped-def]  # Dagster takes no postponed annotation.
        error = PipedriveRateLimitException("the day's tokens are spent", kind="daily")
        now = datetime(2026, 6, 1, 18, 30, tzinfo=UTC)
        failure = pause.failure_of(context, pause.ACCOUNT, error, now)
        assert failure is not None
        raise failure

    result = dg.materialize([account], instance=instance, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[run_tags.RESUMES_AT] == "2026-06-02T00:00:00+00:00"


def test_without_paused_runs_nothing_is_started(run: Paused, tick: Tick) -> None:
    assert tick() == "no run is paused"
    run(paused=False)
    assert tick() == "no run is paused"


def test_nothing_is_started_before_the_reset(run: Paused, tick: Tick, clock: ManualClock) -> None:
    run()
    clock.advance(-61)
    assert tick() == f"paused runs wait until {RESET:%Y-%m-%d %H:%M} UTC"


def test_the_rest_of_a_run_keeps_its_mode_its_lane_its_tier_and_its_source(run: Paused, tick: Tick) -> None:
    paused = run("persons", "deals", mode="full", lane="repair", tier="core", source="webhook", queue="mine")
    (request,) = tick()
    assert names(request) == ["persons", "deals"]
    assert request.run_key == paused
    assert run_tags.range_of(request.tags) == SPRING
    assert {
        name: request.tags[f"pipedrive/{name}"] for name in ("mode", "lane", "tier", "source", "resumes")
    } == {
        "mode": "full",
        "lane": "repair",
        "tier": "core",
        "source": "webhook",
        "resumes": paused,
    }


def test_a_run_started_by_hand_is_resumed_as_what_it_was(run: Paused, tick: Tick) -> None:
    run("deals")
    (request,) = tick()
    told = [request.tags[f"pipedrive/{name}"] for name in ("mode", "lane", "source")]
    assert told == ["window", "backfill", "manual"]
    assert request.tags[run_tags.MAX_RUNTIME] == "86400", "it had no time limit either"


def test_the_most_urgent_lane_goes_first(run: Paused, tick: Tick) -> None:
    for entity, lane in (("notes", "backfill"), ("deals", "push"), ("persons", "incremental")):
        run(entity, lane=lane)
    requests = tick()
    assert [request.tags["pipedrive/lane"] for request in requests] == ["push", "incremental", "backfill"]
    priorities = [int(request.tags[run_tags.PRIORITY]) for request in requests]
    assert priorities == sorted(priorities, reverse=True)


def test_what_several_runs_left_alike_is_resumed_once_and_for_all_of_them(run: Paused, tick: Tick) -> None:
    first = run("deals", "persons", mode="full")
    second = run("deals", "persons", mode="full")
    third = run("deals", mode="full")
    other = run("deals", mode="window")
    requests = tick()
    assert [request.tags["pipedrive/resumes"] for request in requests] == [f"{first},{second}", third, other]


def test_a_run_that_includes_an_older_one_stands_for_it(run: Paused, tick: Tick) -> None:
    older = run("deals", span=KeyRange("2026-02", "2026-03"), mode="incremental")
    newer = run("deals", "persons", mode="incremental")
    (request,) = tick()
    assert request.tags["pipedrive/resumes"] == f"{older},{newer}"
    assert names(request) == ["persons", "deals"]


@pytest.mark.parametrize(
    "how_it_goes",
    [
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ],
)
def test_a_run_is_resumed_once(run: Paused, tick: Tick, how_it_goes: dg.DagsterRunStatus) -> None:
    first = run("deals")
    run("deals", paused=False, resumes=first, status=how_it_goes)
    assert tick() == "every paused run has been resumed"


def test_a_resumption_that_was_lost_is_gone_on_with_after_the_next_reset(
    run: Paused, tick: Tick, clock: ManualClock
) -> None:
    first = run("deals", mode="full")
    lost = run("deals", paused=False, resumes=first, mode="full")
    assert tick() == "every paused run has been resumed"
    clock.advance(DAY)
    (request,) = tick()
    assert (request.run_key, request.tags["pipedrive/resumes"]) == (lost, f"{first},{lost}")
    run("deals", paused=False, resumes=f"{first},{lost}", mode="full", status=dg.DagsterRunStatus.SUCCESS)
    assert tick() == "every paused run has been resumed"


def test_a_resumption_that_a_person_canceled_or_dagster_starts_again_is_left(
    run: Paused, tick: Tick, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    run("deals", paused=False, resumes=run("deals"), status=dg.DagsterRunStatus.CANCELED)
    again = run("persons", paused=False, resumes=run("persons"))
    instance.add_run_tags(again, {run_tags.WILL_RETRY: "true"})
    clock.advance(DAY)
    assert tick() == "every paused run has been resumed"


def test_no_two_resumptions_have_the_same_key(run: Paused, tick: Tick, instance: dg.DagsterInstance) -> None:
    first = run("deals", mode="full")
    second = run("deals", resumes=first, mode="full")
    (before,) = tick()
    run("deals", paused=False, resumes=f"{first},{second}", mode="full", status=dg.DagsterRunStatus.CANCELED)
    # A person repeats the first one, and the day's tokens end again.
    repeated = instance.create_run_for_job(
        entity_job().get_subset(asset_selection=frozenset({entity_key("deals")})),
        asset_selection=frozenset({entity_key("deals")}),
        status=dg.DagsterRunStatus.FAILURE,
        root_run_id=first,
        parent_run_id=first,
        tags={
            **run_tags.range_tags(SPRING),
            run_tags.MODE: "full",
            run_tags.RESUMES_AT: RESET.isoformat(),
            run_tags.ROOT_RUN: first,
            run_tags.PARENT_RUN: first,
        },
    ).run_id
    (after,) = tick()
    assert after.tags["pipedrive/resumes"] == f"{first},{repeated}"
    assert after.run_key != before.run_key


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (run_tags.RESUMES_AT, "tomorrow"),
        (run_tags.RESUMES_AT, "2026-11-24T00:00:00"),
        (run_tags.MAX_RUNTIME, "inf"),
        (run_tags.MAX_RUNTIME, "nan"),
        (run_tags.MAX_RUNTIME, "1e300"),
        (run_tags.MODE, "sometimes"),
        (run_tags.RANGE_START, "soon"),
        (run_tags.RANGE_END, "9999-12"),
    ],
)
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS])
def test_a_tag_edited_by_hand_holds_up_no_other_run(
    run: Paused, tick: Tick, instance: dg.DagsterInstance, tag: str, value: str, status: dg.DagsterRunStatus
) -> None:
    run("deals")
    instance.add_run_tags(run("persons", status=status), {tag: value})
    requests = tick()
    assert ["deals"] in [names(request) for request in requests]


def test_the_successor_of_a_successor_knows_them_all(run: Paused, tick: Tick) -> None:
    first = run("deals")
    second = run("deals", resumes=first)
    (request,) = tick()
    assert request.tags["pipedrive/resumes"] == f"{first},{second}"
    assert request.run_key == second


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED])
def test_what_a_later_run_has_done_or_has_in_hand_is_not_resumed(
    run: Paused, tick: Tick, status: dg.DagsterRunStatus
) -> None:
    run("deals", mode="incremental", lane="incremental")
    run("deals", mode="window", lane="incremental", status=status, paused=False)
    assert len(tick()) == 1, "a run of another mode has done something else"
    run("deals", "persons", mode="incremental", lane="incremental", status=status, paused=False)
    assert tick() == "every paused run has been resumed"


def test_a_run_that_dagster_starts_again_or_a_person_ended_is_left_alone(
    run: Paused, tick: Tick, instance: dg.DagsterInstance
) -> None:
    instance.add_run_tags(run("deals"), {run_tags.WILL_RETRY: "true"})
    run("persons", status=dg.DagsterRunStatus.CANCELED)
    assert tick() == "every paused run has been resumed"


def test_partitions_that_were_reported_meanwhile_are_not_started_again(
    run: Paused, tick: Tick, instance: dg.DagsterInstance
) -> None:
    run("deals", "persons", mode="incremental")
    for entity, months in (("deals", ("2026-01", "2026-02", "2026-03")), ("persons", ("2026-01", "2026-02"))):
        for month in months:
            event = dg.AssetMaterialization(entity_key(entity), partition=month)
            instance.report_runless_asset_event(event)
    (request,) = tick()
    assert run_tags.range_of(request.tags) == KeyRange("2026-03", "2026-04")
    for month in ("2026-03", "2026-04"):
        instance.report_runless_asset_event(dg.AssetMaterialization(entity_key("persons"), partition=month))
    (request,) = tick()
    assert names(request) == ["deals"]
    assert run_tags.range_of(request.tags) == KeyRange("2026-04", "2026-04")


@pytest.mark.parametrize("mode", ["window", "full"])
def test_of_a_run_that_reads_again_only_its_own_partitions_are_done(
    run: Paused, tick: Tick, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(reported, "RECORDS_AT_ONCE", 3)
    paused = run("deals", mode=mode)

    def report(month: str, **metadata: str) -> None:
        event = dg.AssetMaterialization(entity_key("deals"), partition=month, metadata=metadata)
        instance.report_runless_asset_event(event)

    report("2026-01", **{reported.REPAIRED_RUN: paused})
    for _ in range(5):
        for month in ("2026-01", "2026-04"):
            report(month)
    (request,) = tick()
    assert run_tags.range_of(request.tags) == KeyRange("2026-02", "2026-04")


def test_while_the_breaker_is_open_nothing_is_resumed(
    run: Paused, tick: Tick, settings: PipedriveSettings, clock: ManualClock
) -> None:
    run("deals")
    with StateStore.open(settings.state_url, clock=clock) as store:
        store.remember_account(token_fingerprint(TOKEN), AccountIdentity(77, "Acme", "acme", 1, "Ann", True))
        store.breaker("77").record_failure("me", now=clock.time(), threshold=1, timeout=300)
    assert str(tick()).startswith("the circuit breaker is open; the next try is at")
    clock.advance(300)
    assert len(tick()) == 1


def test_runs_of_long_ago_are_left_alone(run: Paused, tick: Tick, clock: ManualClock) -> None:
    run("persons")
    clock.advance(timedelta(days=15).total_seconds())
    assert tick() == "no run is paused"


def test_runs_of_another_granularity_are_left_alone(
    run: Paused, settings: PipedriveSettings, instance: dg.DagsterInstance, clock: ManualClock
) -> None:
    run("deals")
    weeks = Calendar(Granularity.WEEKLY, MONTHS.start_date)
    (sensor,) = build_resume_sensors(settings, weeks, ENTITIES, [entity_job()], clock)  # type: ignore[list-item]
    answer = sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(answer, dg.SkipReason)


def test_work_includes_what_is_no_more_than_itself() -> None:
    work = Work(("persons", "deals"), SPRING, SyncMode.FULL, Lane.BACKFILL, None)
    assert work.includes(work)
    assert work.includes(
        Work(("deals",), KeyRange("2026-02", "2026-02"), SyncMode.FULL, Lane.BACKFILL, Tier.CORE)
    )
    for other in (
        Work(("notes",), SPRING, SyncMode.FULL, Lane.BACKFILL, None),
        Work(("deals",), KeyRange("2025-12", "2026-02"), SyncMode.FULL, Lane.BACKFILL, None),
        Work(("deals",), KeyRange("2026-02", "2026-05"), SyncMode.FULL, Lane.BACKFILL, None),
        Work(("deals",), SPRING, SyncMode.WINDOW, Lane.BACKFILL, None),
        Work(("deals",), SPRING, SyncMode.FULL, Lane.PUSH, None),
    ):
        assert not work.includes(other)
    narrow = Work(("deals",), SPRING, SyncMode.FULL, Lane.BACKFILL, Tier.CORE)
    assert not narrow.includes(Work(("deals",), SPRING, SyncMode.FULL, Lane.BACKFILL, None))
