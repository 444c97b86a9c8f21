"""The account's day in tokens, as anybody may ask: what is spent, reserved, left, and left to each lane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipedrive_assets.api.lane_reserves import SECONDS_PER_DAY, HoldBack
from pipedrive_assets.api.limit_policy import LimitPolicy
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.ledger import TokenLedger


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The account's day in tokens.

    ``origin`` is setting, header, plan or fallback; ``resets_at`` is UTC. ``spent`` includes what others
    used up where the account's own limit binds; ``remaining`` never more than that limit leaves.
    ``available`` is what each lane may still reserve, ``reserves`` what a whole day keeps for a lane.
    ``enforced`` is False where rate limiting is switched off: then only Pipedrive's own refusal counts.
    """

    budget: int
    origin: str
    spent: int
    reserved: int
    remaining: int
    resets_at: datetime
    day: str
    by_lane: Mapping[Lane, int]
    available: Mapping[Lane, int]
    reserves: Mapping[Lane, int]
    exhausted: bool
    enforced: bool


def budget_state(ledger: TokenLedger, policy: LimitPolicy, hold_back: HoldBack) -> BudgetState:
    """The day as it stands, for all processes."""
    state = ledger.day()
    allowed = policy.budget(state.header_limit)
    spent = state.own_spent
    # Where the account's own limit binds, what others spent is spent.
    if state.server_limit is not None and allowed >= state.server_limit:
        spent = max(spent, state.server_spent or 0)
    by_lane = dict.fromkeys(Lane, 0)
    for line in ledger.spend(state.day):
        by_lane[line.lane] += line.tokens
    # A lane's own reserve is what the next lane must leave beyond what this one must.
    whole_day = [hold_back(lane, allowed, SECONDS_PER_DAY) for lane in Lane]
    return BudgetState(
        budget=allowed,
        origin=policy.budget_origin(state.header_limit),
        spent=spent,
        reserved=state.reserved,
        remaining=state.available(allowed),
        resets_at=state.resets_at,
        day=state.day,
        by_lane=by_lane,
        available={
            lane: state.available(allowed, hold_back(lane, allowed, state.seconds_to_reset)) for lane in Lane
        },
        reserves={
            lane: after - before
            for lane, before, after in zip(Lane, whole_day, [*whole_day[1:], whole_day[-1]], strict=True)
        },
        exhausted=state.exhausted,
        enforced=policy.enabled,
    )
