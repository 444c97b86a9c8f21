"""``budget``: where the day's tokens are, what they went to, and how long they last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import click

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.api.forecast import Forecast, PlannedRun, runs_that_fit
from pipedrive_assets.cli.output import Output, json_option
from pipedrive_assets.cli.status import age
from pipedrive_assets.defs.known_budget import last_limits
from pipedrive_assets.defs.pricing import SchedulePlan, plan_schedules
from pipedrive_assets.defs.ticks import planned_runs
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.spend import SpendLine
from pipedrive_assets.sync.session import open_session

Cut = Literal["endpoint", "entity", "day"]
_CUTS: Mapping[str, Callable[[SpendLine], str]] = {
    "endpoint": lambda line: line.endpoint,
    "entity": lambda line: line.entity or "(none)",
    "day": lambda line: line.day,
}
_DAYS = {"endpoint": 1, "entity": 1, "day": 7}


@dataclass(frozen=True, slots=True)
class ScheduleOutlook:
    """What one schedule still takes: its next run, and all until the reset (``tokens``, if nothing changes).

    ``short_at`` is when the first run starts that its lane cannot pay any more; None: all of them fit.
    """

    name: str
    next_at: datetime
    tokens_per_run: int
    runs: int
    tokens: int
    short_at: datetime | None


@click.command()
@click.option("--by", "cut", type=click.Choice(tuple(_CUTS)), help="What tokens went to.")
@click.option("--days", type=click.IntRange(1, 366), help="Days to count, today among them; goes with --by.")
@json_option
@click.pass_obj
def budget(output: Output, cut: Cut | None, days: int | None) -> None:
    """Show the day's tokens by lane, what they went to, and how long they last; asks the API nothing."""
    if days is not None and cut is None:
        raise click.UsageError("--days goes with --by")
    settings = load_settings()
    span = days or _DAYS.get(cut or "", 1)
    with open_session(settings) as session:
        state = session.budget()
        forecast = session.forecast(state)
        disagreements = session.disagreements()
        lines = session.spend(span) if cut else ()
    plan = plan_schedules(settings, header_limit=last_limits(settings).daily)
    schedules = outlook(plan, settings, state, forecast.at)
    warnings = [*_warnings(state, schedules), *plan.warnings, *disagreements]
    if output.as_json:
        output.emit(
            {
                "ok": True,
                "budget": asdict(state),
                "forecast": asdict(forecast),
                "schedules": [asdict(each) for each in schedules],
                "warnings": [*settings.warnings, *warnings],
                **({"by": cut, "days": span, "lines": _rows(lines, cut)} if cut else {}),
            }
        )
        return
    _print_day(output, state, forecast)
    if cut:
        _print_lines(output, _rows(lines, cut), cut, span)
    else:
        _print_outlook(output, state, forecast, schedules)
    for line in warnings:
        output.warn(line)


def outlook(
    plan: SchedulePlan, settings: PipedriveSettings, state: BudgetState, now: datetime
) -> list[ScheduleOutlook]:
    """What the schedules that are on will take until the reset, and whether their lane can pay for it."""
    runs = planned_runs(plan, settings, now, state.resets_at)
    fits = runs_that_fit(runs, state, Lane.INCREMENTAL)
    of_schedule: dict[str, list[tuple[PlannedRun, bool]]] = {}
    for run, fit in zip(runs, fits, strict=True):
        of_schedule.setdefault(run.name, []).append((run, fit))
    found: list[ScheduleOutlook] = []
    for name, planned in of_schedule.items():
        today = [run for run, _ in planned if run.at < state.resets_at]
        found.append(
            ScheduleOutlook(
                name=name,
                next_at=planned[0][0].at,
                tokens_per_run=planned[0][0].tokens,
                runs=len(today),
                tokens=sum(run.tokens for run in today),
                short_at=next((run.at for run, fit in planned if not fit), None),
            )
        )
    return found


def _warnings(state: BudgetState, schedules: Iterable[ScheduleOutlook]) -> list[str]:
    lines = [
        f"the {each.name} schedule cannot be paid any more from {each.short_at:%Y-%m-%d %H:%M} UTC on"
        for each in schedules
        if each.short_at is not None
    ]
    if state.exhausted:
        lines.insert(0, "Pipedrive has said that no tokens are left; nothing is asked of it until the reset")
    if not state.enforced:
        lines.insert(0, "PIPEDRIVE_RATE_LIMITING_ENABLED is off: tokens are counted, but no request is held")
    return lines


def _rows(lines: Sequence[SpendLine], cut: Cut) -> list[dict[str, Any]]:
    """Requests and tokens of each endpoint or entity, dearest first, or of each day, newest first."""
    requests: Counter[str] = Counter()
    lanes: dict[str, Counter[Lane]] = {}
    for line in lines:
        key = _CUTS[cut](line)
        requests[key] += line.requests
        lanes.setdefault(key, Counter())[line.lane] += line.tokens
    rows = [
        {
            cut: key,
            "requests": requests[key],
            "tokens": sum(lanes[key].values()),
            **{lane.value: lanes[key][lane] for lane in Lane},
        }
        for key in lanes
    ]
    # Sorting keeps the order of names among equals.
    rows.sort(key=lambda row: str(row[cut]), reverse=cut == "day")
    return rows if cut == "day" else sorted(rows, key=lambda row: row["tokens"], reverse=True)


def _print_day(output: Output, state: BudgetState, forecast: Forecast) -> None:
    output.say(
        f"{state.day}: {state.spent:,} of {state.budget:,} tokens spent ({state.origin}), {state.reserved:,}"
        f" reserved by requests under way, {state.remaining:,} left"
    )
    output.say(
        f"The budget resets at {state.resets_at:%Y-%m-%d %H:%M} UTC, in"
        f" {age((state.resets_at - forecast.at).total_seconds())}"
    )
    output.say()


def _print_lines(output: Output, rows: Sequence[Mapping[str, Any]], cut: Cut, days: int) -> None:
    if not rows:
        output.say("Nothing was spent.")
        return
    columns = (cut, "requests", "tokens", *(lane.value for lane in Lane))
    output.table(
        columns,
        [[row[name] for name in columns] for row in rows],
        title="Today" if days == 1 else f"The last {days} days",
        foot=("in all", *(sum(row[name] for row in rows) for name in columns[1:])),
    )


def _print_outlook(
    output: Output, state: BudgetState, forecast: Forecast, schedules: Sequence[ScheduleOutlook]
) -> None:
    output.table(
        ("lane", "reserve a day", "spent", "left", "dry at (UTC)"),
        [
            (each.lane.value, each.reserve, each.spent, each.left, _when(each.dry_at))
            for each in forecast.lanes
        ],
    )
    output.say()
    output.say(
        f"At the rate of {'the ' if forecast.rate.over == 'last hour' else ''}{forecast.rate.over}"
        f" ({forecast.rate.tokens_per_hour:,.0f} tokens an hour) {forecast.projected_spent:,} of"
        f" {state.budget:,} will be spent at the reset."
    )
    if not schedules:
        output.say("No schedule is on.")
        return
    output.say()
    output.table(
        ("schedule", "next at (UTC)", "tokens a run", "runs until reset", "tokens until reset", "fits"),
        [
            (
                each.name,
                _when(each.next_at),
                each.tokens_per_run,
                each.runs,
                each.tokens,
                "yes" if each.short_at is None else f"until {_when(each.short_at)}",
            )
            for each in schedules
        ],
        foot=("while nothing changes", "", None, None, sum(each.tokens for each in schedules), ""),
    )


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
