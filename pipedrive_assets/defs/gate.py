"""Why a run that nobody asked for should not start now: Pipedrive is down, or its lane has no tokens left.

For schedules and sensors, whose runs would only fail or pause. A run that a person starts is never kept
back: it fails by itself, at once, with the same moment in its metadata. Reads the state store if there is
one, asks nobody anything, and creates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.defs.known_budget import store_exists
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot, BreakerState
from pipedrive_assets.state.lanes import Lane

if TYPE_CHECKING:
    from pipedrive_assets.api.budget import BudgetState


def reason_to_wait(
    settings: PipedriveSettings, lane: Lane, tokens: int, clock: Clock | None = None
) -> str | None:
    """Why a run of ``lane`` whose dearest request costs ``tokens`` should not start now; None if it may.

    Errors raised: ``PipedriveStateException`` where the state store cannot be read.
    """
    if settings.token is None or not store_exists(settings.state_url):
        return None
    # Imported late: loading definitions needs none of it.
    from pipedrive_assets.sync.session import open_session

    clock = clock or SystemClock()
    with open_session(settings, clock=clock) as session:
        return breaker_shut(session.breaker(), clock.time()) or lane_dry(session.budget(), lane, tokens)


def dearest_request(settings: PipedriveSettings, entities: Iterable[str], tier: Tier | None = None) -> int:
    """Tokens of the dearest request that a run of ``entities`` makes; ``tier`` as in ``SyncOptions``."""
    return max(
        (
            settings.token_costs.get(name, stream.token_cost)
            for name in entities
            for stream in CATALOG[name].streams
            if tier in (None, stream.tier or CATALOG[name].tier)
        ),
        default=0,
    )


def breaker_shut(breaker: BreakerSnapshot, now: float) -> str | None:
    """Why no request would be let through at ``now`` (epoch seconds); None if one would."""
    until = breaker.shut_until(now)
    if until is None:
        return None
    if breaker.state is BreakerState.OPEN:
        return f"the circuit breaker is open; the next try is at {_moment(until)}"
    return f"the circuit breaker waits for the answer to a probe, until {_moment(until)} at most"


def lane_dry(budget: BudgetState, lane: Lane, tokens: int) -> str | None:
    """Why ``lane`` has no room for a request of ``tokens``; None if it has.

    With rate limiting switched off only Pipedrive's own word counts.
    """
    resets = f"the budget resets at {_moment(budget.resets_at.timestamp())}"
    if budget.exhausted:
        return f"Pipedrive has said that no tokens are left today; {resets}"
    left = budget.available[lane]
    if budget.enforced and left < tokens:
        return f"lane {lane.value} has {left} tokens left today, and a request takes {tokens}; {resets}"
    return None


def _moment(epoch_seconds: float) -> str:
    return f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
