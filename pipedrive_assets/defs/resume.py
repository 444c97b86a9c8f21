"""The resume sensor: what the end of a day's tokens has stopped goes on after the reset, and each thing once.

For every paused run that nobody has resumed it starts one run for the entities that are left and for the
partitions that are missing, in the same mode and on the same account, the most urgent lane first. The new
run names the runs it resumes (tag ``pipedrive/resumes``), and their coverage counts as its own. A resumption
that was lost with its process is gone on with after the next reset, not at once: what kills it may kill its
successor too. One that was canceled is a person's word, and is left. A tick reads Dagster's runs and the
state store; it asks nobody for tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.account import ACCOUNT_KEY
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.gate import dearest_request, reason_to_wait
from pipedrive_assets.defs.internals import UNFINISHED, AssetJob
from pipedrive_assets.defs.jobs import ENTITY_JOB
from pipedrive_assets.defs.partitions import Calendar, KeyRange
from pipedrive_assets.defs.pause import entities_of, left_by, planned_steps
from pipedrive_assets.defs.reported import asked_of, covered_by_chain, tries_of
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode

_log = get_logger(__name__)

SENSOR_NAME = "pipedrive_resume"
RESUMABLE = timedelta(days=14)
"""Who leaves the sensor off for longer than this has settled the matter otherwise."""
NO_TIMEOUT = timedelta(days=1)
"""For the rest of a run that had no time limit, since every run of the job has one."""
PRIORITIES = {Lane.PUSH: "8", Lane.REPAIR: "6", Lane.INCREMENTAL: "4", Lane.BACKFILL: "0"}
"""Of a run that had none of its own; those of schedules are between 1 and 5."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run was started for, or what is left of it."""

    entities: tuple[str, ...]
    span: KeyRange
    mode: SyncMode
    lane: Lane
    tier: Tier | None

    def includes(self, other: Work) -> bool:
        """Whether who does this need not do ``other``."""
        return (
            set(self.entities) >= set(other.entities)
            and self.span.start <= other.span.start
            and self.span.end >= other.span.end
            and (self.mode, self.lane) == (other.mode, other.lane)
            and self.tier in (None, other.tier)
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """A run that was paused, or lost: what it has left, and ``chain``, the runs that its successor resumes.

    The chain is oldest first.
    """

    record: dg.RunRecord
    work: Work
    source: Source
    account: bool
    chain: tuple[str, ...]


def build_resume_sensors(
    settings: PipedriveSettings,
    calendar: Calendar,
    enabled: Collection[str],
    jobs: Iterable[AssetJob],
    clock: Clock | None = None,
) -> list[dg.SensorDefinition]:
    """The sensor, on by default where there is a token; none where no entity is enabled."""
    return [_sensor(settings, calendar, enabled, job, clock) for job in jobs if job.name == ENTITY_JOB]


def _sensor(
    settings: PipedriveSettings,
    calendar: Calendar,
    enabled: Collection[str],
    job: AssetJob,
    clock: Clock | None,
) -> dg.SensorDefinition:
    on = settings.token is not None
    clock = clock or SystemClock()

    @dg.sensor(
        name=SENSOR_NAME,
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        description="Goes on with what the end of the day's tokens has stopped.",
    )
    def resume(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now = datetime.fromtimestamp(clock.time(), UTC)
        moments = _paused_until(context.instance, now - RESUMABLE)
        due = [text for text, moment in moments.items() if moment <= now]
        records = [*_paused(context.instance, due), *_lost(context.instance, now)]
        if not records:
            soonest = min(moments.values(), default=None)
            return dg.SkipReason(
                f"paused runs wait until {soonest:%Y-%m-%d %H:%M} UTC" if soonest else "no run is paused"
            )
        pauses = unresumed(context.instance, records, calendar, enabled)
        if not pauses:
            return dg.SkipReason("every paused run has been resumed")
        reasons: list[str] = []
        requests: list[dg.RunRequest] = []
        for each in pauses:
            price = dearest_request(settings, each.work.entities, each.work.tier)
            reason = reason_to_wait(settings, each.work.lane, price, clock)
            if reason is None:
                requests.append(run_request(settings, each))
            else:
                reasons.append(reason)
        if not requests:
            return dg.SkipReason("; ".join(dict.fromkeys(reasons)))
        return dg.SensorResult(run_requests=requests)

    return resume


def unresumed(
    instance: dg.DagsterInstance,
    records: Iterable[dg.RunRecord],
    calendar: Calendar,
    enabled: Collection[str],
) -> list[Pause]:
    """Those of ``records`` that are to be gone on with, the most urgent lane first.

    Left out is whoever was resumed, is started again by Dagster, or whose work a later run has done or has
    in hand; of several that left the same, one stands for all.
    """
    resumed = _resumed(instance)
    by_id = {record.dagster_run.run_id: record for record in records}
    found = [
        pause
        for record in sorted(by_id.values(), key=lambda each: each.create_timestamp)
        if record.dagster_run.run_id not in resumed
        and record.dagster_run.tags.get(run_tags.WILL_RETRY) != "true"
        and (pause := _pause(instance, record, calendar, enabled)) is not None
    ]
    if not found:
        return []
    later = _done_or_in_hand(instance, found[0].record.create_timestamp, calendar)
    left = [
        each
        for each in _merged(found)
        if not any(
            created > each.record.create_timestamp and work.includes(each.work) for created, work in later
        )
    ]
    return sorted(left, key=lambda each: (list(Lane).index(each.work.lane), each.record.create_timestamp))


def run_request(settings: PipedriveSettings, pause: Pause) -> dg.RunRequest:
    """The run that goes on where ``pause`` stopped; its key is the newest of the runs it resumes.

    That run can be resumed once only, whichever others stand beside it.
    """
    work, old = pause.work, pause.record.dagster_run.tags
    tags = {
        run_tags.QUEUE: run_tags.queue_of(settings, {run_tags.SOURCE: pause.source.value}),
        run_tags.MAX_RUNTIME: str(round(NO_TIMEOUT.total_seconds())),
        run_tags.PRIORITY: PRIORITIES[work.lane],
        **{name: old[name] for name in (run_tags.MAX_RUNTIME, run_tags.PRIORITY) if name in old},
        **({} if work.tier is None else {run_tags.TIER: work.tier.value}),
        run_tags.MODE: work.mode.value,
        run_tags.SOURCE: pause.source.value,
        run_tags.LANE: work.lane.value,
        run_tags.RESUMES: ",".join(pause.chain),
        **run_tags.range_tags(work.span),
    }
    keys = [entity_key(name) for name in work.entities]
    return dg.RunRequest(
        run_key=pause.record.dagster_run.run_id,
        asset_selection=[ACCOUNT_KEY, *keys] if pause.account else keys,
        tags=tags,
    )


def _paused_until(instance: dg.DagsterInstance, since: datetime) -> dict[str, datetime]:
    """The moments, as the tags have them, until which runs were paused; older ones are left out."""
    texts = dict(instance.get_run_tags([run_tags.RESUMES_AT])).get(run_tags.RESUMES_AT, set())
    moments: dict[str, datetime] = {}
    for text in texts:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            # Edited by hand: that run stays as it is, and holds up no other.
            log_event(_log, "tag_not_understood", logging.INFO, tag=run_tags.RESUMES_AT, reason=str(error))
            continue
        moments[text] = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return {text: moment for text, moment in moments.items() if moment >= since}


def _paused(instance: dg.DagsterInstance, due: Sequence[str]) -> Sequence[dg.RunRecord]:
    """Runs whose tag ``pipedrive/resumes_at`` is among ``due``."""
    if not due:
        return []
    paused = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={run_tags.RESUMES_AT: list(due)})
    return instance.get_run_records(paused)


def _lost(instance: dg.DagsterInstance, now: datetime) -> list[dg.RunRecord]:
    """Resumptions that ended before today without having been paused, and not well either.

    What failed in one of their steps is left out later, like in any other run; that is told by the alert.
    """
    chains = dict(instance.get_run_tags([run_tags.RESUMES])).get(run_tags.RESUMES, set())
    if not chains:
        return []
    resumptions = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={run_tags.RESUMES: list(chains)},
        created_after=now - RESUMABLE,
    )
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    return [
        record
        for record in instance.get_run_records(resumptions)
        if run_tags.RESUMES_AT not in record.dagster_run.tags
        and (record.end_time or record.update_timestamp.timestamp()) < midnight
    ]


def _resumed(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs that another run resumes, however that ended: if it was lost, it stands for them."""
    chains = dict(instance.get_run_tags([run_tags.RESUMES])).get(run_tags.RESUMES, set())
    return {run_id for chain in chains for run_id in chain.split(",")}


def _pause(
    instance: dg.DagsterInstance, record: dg.RunRecord, calendar: Calendar, enabled: Collection[str]
) -> Pause | None:
    """What a paused run has left; None where nothing is, or where it is of another kind than ours."""
    run, asked = record.dagster_run, asked_of(record, calendar)
    if asked is None:
        return None
    keys, options = asked.keys, asked.options
    chain = tuple(dict.fromkeys([*options.resumes, *tries_of(instance, run)]))
    left = left_by(instance, run)
    missing: dict[str, list[str]] = {}
    for name in left.entities:
        reported = covered_by_chain(instance, entity_key(name), keys, chain, options.mode)
        gaps = [key for key in keys if key not in reported]
        if name in enabled and gaps:
            missing[name] = gaps
    if not missing:
        return None
    all_missing = sorted(key for gaps in missing.values() for key in gaps)
    work = Work(
        tuple(missing), KeyRange(all_missing[0], all_missing[-1]), options.mode, options.lane, options.tier
    )
    return Pause(record, work, options.source, left.account, chain)


def _merged(pauses: Sequence[Pause]) -> list[Pause]:
    """One pause for all that left the same, the newest; it resumes the others too. Oldest first."""
    kept: list[Pause] = []
    for each in reversed(pauses):
        for at, newer in enumerate(kept):
            if newer.work.includes(each.work):
                kept[at] = replace(newer, chain=tuple(dict.fromkeys([*each.chain, *newer.chain])))
                break
        else:
            kept.append(each)
    return kept[::-1]


def _done_or_in_hand(
    instance: dg.DagsterInstance, since: datetime, calendar: Calendar
) -> list[tuple[datetime, Work]]:
    """What runs created after ``since`` have done or will do, each with its creation."""
    found: list[tuple[datetime, Work]] = []
    for record in instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, *UNFINISHED], created_after=since)
    ):
        asked = asked_of(record, calendar)
        if asked is None:
            continue
        names = entities_of(planned_steps(instance, record.dagster_run))
        if names:
            options = asked.options
            work = Work(names, asked.span, options.mode, options.lane, options.tier)
            found.append((record.create_timestamp, work))
    return found
