"""Asset checks: can this copy be trusted? One step per entity answers all of them from the warehouse.

They ask the API for nothing, run after each materialization of the entity, and can be run on their own. The
same step answers those of ``monitoring_checks.py``, from the state store.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import EntitySpec
from pipedrive_assets.defs import run_tags
from pipedrive_assets.defs.entities import allowed_lag, entity_key
from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.finding import Finding
from pipedrive_assets.defs.monitoring_checks import MONITORING_CHECKS, read_surroundings
from pipedrive_assets.defs.pricing import SchedulePlan
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.result import SyncStatus

if TYPE_CHECKING:
    from pipedrive_assets.warehouse.store import Warehouse


UNKNOWN_SHARE = 0.1
"""Share of unknown ids above which references look like missing rows rather than like deleted records."""
VANISHING = frozenset({"leads"})
"""Entities whose records leave their list in the course of business: a converted lead becomes a deal."""


Check = Callable[["Warehouse", EntitySpec, timedelta | None, datetime], Finding]


def key_is_unique(warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime) -> Finding:
    """No two rows of the table have the same key."""
    duplicates = warehouse.duplicate_keys(spec)
    return Finding(
        duplicates == 0, f"{duplicates} keys have more than one row", {"duplicate_keys": duplicates}
    )


def required_is_filled(
    warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime
) -> Finding:
    """Columns that the API always fills hold no NULL."""
    columns = [column.name for column in spec.columns if column.required or column.name in spec.key]
    nulls = {name: count for name, count in warehouse.null_counts(spec, columns).items() if count}
    return Finding(not nulls, _listed(nulls, "no NULL in " + ", ".join(columns)), {"nulls": nulls})


def values_fit(warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime) -> Finding:
    """Every value fitted its column; others are kept in ``_extra`` and in the quarantine."""
    count = warehouse.quarantine_count(spec.name)
    return Finding(
        count == 0,
        f"{count} values did not fit their column; see pipedrive_meta.quarantine",
        {"quarantined": count},
        dg.AssetCheckSeverity.WARN,
    )


def endpoint_is_open(
    warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime
) -> Finding:
    """The account's plan and the token's rights open the entity's lists."""
    run = _last_run(warehouse, spec)
    closed = run is not None and run["status"] == SyncStatus.SKIPPED.value
    reason = str(run["reason"]) if run is not None else ""
    return Finding(not closed, reason or "open", {"status": _status(run)}, dg.AssetCheckSeverity.WARN)


def last_sync_is_complete(
    warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime
) -> Finding:
    """The last sync ended, and no gap is left between what the syncs have covered."""
    run = _last_run(warehouse, spec)
    gaps = {name: len(held) - 1 for name, held in warehouse.coverage(spec.name).items() if len(held) > 1}
    done = run is not None and run["status"] in (SyncStatus.COMPLETE.value, SyncStatus.SKIPPED.value)
    said = f"last sync: {_status(run)}" + (f" ({run['reason']})" if run is not None and run["reason"] else "")
    return Finding(
        done and not gaps,
        "; ".join([said, *(f"{count} gaps in the coverage of {name}" for name, count in gaps.items())]),
        {"status": _status(run), "gaps": gaps},
        dg.AssetCheckSeverity.WARN,
    )


def data_is_fresh(warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime) -> Finding:
    """The newest covered moment is not older than the entity's tier allows."""
    heads = [held.head for held in warehouse.coverage(spec.name).values() if held.head is not None]
    if not heads:
        closed = _status(_last_run(warehouse, spec)) == SyncStatus.SKIPPED.value
        return Finding(closed, "nothing is covered yet", {}, dg.AssetCheckSeverity.WARN)
    # A slower list of the entity (archived leads) must not make the entity look stale.
    age = now - max(heads)
    return Finding(
        lag is None or age <= lag,
        f"the newest data is {_minutes(age)} minutes old; allowed: {_minutes(lag) if lag else 'any age'}",
        {"lag_minutes": _minutes(age)},
        dg.AssetCheckSeverity.WARN,
    )


def references_are_known(
    warehouse: "Warehouse", spec: EntitySpec, lag: timedelta | None, now: datetime
) -> Finding:
    """Nearly all ids of other records are found in the tables of those records, where these were synced.

    Some never are: Pipedrive keeps the ids of records that are deleted, and shows those no more.
    """
    unknown: dict[str, int] = {}
    suspicious = False
    for reference in spec.references:
        target = CATALOG[reference.entity]
        if target.name in VANISHING or len(target.key) != 1:
            continue
        if spec.column(reference.column).type is not target.column(target.key[0]).type:
            continue
        if warehouse.row_count(spec.name) and warehouse.row_count(target.name):
            missing, ids = _dangling(warehouse, spec, reference.column, target)
            suspicious = suspicious or missing > UNKNOWN_SHARE * ids
            if missing:
                unknown[f"{reference.column} → {target.name}"] = missing
    return Finding(
        not suspicious,
        "unknown ids: " + _listed(unknown, "none"),
        {"unknown": unknown},
        dg.AssetCheckSeverity.WARN,
    )


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        key_is_unique,
        required_is_filled,
        values_fit,
        endpoint_is_open,
        last_sync_is_complete,
        data_is_fresh,
        references_are_known,
    )
}


def build_entity_checks(
    spec: EntitySpec, plan: SchedulePlan, settings: PipedriveSettings
) -> dg.AssetChecksDefinition:
    """All checks of one entity, in one step; any subset of them can be run."""
    lag = allowed_lag(spec, plan)
    described = {name: check.__doc__ for name, check in CHECKS.items()}
    if not spec.references:
        del described[references_are_known.__name__]
    if settings.monitoring_enabled:
        described |= {name: check.__doc__ for name, check in MONITORING_CHECKS.items()}
    specs = [
        dg.AssetCheckSpec(name, asset=entity_key(spec.name), description=text)
        for name, text in described.items()
    ]

    @dg.multi_asset_check(name=f"checks_of_{spec.name}", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, pipedrive: PipedriveResource
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        try:
            session = pipedrive.session()
            for name, check in CHECKS.items():
                if name in selected:
                    finding = check(session.warehouse, spec, lag, datetime.now(UTC))
                    yield finding.result(name, spec.name)
            if selected & MONITORING_CHECKS.keys():
                lane = run_tags.lane_of(context.run.tags) or Lane.INCREMENTAL
                around = read_surroundings(session, spec, lane)
                for name in MONITORING_CHECKS.keys() & selected:
                    yield MONITORING_CHECKS[name](around, spec).result(name, spec.name)
        except PipedriveException as error:
            raise as_failure(error) from error

    return checks


def _last_run(warehouse: "Warehouse", spec: EntitySpec) -> Mapping[str, Any] | None:
    if warehouse.account() is None:
        return None
    rows = warehouse.query(
        """
        SELECT status, reason
        FROM pipedrive_meta.sync_runs
        WHERE entity = ? AND NOT dry_run
        ORDER BY recorded_at DESC, started_at DESC
        LIMIT 1
        """,
        [spec.name],
    ).to_pylist()
    return rows[0] if rows else None


def _status(run: Mapping[str, Any] | None) -> str:
    return "never synced" if run is None else str(run["status"])


def _dangling(warehouse: "Warehouse", spec: EntitySpec, column: str, target: EntitySpec) -> tuple[int, int]:
    """How many distinct ids of ``column`` have no row in ``target``, and how many there are."""
    from pipedrive_assets.warehouse.names import data_table, identifier

    found = warehouse.query(
        f"""
        SELECT
            count(DISTINCT child.{identifier(column)}) AS ids,
            count(DISTINCT child.{identifier(column)})
                FILTER (WHERE parent.{identifier(target.key[0])} IS NULL) AS unknown
        FROM {data_table(spec.name)} AS child
        LEFT JOIN {data_table(target.name)} AS parent
            ON parent.{identifier(target.key[0])} = child.{identifier(column)}
        WHERE child.{identifier(column)} IS NOT NULL
          AND NOT child._is_deleted
        """  # noqa: S608  (identifiers are quoted)
    )
    row = found.to_pylist()[0]
    return int(row["unknown"]), int(row["ids"])


def _listed(counts: Mapping[str, int], otherwise: str) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or otherwise


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)
