"""What Dagster knows of a run: what it was asked for, its repetitions, and the partitions reported since."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.partitions import Calendar, KeyRange
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.sync.options import SyncMode, SyncOptions

_log = get_logger(__name__)

REPAIRED_RUN = "pipedrive/repaired_run"
"""In the metadata of a materialization: the run that has done it, where that could not say so itself."""
RECORDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked for: ``keys`` are the partitions of ``span``."""

    span: KeyRange
    keys: list[str]
    options: SyncOptions


def asked_of(record: dg.RunRecord, calendar: Calendar) -> Asked | None:
    """What a run was asked for; None for a run of no partitions, or whose tags this version cannot read.

    A tag edited by hand, or a partition of another granularity, must hold up no other run.
    """
    run, created = record.dagster_run, record.create_timestamp
    span = run_tags.range_of(run.tags)
    if span is None:
        return None
    try:
        keys = calendar.keys_between(span)
        options = run_tags.sync_options(run.tags, calendar.window_of(keys, created), created)
    except (PipedriveException, ValueError, OverflowError) as error:
        log_event(_log, "run_not_understood", logging.INFO, run_id=run.run_id, reason=str(error))
        return None
    return Asked(span, keys, options)


def tries_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Ids of the run and of those it repeats, oldest first: a repetition goes on where they stopped.

    A run that succeeded has left nothing: who repeats it wants everything again.
    """
    root = run.root_run_id or run.run_id
    ids = {root, run.run_id}
    ids.update(each.run_id for each in instance.get_runs(dg.RunsFilter(tags={run_tags.ROOT_RUN: root})))
    runs = instance.get_run_records(dg.RunsFilter(run_ids=sorted(ids)), ascending=True)
    return [
        each.dagster_run.run_id
        for each in runs
        if each.dagster_run.run_id == run.run_id or each.dagster_run.status is not dg.DagsterRunStatus.SUCCESS
    ]


def began_at(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> datetime:
    """When the first of the runs was created; at least one of them must still be known."""
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(run_ids)))
    return min(record.create_timestamp for record in records)


def covered_by_chain(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    partitions: Sequence[str],
    chain: Collection[str],
    mode: SyncMode,
) -> set[str]:
    """Those of ``partitions`` of an asset of which the runs ``chain`` need read, and report, no more.

    They were materialized since the first of these runs was created; for a run that reads again whatever the
    coverage says, by the runs themselves: a schedule reports the running partition without reading it again.
    """
    if not partitions:
        return set()
    began = began_at(instance, list(chain))
    wanted = dg.AssetRecordsFilter(
        asset_key=key, asset_partitions=list(partitions), after_timestamp=began.timestamp()
    )
    found: set[str] = set()
    cursor: str | None = None
    while len(found) < len(partitions):
        # In pieces: an hourly schedule may have reported the same partition for days.
        result = instance.fetch_materializations(wanted, limit=RECORDS_AT_ONCE, cursor=cursor)
        found.update(
            record.partition_key
            for record in result.records
            if record.partition_key is not None
            and (mode is SyncMode.INCREMENTAL or _reporter(record) in chain)
        )
        if not result.has_more:
            break
        cursor = result.cursor
    return found


def _reporter(record: dg.EventLogRecord) -> str:
    """Id of the run whose work a materialization tells of."""
    event = record.asset_materialization
    repaired = event.metadata.get(REPAIRED_RUN) if event is not None else None
    return record.run_id if repaired is None else str(repaired.value)
