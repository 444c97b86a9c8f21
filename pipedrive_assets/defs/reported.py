"""What Dagster already knows of a run and its repetitions: their ids, and the partitions reported since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from pipedrive_assets.defs import run_tags


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


def reported_since(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str], began: datetime
) -> set[str]:
    """Those of ``partitions`` of an asset that were materialized after ``began``."""
    if not partitions:
        return set()
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=key, asset_partitions=list(partitions), after_timestamp=began.timestamp()
        ),
        limit=10 * len(partitions),
    )
    return {record.partition_key for record in found.records if record.partition_key is not None}
