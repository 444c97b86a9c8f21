"""One look: take note of every condition, queue what is to be told, and hand it to the channels.

Queuing and delivering are apart: what a channel does not take stays queued for the next look, and neither
another channel nor whoever called is any the worse for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipedrive_assets.alerts.channels import Channel, ChannelError
from pipedrive_assets.alerts.conditions import conditions, kind_of, watched
from pipedrive_assets.alerts.messages import compose
from pipedrive_assets.alerts.snapshot import read_snapshot
from pipedrive_assets.clock import Clock
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.alerts import AlertState, AlertStore, Observation
from pipedrive_assets.sync.session import Session

DELIVERY_SECONDS = 20.0
"""No further message is begun after this, since a sensor's tick must end within a minute."""

_log = get_logger(__name__)


@dataclass(slots=True)
class Delivery:
    """What the channels took: how many messages, and by channel why one was not."""

    delivered: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def look(session: Session, channels: Sequence[Channel], also: Iterable[Observation] = ()) -> Delivery:
    """Look at the account once and tell what is new; ``also`` is what others have observed."""
    store = alert_store(session)
    kinds = watched(session.settings)
    unwatched = [each.condition for each in store.states() if kind_of(each.condition) not in kinds]
    if unwatched:
        store.unwatch(unwatched)
    take_note(session, [*conditions(read_snapshot(session), session.settings), *also], channels)
    return deliver(
        store,
        channels,
        clock=session.clock,
        account=account_name(session.known_identity),
        runbook_url=session.settings.alert_runbook_url,
    )


def alert_store(session: Session) -> AlertStore:
    """The account's alerts, with those from before its company was known."""
    store = session.state.alerts(session.known_key)
    if session.known_key != session.provisional_key:
        store.adopt(session.provisional_key)
    return store


def take_note(
    session: Session, observations: Iterable[Observation], channels: Sequence[Channel]
) -> tuple[AlertState, ...]:
    """Remember what is watched of the observations and queue what is to be told; returns what changed.

    Waits for no channel: the next look delivers.
    """
    kinds = watched(session.settings)
    changed = alert_store(session).observe(
        [each for each in observations if kind_of(each.condition) in kinds],
        [channel.name for channel in channels],
    )
    for each in changed:
        log_event(
            _log,
            "alert_raised" if each.raised else "alert_over",
            logging.INFO,  # for people there is the log channel
            condition=each.condition,
            severity=each.severity,
            detail=each.detail,
        )
    return changed


def deliver(
    store: AlertStore, channels: Sequence[Channel], *, clock: Clock, account: str, runbook_url: str
) -> Delivery:
    """Hand over what waits; a channel that fails is left alone until the next look."""
    done = Delivery()
    ends = clock.monotonic() + DELIVERY_SECONDS
    for channel in channels:
        while clock.monotonic() < ends and (message := store.claim(channel.name)) is not None:
            try:
                channel.send(compose(message, account=account, runbook_url=runbook_url))
            except Exception as error:  # whatever it is, the other channels and the run go on
                reason = str(error) if isinstance(error, ChannelError) else type(error).__name__
                store.failed(message, reason)
                done.failed[channel.name] = reason
                log_event(
                    _log,
                    "alert_not_delivered",
                    logging.ERROR,
                    channel=channel.name,
                    condition=message.condition,
                    attempt=message.attempts,
                    reason=reason,
                )
                break
            store.delivered(message)
            done.delivered += 1
    return done


def account_name(identity: AccountIdentity | None) -> str:
    """How messages call the account."""
    return "account not known yet" if identity is None else identity.company_name
