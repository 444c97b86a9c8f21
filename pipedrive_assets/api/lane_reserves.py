"""What a lane leaves to the lanes that are more urgent, so that a backfill never eats what a push needs.

A lane's reserve is a share of the day's budget. It melts away with the day: nobody needs at 23:00 what a
whole day needs. The schedules know what they cost, so nothing beyond that is kept for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipedrive_assets.state.lanes import Lane

SECONDS_PER_DAY = 86_400

HoldBack = Callable[[Lane, int, float], int]
"""Tokens a lane must leave to others, given the day's budget and the seconds until it is renewed."""


def nothing_held_back(_lane: Lane, _budget: int, _seconds_to_reset: float) -> int:
    """Every lane may spend the whole budget."""
    return 0


@dataclass(frozen=True, slots=True)
class LaneReserves:
    """The :data:`HoldBack` of one account.

    ``percent`` of the budget is kept for each lane it names; for ``incremental`` never more than
    ``schedules_per_day``, the tokens that the core schedule takes on a day without changes. Reserves are
    rounded down, so that shares below 100 percent in sum always leave something.
    """

    percent: Mapping[str, int]
    schedules_per_day: int

    def __call__(self, lane: Lane, budget: int, seconds_to_reset: float) -> int:
        """The reserves of all lanes more urgent than ``lane``."""
        lanes = tuple(Lane)
        return sum(self.reserve(urgent, budget, seconds_to_reset) for urgent in lanes[: lanes.index(lane)])

    def reserve(self, lane: Lane, budget: int, seconds_to_reset: float = SECONDS_PER_DAY) -> int:
        """Tokens kept for one lane alone; by default those of a whole day."""
        share = budget * self.percent.get(lane.value, 0) / 100
        if lane is Lane.INCREMENTAL:
            share = min(share, self.schedules_per_day)
        # By a clock that has run ahead of the server's, more than a day may be left.
        return int(share * min(max(seconds_to_reset, 0.0), SECONDS_PER_DAY) / SECONDS_PER_DAY)
