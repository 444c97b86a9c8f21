"""One asset per entity, all from one factory: what Dagster knows of an entity before any run.

An entity depends on the account and, where its lists hang below another entity's records, on that entity.
Other references are metadata and a check: a failed upstream skips everything below it, and a 403 on users
must not stop deals. What a materialization does is in ``materialize.py``.
"""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from pipedrive_assets.catalog import CATALOG_VERSION
from pipedrive_assets.catalog.spec import ColumnType, EntitySpec, Tier
from pipedrive_assets.defs.account import ACCOUNT_KEY
from pipedrive_assets.defs.failures import retry_policy
from pipedrive_assets.defs.materialize import materialize
from pipedrive_assets.defs.partitions import Calendar
from pipedrive_assets.defs.pricing import SchedulePlan
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.settings import PipedriveSettings

OWNERS = ["team:revenue-operations"]
TIER_LAG = {
    Tier.CORE: timedelta(hours=2),
    Tier.HOURLY: timedelta(hours=6),
    Tier.DAILY: timedelta(hours=48),
}
"""How old the newest data of an entity may get; more where the budget makes its schedule slower."""

_ADDED_COLUMNS = (
    ("_extra", "JSON", "Keys and values that have no column of their own"),
    ("_is_deleted", "BOOLEAN", "Whether the record is gone from Pipedrive"),
    ("_deleted_at", "TIMESTAMP", "When it was deleted, or found to be gone (UTC)"),
    ("_deleted_reason", "VARCHAR", "`deleted` on evidence, else `gone`"),
    ("_merged_into", "BIGINT", "Key of the record it was merged into"),
    ("_observed_at", "TIMESTAMP", "Server time just before the request that showed this version (UTC)"),
    ("_synced_at", "TIMESTAMP", "When this version was written (UTC)"),
    ("_source", "VARCHAR", "Who asked: schedule, manual, backfill, cli, …"),
    ("_run_id", "VARCHAR", "The run that wrote this version"),
    ("_row_hash", "UBIGINT", "Hash of the version, to tell changed rows from unchanged ones"),
)


def entity_key(name: str) -> dg.AssetKey:
    """Key of the asset of an entity: ``pipedrive/<name>``."""
    return dg.AssetKey(["pipedrive", name])


def build_entity_asset(
    spec: EntitySpec,
    calendar: Calendar,
    settings: PipedriveSettings,
    plan: SchedulePlan,
    enabled: Collection[str],
) -> dg.AssetsDefinition:
    """The asset of one entity; ``enabled`` names the entities that have one."""
    deps = [ACCOUNT_KEY]
    if spec.parent in enabled:
        deps.append(entity_key(str(spec.parent)))

    @dg.asset(
        key=entity_key(spec.name),
        deps=deps,
        description=spec.description,
        group_name=spec.group,
        kinds={"pipedrive", "duckdb"},
        owners=OWNERS,
        tags={"pipedrive/tier": spec.tier.value},
        metadata=definition_metadata(spec),
        code_version=CATALOG_VERSION,
        partitions_def=calendar.definition(),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy(settings),
        freshness_policy=freshness_policy(spec, plan),
        # A scheduled run that finds the entity in other hands leaves it to them, and emits nothing.
        output_required=False,
    )
    def entity(
        context: dg.AssetExecutionContext, pipedrive: PipedriveResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        yield from materialize(context, pipedrive, spec, calendar)

    return entity


def definition_metadata(spec: EntitySpec) -> dict[str, Any]:
    """Table, columns, endpoints and references of an entity, for its page in the UI."""
    return {
        "dagster/table_name": f"pipedrive.{spec.name}",
        "dagster/column_schema": column_schema(spec),
        "key": ", ".join(spec.key),
        "endpoints": dg.MetadataValue.md(
            "\n".join(
                f"- `GET /api/{stream.version}{stream.path}` ({stream.name}): {stream.token_cost} tokens each"
                for stream in spec.streams
            )
        ),
        "references": dg.MetadataValue.json(
            {reference.column: f"pipedrive/{reference.entity}" for reference in spec.references}
        ),
    }


def column_schema(spec: EntitySpec) -> dg.TableSchema:
    """The columns of ``pipedrive.<entity>`` with their descriptions."""
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.type.value,
            description=column.description,
            constraints=dg.TableColumnConstraints(
                nullable=not (column.required or column.name in spec.key), unique=spec.key == (column.name,)
            ),
        )
        for column in spec.columns
    ]
    if spec.custom_fields is not None and not any(column.name == "custom_fields" for column in columns):
        columns.append(
            dg.TableColumn("custom_fields", ColumnType.JSON.value, "Custom fields by 40-character key")
        )
    columns += [dg.TableColumn(name, kind, text) for name, kind, text in _ADDED_COLUMNS]
    return dg.TableSchema(columns=columns)


def allowed_lag(spec: EntitySpec, plan: SchedulePlan) -> timedelta | None:
    """How old an entity's newest data may be; None for entities that are synced on demand only."""
    lag = TIER_LAG.get(spec.tier)
    if lag is None:
        return None
    intervals = [
        timedelta(minutes=rhythm.interval_minutes)
        for rhythm in plan.rhythms
        if rhythm.enabled and spec.name in rhythm.entities
    ]
    return max(lag, 3 * min(intervals)) if intervals else lag


def freshness_policy(spec: EntitySpec, plan: SchedulePlan) -> dg.FreshnessPolicy | None:
    """Warn at half of the allowed lag, fail at all of it."""
    lag = allowed_lag(spec, plan)
    return None if lag is None else dg.FreshnessPolicy.time_window(fail_window=lag, warn_window=lag / 2)
