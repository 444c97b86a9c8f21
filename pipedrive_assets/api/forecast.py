"""Where the day's tokens are heading: how fast they go, when a lane runs dry, which planned runs still fit.

Pure arithmetic on a :class:`~pipedrive_assets.api.budget.BudgetState`; nothing here asks or remembers. It
assumes that spending goes on as it did, by us and by others with the same account, and that reserves melt
away evenly until the reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.api.lane_reserves import SECONDS_PER_DAY
from pipedrive_assets.state.lanes import Lane

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class BurnRate:
    """Tokens an hour, and what they were counted over."""

    tokens_per_hour: float
    over: Literal["last hour", "today"]


@dataclass(frozen=True, slots=True)
class LaneForecast:
    """One lane's day in tokens.

    ``reserve`` is what a whole day keeps for it; ``left`` what it may still spend now. ``dry_at`` (UTC) is
    when that is gone if spending goes on at this rate; None: not before the reset.
    """

    lane: Lane
    reserve: int
    spent: int
    left: int
    dry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rest of the day, seen ``at`` a moment (UTC, the server's time).

    ``projected_spent`` is what will be spent at the reset if nothing stops it.
    """

    at: datetime
    rate: BurnRate
    projected_spent: int
    lanes: tuple[LaneForecast, ...]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that will start ``at`` a moment (UTC) and costs ``tokens`` while nothing changes."""

    name: str
    at: datetime
    tokens: int


def burn_rate(state: BudgetState, now: datetime, tokens_last_hour: int | None) -> BurnRate:
    """How fast tokens go at ``now`` (the server's time).

    ``tokens_last_hour`` is what we spent in the last hour; where nobody counted (None) the day's average
    stands in. Others are only seen by the day, so they always count by their average. In the day's first
    hour the average is over an hour.
    """
    hours = max(1.0, (SECONDS_PER_DAY - _seconds_to_reset(state, now)) / SECONDS_PER_HOUR)
    if tokens_last_hour is None:
        return BurnRate(state.spent / hours, "today")
    others = max(0, state.spent - sum(state.by_lane.values()))
    return BurnRate(tokens_last_hour + others / hours, "last hour")


def forecast(state: BudgetState, now: datetime, tokens_last_hour: int | None = None) -> Forecast:
    """The rest of the day as it will go if nothing changes; ``now`` is the server's time (UTC)."""
    rate = burn_rate(state, now, tokens_last_hour)
    to_come = rate.tokens_per_hour * _seconds_to_reset(state, now) / SECONDS_PER_HOUR
    return Forecast(
        at=now,
        rate=rate,
        projected_spent=round(state.spent + state.reserved + to_come),
        lanes=tuple(
            LaneForecast(
                lane=lane,
                reserve=state.reserves[lane],
                spent=state.by_lane[lane],
                left=state.available[lane],
                dry_at=_dry_at(state, lane, now, rate.tokens_per_hour),
            )
            for lane in Lane
        ),
    )


def runs_that_fit(runs: Sequence[PlannedRun], state: BudgetState, lane: Lane) -> list[bool]:
    """Whether ``lane`` can pay for each of ``runs``, one after the other, and for nothing else.

    ``runs`` are in order of time. A run after the reset meets the next day's budget, taken to be the same.
    """
    fits: list[bool] = []
    free, day_ends = state.remaining, state.resets_at
    for run in runs:
        while run.at >= day_ends:
            free, day_ends = state.budget, day_ends + timedelta(days=1)
        fits.append(run.tokens <= free - _held_back(state, lane, (day_ends - run.at).total_seconds()))
        if fits[-1]:
            free -= run.tokens
    return fits


def _dry_at(state: BudgetState, lane: Lane, now: datetime, tokens_per_hour: float) -> datetime | None:
    """When spending has used up what is left to a lane, of which reserves give back some by the second."""
    left = state.available[lane]
    if left <= 0:
        return now
    loss_per_second = tokens_per_hour / SECONDS_PER_HOUR - _held_back(state, lane, 1.0)
    if loss_per_second * _seconds_to_reset(state, now) <= left:
        return None
    return now + timedelta(seconds=left / loss_per_second)


def _held_back(state: BudgetState, lane: Lane, seconds: float) -> float:
    """Tokens that the reserves of more urgent lanes keep for, or give back within, so many seconds."""
    lanes = tuple(Lane)
    urgent = lanes[: lanes.index(lane)]
    return sum(state.reserves[other] for other in urgent) * seconds / SECONDS_PER_DAY


def _seconds_to_reset(state: BudgetState, now: datetime) -> float:
    return max(0.0, (state.resets_at - now).total_seconds())
