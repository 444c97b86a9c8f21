"""When schedules tick: as cron lines for Dagster, and as moments for whoever plans the day's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pipedrive_assets.api.forecast import PlannedRun
from pipedrive_assets.defs.pricing import CORE, CUSTOM_FIELDS, DAILY, HOURLY, Rhythm, SchedulePlan
from pipedrive_assets.settings import PipedriveSettings

_MINUTE_OF_HOUR = {CORE: 0, HOURLY: 5, CUSTOM_FIELDS: 35}
"""Schedules of an hour and more start apart from each other, since writers of the warehouse take turns."""
_MINUTE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(days=3)
"""No schedule pauses longer than a day, and a change of the clocks leaves out one tick at most."""


def cron_line(rhythm: Rhythm, scheduler_time: str) -> str:
    """The cron line of a rhythm; the daily one is counted from ``scheduler_time`` (``HH:MM``)."""
    minutes = rhythm.interval_minutes
    if rhythm.name == DAILY:
        hour, minute = (int(part) for part in scheduler_time.split(":"))
        step = minutes // 60
        hours = sorted((hour + step * turn) % 24 for turn in range(24 // step))
        return f"{minute} {','.join(map(str, hours))} * * *"
    start = _MINUTE_OF_HOUR[rhythm.name]
    if minutes < 60:
        return f"*/{minutes} * * * *"
    if minutes == 60:
        return f"{start} * * * *"
    return f"{start} */{minutes // 60} * * *" if minutes < 1440 else f"{start} 0 * * *"


def planned_runs(
    plan: SchedulePlan, settings: PipedriveSettings, now: datetime, until: datetime
) -> list[PlannedRun]:
    """What the schedules that are on will start after ``now`` and before ``until``, in order of time.

    The next run of each schedule is among them even where it comes later.
    """
    runs: list[PlannedRun] = []
    for rhythm in plan.rhythms:
        if not rhythm.enabled:
            continue
        for count, tick in enumerate(
            ticks_after(now, cron_line(rhythm, settings.scheduler_time), settings.scheduler_timezone)
        ):
            if tick >= until and count > 0:
                break
            runs.append(PlannedRun(rhythm.name, tick, rhythm.tokens_per_run))
    return sorted(runs, key=lambda run: run.at)


def ticks_after(now: datetime, cron: str, timezone: str) -> Iterator[datetime]:
    """Moments (UTC) after ``now`` at which a line of :func:`cron_line` ticks by the clocks of ``timezone``.

    On the two days a year on which clocks change, Dagster may tick an hour apart from this.
    """
    minute_field, hour_field, *_ = cron.split()
    minutes, hours, zone = _values(minute_field, 60), _values(hour_field, 24), ZoneInfo(timezone)
    at = last = now.astimezone(UTC).replace(second=0, microsecond=0)
    while at - last <= _LONGEST_PAUSE:
        at += _MINUTE
        there = at.astimezone(zone)
        if there.minute in minutes and there.hour in hours:
            yield at
            last = at


def _values(field: str, size: int) -> frozenset[int]:
    if field.startswith("*"):
        return frozenset(range(0, size, int(field.removeprefix("*").removeprefix("/") or 1)))
    return frozenset(int(part) for part in field.split(","))
