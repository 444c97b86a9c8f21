"""Jobs: selections of entity assets with the tags that tell their runs what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import dagster as dg

from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.account import ACCOUNT_KEY
from pipedrive_assets.defs.entities import entity_key
from pipedrive_assets.defs.internals import AssetJob
from pipedrive_assets.defs.pricing import CORE, CUSTOM_FIELDS, DAILY, HOURLY, Rhythm, SchedulePlan
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.sync.options import SyncMode

ENTITY_JOB = "sync_pipedrive_entity"
FULL_JOB = "sync_pipedrive_full"
CHECK_JOB = "check_pipedrive_entities"
RHYTHM_JOBS = {
    CORE: "sync_pipedrive_core",
    HOURLY: "sync_pipedrive_hourly",
    CUSTOM_FIELDS: "sync_pipedrive_custom_fields",
    DAILY: "sync_pipedrive_daily",
}


def build_jobs(settings: PipedriveSettings, plan: SchedulePlan, enabled: Collection[str]) -> list[AssetJob]:
    """Every job whose selection is not empty; all of them keep to the sync queue and to the job timeout."""
    tags = job_tags(settings)
    jobs = [
        _job(ENTITY_JOB, enabled, tags, "Any entities, any partitions.", account=True),
        _job(
            FULL_JOB,
            enabled,
            {**tags, run_tags.MODE: SyncMode.FULL.value},
            "Everything, whatever the copy already holds.",
            account=True,
        ),
        *(_rhythm_job(rhythm, tags) for rhythm in plan.rhythms if rhythm.entities),
    ]
    if not enabled:
        return []
    checks = dg.define_asset_job(
        CHECK_JOB,
        selection=dg.AssetSelection.all_asset_checks(),
        description="Every check again, without a sync.",
        tags={run_tags.QUEUE: run_tags.queue_of(settings, {})},
    )
    return [*jobs, checks]


def job_tags(settings: PipedriveSettings) -> dict[str, str]:
    """Tags of every run that syncs: its queue, and the seconds after which it stops."""
    return {run_tags.QUEUE: run_tags.queue_of(settings, {}), run_tags.MAX_RUNTIME: str(settings.job_timeout)}


def _rhythm_job(rhythm: Rhythm, tags: Mapping[str, str]) -> AssetJob:
    tier = {run_tags.TIER: rhythm.tier.value} if rhythm.tier is not None else {}
    return _job(
        RHYTHM_JOBS[rhythm.name],
        rhythm.entities,
        {**tags, **tier, run_tags.MODE: SyncMode.INCREMENTAL.value},
        f"What is new of: {', '.join(rhythm.entities)}.",
        account=rhythm.name == DAILY,
    )


def _job(
    name: str, entities: Collection[str], tags: Mapping[str, str], description: str, *, account: bool
) -> AssetJob:
    keys = [entity_key(entity) for entity in entities]
    return dg.define_asset_job(
        name,
        # The account asset is asked for where somebody may look at the run; fast schedules do without.
        selection=dg.AssetSelection.assets(*([ACCOUNT_KEY] if account else []), *keys),
        description=description,
        tags=dict(tags),
    )
