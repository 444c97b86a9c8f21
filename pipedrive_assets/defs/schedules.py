"""Schedules: one per rhythm, at the interval the budget allows.

A tick decides from the state store alone: from the mirror of the watermarks, and from whether Pipedrive
answers and there are tokens left. It asks neither the network nor the warehouse. It starts one run over the
range from the watermark's partition to the running one, or one run per entity where batch processing is
switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.gate import dearest_request, reason_to_wait
from pipedrive_assets.defs.internals import UNFINISHED, AssetJob
from pipedrive_assets.defs.jobs import RHYTHM_JOBS
from pipedrive_assets.defs.partitions import Calendar, KeyRange
from pipedrive_assets.defs.pricing import (
    CORE,
    CUSTOM_FIELDS,
    DAILY,
    HOURLY,
    RHYTHM_NAMES,
    Rhythm,
    SchedulePlan,
)
from pipedrive_assets.defs.ticks import cron_line
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode

if TYPE_CHECKING:
    from pipedrive_assets.state.watermarks import Watermark

SCHEDULE_NAMES = {name: f"pipedrive_{name}" for name in RHYTHM_NAMES}
_PRIORITY = {CORE: "5", HOURLY: "2", CUSTOM_FIELDS: "1", DAILY: "1"}
"""Fresh core data goes first where runs queue; a backfill has priority 0."""


def build_schedules(
    settings: PipedriveSettings,
    plan: SchedulePlan,
    calendar: Calendar,
    jobs: Iterable[AssetJob],
) -> list[dg.ScheduleDefinition]:
    """The schedule of each rhythm that has entities.

    On by default where its setting says so and there is a token; switched off by default otherwise.
    """
    by_name = {job.name: job for job in jobs}
    return [
        _schedule(rhythm, by_name[RHYTHM_JOBS[rhythm.name]], settings, calendar)
        for rhythm in plan.rhythms
        if RHYTHM_JOBS[rhythm.name] in by_name
    ]


def range_due(
    calendar: Calendar, entities: Iterable[str], marks: Mapping[str, Watermark], now: datetime
) -> KeyRange:
    """From the partition of the oldest watermark among ``entities`` to the running one.

    An entity that was synced and yet covers nothing is closed to this account; it does not hold the others
    back. One whose past has gaps goes on from its newest interval: gaps are the business of backfills.
    """
    starts: list[datetime | None] = []
    for entity in entities:
        mark = marks.get(entity)
        if mark is None:
            starts.append(None)
        elif mark.watermark is not None or mark.head is not None:
            starts.append(mark.watermark or mark.head)
    if None in starts:
        return calendar.range_from(None, now)
    return calendar.range_from(min((start for start in starts if start is not None), default=now), now)


def runs_due(
    rhythm: Rhythm,
    settings: PipedriveSettings,
    calendar: Calendar,
    marks: Mapping[str, Watermark],
    now: datetime,
) -> list[dg.RunRequest]:
    """The runs of one tick at ``now``: one for all entities, or one for each."""
    groups = [rhythm.entities] if settings.batch_processing else [(name,) for name in rhythm.entities]
    tags = {
        run_tags.QUEUE: run_tags.queue_of(settings, {}),
        run_tags.MODE: SyncMode.INCREMENTAL.value,
        run_tags.SOURCE: Source.SCHEDULE.value,
        run_tags.LANE: Lane.INCREMENTAL.value,
        run_tags.MAX_RUNTIME: str(settings.job_timeout),
        "dagster/priority": _PRIORITY[rhythm.name],
    }
    return [
        dg.RunRequest(
            run_key=None if settings.batch_processing else f"{now.isoformat()}:{group[0]}",
            tags={**tags, **run_tags.range_tags(range_due(calendar, group, marks, now))},
            asset_selection=None if settings.batch_processing else [entity_key(name) for name in group],
        )
        for group in groups
    ]


def known_watermarks(settings: PipedriveSettings) -> Mapping[str, Watermark]:
    """The mirror's entries for the token's account; empty while the account was never asked."""
    if settings.token is None:
        return {}
    from pipedrive_assets.api.auth import token_fingerprint
    from pipedrive_assets.state.store import StateStore

    token_key = token_fingerprint(settings.token.get_secret_value())
    with StateStore.open(settings.state_url, clock=SystemClock()) as store:
        identity = store.account_of(token_key)
        return store.watermarks(str(identity.company_id)).all() if identity is not None else {}


def _schedule(
    rhythm: Rhythm, job: AssetJob, settings: PipedriveSettings, calendar: Calendar
) -> dg.ScheduleDefinition:
    name = SCHEDULE_NAMES[rhythm.name]
    on = rhythm.enabled and settings.token is not None
    price = dearest_request(settings, rhythm.entities, rhythm.tier)

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron_line(rhythm, settings.scheduler_time),
        execution_timezone=settings.scheduler_timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description=f"About {rhythm.tokens_per_run} tokens a run while nothing changes.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        if settings.token is None:
            return dg.SkipReason("PIPEDRIVE_TOKEN is not set")
        unfinished = context.instance.get_runs(
            dg.RunsFilter(tags={"dagster/schedule_name": name}, statuses=list(UNFINISHED)), limit=1
        )
        if unfinished:
            return dg.SkipReason(f"run {unfinished[0].run_id} of this schedule has not ended yet")
        reason = reason_to_wait(settings, Lane.INCREMENTAL, price)
        if reason is not None:
            return dg.SkipReason(reason)
        now = context.scheduled_execution_time.astimezone(UTC)
        return runs_due(rhythm, settings, calendar, known_watermarks(settings), now)

    return tick
