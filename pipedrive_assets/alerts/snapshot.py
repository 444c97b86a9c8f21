"""What the state store knows about an account at one moment; the one source of alerts and of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.state.alerts import AlertState
from pipedrive_assets.state.breaker import BreakerSnapshot, BreakerState
from pipedrive_assets.state.events import KEPT_SECONDS
from pipedrive_assets.state.health import HealthState
from pipedrive_assets.state.outcomes import SyncOutcome
from pipedrive_assets.sync.session import Session

OUTCOME_SECONDS = 86_400.0
"""How far back outcomes of syncs are read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One account; times in epoch seconds.

    ``breaker_since`` is when the breaker first opened since it was last closed, ``outcomes`` are those of the
    syncs that ended within the last day, oldest first. ``alerts`` is what was last known of each condition.
    """

    now: float
    breaker: BreakerSnapshot
    breaker_since: float
    health: HealthState
    budget: BudgetState
    outcomes: tuple[SyncOutcome, ...]
    alerts: Mapping[str, AlertState]


def read_snapshot(session: Session) -> Snapshot:
    """Read the session's state store; asks neither the network nor the warehouse."""
    state, account = session.state, session.known_key
    health = state.health(account).state()
    # Only now, or a verdict formed meanwhile would seem to come from the future.
    now = session.clock.time()
    opened = [
        event.at
        for event in state.events(account).since(now - KEPT_SECONDS, "circuit_open")
        if event.detail.get("was") == BreakerState.CLOSED.value and event.at <= now
    ]
    return Snapshot(
        now=now,
        breaker=state.breaker(account).snapshot(),
        breaker_since=max(opened, default=now),
        health=health,
        budget=session.budget(),
        outcomes=state.outcomes(account).since(now - OUTCOME_SECONDS),
        alerts={each.condition: each for each in state.alerts(account).states()},
    )
