"""The asset ``pipedrive/api_health`` and the sensor that renews it: how the API is doing, over time.

The sensor checks in its own process and reports what it found as a materialization, without a run: a run
every five minutes would cost more than all it tells, and fill the list of runs. The asset can be
materialized by hand as well, which probes at once.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from pipedrive_assets.defs.failures import as_failure
from pipedrive_assets.defs.resources import PipedriveResource
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.settings import PipedriveSettings

if TYPE_CHECKING:
    from pipedrive_assets.api.health import HealthReport

HEALTH_KEY = dg.AssetKey(["pipedrive", "api_health"])
SENSOR_NAME = "pipedrive_health"


@dg.asset(
    key=HEALTH_KEY,
    group_name="company",
    kinds={"pipedrive"},
    owners=["team:revenue-operations"],
    description="How Pipedrive's API is doing: latency, failures, tokens and memory over time.",
)
def api_health(context: dg.AssetExecutionContext, pipedrive: PipedriveResource) -> dg.MaterializeResult[None]:
    """Form the verdict now, with a probe where breaker and budget allow one."""
    try:
        report = pipedrive.session().health.check(force=True)
    except PipedriveException as error:
        raise as_failure(error) from error
    return dg.MaterializeResult(metadata=metadata_of(report))


def build_health_sensor(settings: PipedriveSettings) -> dg.SensorDefinition:
    """The sensor; on by default where there is a token."""
    on = settings.token is not None

    @dg.sensor(
        name=SENSOR_NAME,
        minimum_interval_seconds=settings.health_check_interval,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        description="Checks the API when nobody else uses it, and reports what it found.",
    )
    def health(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # Imported late: loading definitions needs none of it.
        from pipedrive_assets.sync.session import open_session

        with open_session(settings) as session:
            report = session.health.check()
        event = dg.AssetMaterialization(asset_key=HEALTH_KEY, metadata=metadata_of(report))
        return dg.SensorResult(asset_events=[event])

    return health


def metadata_of(report: "HealthReport") -> dict[str, Any]:
    """A report as metadata; the UI plots every number over time.

    What is not known is left out rather than plotted as zero.
    """
    window = report.window
    metadata: dict[str, Any] = {
        "verdict": report.verdict.value,
        "reason": report.reason,
        "probed": report.probed,
        "breaker": report.breaker.state.value,
        "requests": window.requests,
        "failures": window.failures,
        "refusals": window.refusals,
        "failure_percent": round(report.failure_percent, 2),
        "tokens_left": report.tokens_left,
        "tokens_spent": report.tokens_spent,
        "memory_percent": round(report.memory_percent, 2),
    }
    if report.latency_ms is not None:
        metadata["latency_ms"] = round(report.latency_ms, 1)
    return metadata
