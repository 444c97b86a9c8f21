"""The limits that Pipedrive last named for the token, to price schedules against the real budget."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.settings import PipedriveSettings


class LastLimits(NamedTuple):
    """What the last response headers named; None before the first answer.

    ``daily`` is tokens a day, ``burst`` requests in two seconds.
    """

    daily: int | None = None
    burst: int | None = None


def last_limits(settings: PipedriveSettings) -> LastLimits:
    """The limits that Pipedrive last named for the token.

    Reads the state store if there is one; never creates it, and never fails: definitions must load, and
    whoever spends tokens opens the store again and says what is wrong with it.
    """
    if settings.token is None or not store_exists(settings.state_url):
        return LastLimits()
    # Imported late: loading definitions without a token needs none of it.
    from pipedrive_assets.api.auth import token_fingerprint
    from pipedrive_assets.state.store import StateStore

    token_key = token_fingerprint(settings.token.get_secret_value())
    try:
        with StateStore.open(settings.state_url, clock=SystemClock()) as state:
            account = state.account_of(token_key)
            daily = None if account is None else state.ledger(str(account.company_id)).day().header_limit
            return LastLimits(daily, state.window(token_key).state().header_limit)
    except PipedriveStateException:
        return LastLimits()


def store_exists(url: str) -> bool:
    """Whether there is a state store at ``url``, which opening it would otherwise create."""
    try:
        database = make_url(url).database
    except ArgumentError:
        return False
    return bool(database) and Path(str(database)).exists()
