"""Where settings and Pipedrive's own headers tell different limits, in sentences that say what to do.

Nothing breaks by it, since the smaller figure is kept. But a wrong plan makes schedules too rare or plans
runs that the day cannot pay, and nobody would know why.
"""

from __future__ import annotations

import logging
import threading

from pipedrive_assets.api.limit_policy import BURST_LIMITS
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import (
    PLAN_FACTORS,
    TOKENS_PER_SEAT,
    PipedriveSettings,
    daily_budget,
)

_log = get_logger(__name__)


def disagreements(
    settings: PipedriveSettings, header_limit: int | None, header_burst: int | None
) -> tuple[str, ...]:
    """One sentence for each two figures that differ: both of them, which one holds, what to set.

    ``header_limit`` is tokens a day, ``header_burst`` requests in two seconds, as the last answers named
    them; None where none did. A budget set to exactly the header's limit settles what plan and seats say.
    """
    found = (_setting_above(settings, header_limit), _plan_and_seats(settings, header_limit))
    return tuple(line for line in (*found, _burst(settings, header_burst)) if line)


class DisagreementLog:
    """Logs each disagreement once, when the answers first show it; safe to share between threads."""

    def __init__(self, settings: PipedriveSettings) -> None:
        self._settings = settings
        self._seen: tuple[int | None, int | None] = (None, None)
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def note(self, header_limit: int | None, header_burst: int | None) -> None:
        """Compare with what an answer's headers say, where that is new."""
        with self._lock:
            seen = (header_limit or self._seen[0], header_burst or self._seen[1])
            if seen == self._seen:
                return
            self._seen = seen
            news = [line for line in disagreements(self._settings, *seen) if line not in self._told]
            self._told.update(news)
        for line in news:
            log_event(_log, "budget_disagrees", logging.WARNING, reason=line)


def _setting_above(settings: PipedriveSettings, header_limit: int | None) -> str | None:
    setting = settings.daily_token_budget
    if setting is None:
        return None
    if header_limit is not None:
        if setting <= header_limit:
            return None
        return (
            f"PIPEDRIVE_DAILY_TOKEN_BUDGET allows {setting:,} tokens a day, but Pipedrive's answers name"
            f" {header_limit:,}: {header_limit:,} holds; set it to {header_limit} or less, or remove it"
        )
    plan = settings.plan_budget
    if plan is None or setting <= plan:
        return None
    return (
        f"PIPEDRIVE_DAILY_TOKEN_BUDGET allows {setting:,} tokens a day, but {_named(settings)} bring"
        f" {plan:,}: {setting:,} holds until an answer names the account's limit; set it to {plan} or"
        " less, or correct plan and seats"
    )


def _plan_and_seats(settings: PipedriveSettings, header_limit: int | None) -> str | None:
    plan = settings.plan_budget
    if plan is None or header_limit is None or plan == header_limit:
        return None
    if settings.daily_token_budget == header_limit:
        return None
    holds = daily_budget(settings, header_limit)
    seats = header_limit / (TOKENS_PER_SEAT * PLAN_FACTORS[settings.plan or "lite"])
    advice = (
        f"set PIPEDRIVE_SEATS={seats:.0f}, or correct PIPEDRIVE_PLAN"
        if seats >= 1 and seats.is_integer()
        else "correct PIPEDRIVE_PLAN and PIPEDRIVE_SEATS"
    )
    return (
        f"{_named(settings)} bring {plan:,} tokens a day, but Pipedrive's answers name {header_limit:,}:"
        f" {holds.tokens:,} holds ({holds.origin}); {advice}, or set"
        f" PIPEDRIVE_DAILY_TOKEN_BUDGET={header_limit} where tokens were bought besides"
    )


def _burst(settings: PipedriveSettings, header_burst: int | None) -> str | None:
    if settings.plan is None or header_burst is None or BURST_LIMITS[settings.plan] == header_burst:
        return None
    fitting = next((plan for plan, limit in BURST_LIMITS.items() if limit == header_burst), None)
    advice = "correct PIPEDRIVE_PLAN" if fitting is None else f"set PIPEDRIVE_PLAN={fitting}"
    return (
        f"PIPEDRIVE_PLAN={settings.plan} allows {BURST_LIMITS[settings.plan]} requests in two seconds, but"
        f" Pipedrive's answers name {header_burst}: {header_burst} holds; {advice}"
    )


def _named(settings: PipedriveSettings) -> str:
    return f"PIPEDRIVE_PLAN={settings.plan} and PIPEDRIVE_SEATS={settings.seats}"
