"""Two sensors that tell people: one looks at the account every minute, one hears of each failed run.

They exist where alerting is enabled. The first reads the state store and sends what is due, the second only
takes note. Neither asks the API or the warehouse, and each wait for a mail server is bounded. The state store
remembers what was told, so that a restart of the daemon, or a second one, tells nothing twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from pipedrive_assets.defs import pause, run_tags
from pipedrive_assets.settings import PipedriveSettings

if TYPE_CHECKING:
    from pipedrive_assets.alerts.dispatch import Delivery
    from pipedrive_assets.state.alerts import AlertState, Observation
    from pipedrive_assets.sync.session import Session

ALERTS_SENSOR = "pipedrive_alerts"
RUN_FAILURES_SENSOR = "pipedrive_run_failures"
LOOK_SECONDS = 60
HEAR_SECONDS = 15
RUN_FAILURE = "run_failure"
QUIET_SECONDS = 86_400
"""A failed run that nobody repeats is no longer worth showing after this."""
RUNS_LOOKED_AT = 100
ASSETS_NAMED = 3
STEPS_NAMED = 3


def build_alert_sensors(settings: PipedriveSettings) -> list[dg.SensorDefinition]:
    """Both sensors, on where there is a token; none where alerting is disabled."""
    if not settings.alerting_enabled:
        return []
    on = dg.DefaultSensorStatus.RUNNING if settings.token is not None else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name=ALERTS_SENSOR,
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=on,
        description="Tells people when something begins to be wrong, and when it is over.",
    )
    def look_around(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from pipedrive_assets.sync.session import open_session

        with open_session(settings) as session:
            return dg.SkipReason(_tell(session, context))

    @dg.run_failure_sensor(
        name=RUN_FAILURES_SENSOR,
        minimum_interval_seconds=HEAR_SECONDS,
        default_status=on,
        description="Notes which runs failed, unless they go on by themselves; pipedrive_alerts tells.",
    )
    def hear(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        from pipedrive_assets.alerts.channels import channels
        from pipedrive_assets.alerts.dispatch import take_note
        from pipedrive_assets.sync.session import open_session

        if goes_on_by_itself(context.dagster_run, context.get_step_failure_events()):
            return dg.SkipReason(f"run {context.dagster_run.run_id} goes on by itself")
        with open_session(settings) as session:
            # Dagster hands over several failures a tick: to deliver here would add up their waits.
            take_note(session, [failure_of(context)], channels(settings, context.log))
        return None

    return [look_around, hear]


def goes_on_by_itself(run: dg.DagsterRun, failed_steps: Sequence[dg.DagsterEvent]) -> bool:
    """Whether a run only waits for the next day's tokens, or is started again by Dagster."""
    if run.tags.get(run_tags.WILL_RETRY) == "true":
        return True
    return pause.goes_on(run, failed_steps)


def failure_name(run: dg.DagsterRun) -> str:
    """The condition that a failed run belongs to: its job and, where somebody chose assets, these."""
    assets = sorted(key.path[-1] for key in run.asset_selection or ())
    if not assets:
        return f"{RUN_FAILURE}:{run.job_name}"
    more = f"+{len(assets) - ASSETS_NAMED}" if len(assets) > ASSETS_NAMED else ""
    return f"{RUN_FAILURE}:{run.job_name}:{','.join(assets[:ASSETS_NAMED])}{more}"


def failure_of(context: dg.RunFailureSensorContext) -> "Observation":
    """A failed run as a condition: which run, and what its failed steps say."""
    from pipedrive_assets.state.alerts import Observation, Severity

    run = context.dagster_run
    failed = context.get_step_failure_events()
    # Pauses only in a run that nobody resumes: then they are what there is to tell.
    steps = [event for event in failed if not pause.is_pause(event)] or failed
    said = [f"{event.step_key}: {_why(event)}" for event in steps[:STEPS_NAMED]]
    if len(steps) > STEPS_NAMED:
        said.append(f"and {len(steps) - STEPS_NAMED} more")
    record = context.instance.get_run_record_by_id(run.run_id)
    # Not now: a success that came after it must be seen as the end of it, however late this is heard.
    ended = record.end_time if record is not None and record.end_time else datetime.now(UTC).timestamp()
    reason = "; ".join(said) or context.failure_event.message or "no step says why"
    return Observation(
        failure_name(run),
        True,
        Severity.CRITICAL,
        ended,
        f"Run {run.run_id} of {run.job_name}: {reason}",
    )


def runs_recovered(
    instance: dg.DagsterInstance, states: Iterable["AlertState"], now: float
) -> Iterator["Observation"]:
    """An end for each failure that was followed by a success of the same kind of run.

    Of a failure noted by a clock that has been set back since, a success within the last day is the end.
    """
    from pipedrive_assets.state.alerts import Observation

    for state in _failures(states):
        since = state.since if state.since <= now else now - QUIET_SECONDS
        # The last one: after a success it may have failed again.
        if _ends_since(instance, state.condition, since)[:1] == [dg.DagsterRunStatus.SUCCESS]:
            yield Observation(state.condition, False, state.severity, state.since, state.detail)


def runs_forgotten(instance: dg.DagsterInstance, states: Iterable["AlertState"], now: float) -> list[str]:
    """Failures of the past that were neither repeated nor mended within a day."""
    return [
        state.condition
        for state in _failures(states)
        if state.since < now - QUIET_SECONDS
        and dg.DagsterRunStatus.FAILURE not in _ends_since(instance, state.condition, now - QUIET_SECONDS)
    ]


def _tell(session: "Session", context: dg.SensorEvaluationContext) -> str:
    """Look once and deliver; a sentence about what came of it, for the tick."""
    from pipedrive_assets.alerts.channels import channels
    from pipedrive_assets.alerts.dispatch import alert_store, look

    store = alert_store(session)
    states, now = store.states(), session.clock.time()
    ended = list(runs_recovered(context.instance, states, now))
    over = {each.condition for each in ended}
    store.forget(set(runs_forgotten(context.instance, states, now)) - over)
    done = look(session, channels(session.settings, context.log), ended)
    return _summary(sum(each.raised for each in store.states()), done)


def _summary(raised: int, done: "Delivery") -> str:
    parts = [f"{raised} raised", f"{done.delivered} messages delivered"]
    parts += [f"{channel} failed: {reason}" for channel, reason in done.failed.items()]
    return "; ".join(parts)


def _failures(states: Iterable["AlertState"]) -> Iterator["AlertState"]:
    return (each for each in states if each.raised and each.condition.startswith(f"{RUN_FAILURE}:"))


def _ends_since(instance: dg.DagsterInstance, condition: str, since: float) -> list[dg.DagsterRunStatus]:
    """How runs of this kind have ended since then, the newest run first."""
    records = instance.get_run_records(
        dg.RunsFilter(
            job_name=condition.split(":")[1],
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.fromtimestamp(since, UTC),
        ),
        limit=RUNS_LOOKED_AT,
    )
    runs = [record.dagster_run for record in records]
    return [run.status for run in runs if failure_name(run) == condition]


def _why(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.message if data.error is not None else "no reason given"
