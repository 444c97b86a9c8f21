"""The circuit breaker's memory, shared by every process that calls the same account.

Each transition is an event (:mod:`~pipedrive_assets.state.events`), recorded in the transition's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, select

from pipedrive_assets.clock import CLOCKS_APART_SECONDS
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.events import EventLog

TIMEOUT_CAP_SECONDS = 3600.0
"""The longest pause."""

_LOAD = select(tables.breakers).where(tables.breakers.c.account == bindparam("account"))


class BreakerState(StrEnum):
    """Closed: requests pass. Open: none does. Half-open: one probe is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """The breaker at one moment; times in epoch seconds.

    ``failures`` counts in a row, ``opens`` how often it opened since it last closed. ``probe_owner`` may send
    one request until ``probe_expires_at``; then the right passes to the next who asks, so that a killed
    prober does not keep the breaker open for ever.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opens: int = 0
    next_try_at: float = 0.0
    probe_owner: str | None = None
    probe_expires_at: float | None = None

    def shut_until(self, now: float) -> float | None:
        """Until when no request is let through, as seen at ``now``; None if one would be."""
        if self.state is BreakerState.CLOSED:
            return None
        probing = self.probe_expires_at if self.state is BreakerState.HALF_OPEN else None
        ahead = [at for at in (self.next_try_at, probing) if at is not None and _ahead(at, now)]
        return max(ahead, default=None)


@dataclass(frozen=True, slots=True)
class Transition:
    """What a call did to the breaker; ``allowed`` tells whether a request may be sent."""

    before: BreakerSnapshot
    after: BreakerSnapshot
    allowed: bool = True

    @property
    def changed(self) -> bool:
        """Whether the state is another one now."""
        return self.before.state is not self.after.state

    @property
    def detail(self) -> dict[str, Any]:
        """What its event tells, in plain JSON; times in epoch seconds.

        ``failures`` are those in a row up to now, also for the closing that ends them.
        """
        opened = self.after.state is BreakerState.OPEN
        return {
            "was": self.before.state.value,
            "failures": max(self.before.failures, self.after.failures),
            "opens": max(self.before.opens, self.after.opens),
            "next_try_at": self.after.next_try_at if opened else None,
        }


class BreakerStore:
    """Each method is one transition in one transaction."""

    def __init__(self, database: Database, account: str, events: EventLog) -> None:
        self._database = database
        self._account = account
        self._events = events

    def snapshot(self) -> BreakerSnapshot:
        """The breaker as it is."""
        with self._database.read() as connection:
            return self._load(connection)

    def admit(self, owner: str, *, now: float, probe_seconds: float) -> Transition:
        """Ask to send a request; once the pause is over, one owner at a time gets the probe."""
        current = self.snapshot()
        if current.state is BreakerState.CLOSED:
            return Transition(current, current)
        with self._database.begin() as connection:
            current = self._load(connection)
            if current.state is BreakerState.CLOSED:
                return Transition(current, current)
            if current.shut_until(now) is not None:
                return Transition(current, current, allowed=False)
            probe = replace(
                current,
                state=BreakerState.HALF_OPEN,
                probe_owner=owner,
                probe_expires_at=now + probe_seconds,
            )
            return self._change(connection, current, probe, now)

    def record_success(self, owner: str, *, now: float) -> Transition:
        """An answer came; it closes the breaker only if it is the probe's."""
        current = self.snapshot()
        if current == BreakerSnapshot():
            return Transition(current, current)
        with self._database.begin() as connection:
            current = self._load(connection)
            is_probe = current.state is BreakerState.HALF_OPEN and current.probe_owner == owner
            if current.state is not BreakerState.CLOSED and not is_probe:
                # An answer to a request from before the breaker opened says nothing about now.
                return Transition(current, current)
            return self._change(connection, current, BreakerSnapshot(), now)

    def record_failure(
        self,
        owner: str,
        *,
        now: float,
        threshold: int,
        timeout: float,
        cause: Mapping[str, Any] | None = None,
    ) -> Transition:
        """No answer, or a server error; opens at ``threshold`` in a row, or at once if it was the probe.

        ``cause`` is what failed, in plain JSON, for the event of an opening.
        """
        with self._database.begin() as connection:
            current = self._load(connection)
            is_probe = current.state is BreakerState.HALF_OPEN and current.probe_owner == owner
            if current.state is not BreakerState.CLOSED and not is_probe:
                return Transition(current, current)
            failures = current.failures + 1
            if is_probe or failures >= threshold:
                pause = min(TIMEOUT_CAP_SECONDS, timeout * 2.0 ** min(current.opens, 20))
                after = BreakerSnapshot(
                    BreakerState.OPEN, failures, current.opens + 1, next_try_at=now + max(pause, 0.0)
                )
            else:
                after = replace(current, failures=failures)
            return self._change(connection, current, after, now, cause)

    def release(self, owner: str, *, now: float) -> Transition:
        """Give an unused probe back: the breaker is open again, with its pause over as it was."""
        current = self.snapshot()
        if current.state is not BreakerState.HALF_OPEN or current.probe_owner != owner:
            return Transition(current, current)
        with self._database.begin() as connection:
            current = self._load(connection)
            if current.state is not BreakerState.HALF_OPEN or current.probe_owner != owner:
                return Transition(current, current)
            after = replace(current, state=BreakerState.OPEN, probe_owner=None, probe_expires_at=None)
            return self._change(connection, current, after, now)

    def _load(self, connection: Connection) -> BreakerSnapshot:
        row = connection.execute(_LOAD, {"account": self._account}).one_or_none()
        if row is None:
            return BreakerSnapshot()
        return BreakerSnapshot(
            BreakerState(row.state),
            row.failures,
            row.opens,
            row.next_try_at,
            row.probe_owner,
            row.probe_expires_at,
        )

    def _change(
        self,
        connection: Connection,
        before: BreakerSnapshot,
        after: BreakerSnapshot,
        now: float,
        cause: Mapping[str, Any] | None = None,
    ) -> Transition:
        self._save(connection, after, now)
        transition = Transition(before, after)
        if transition.changed:
            self._events.record(f"circuit_{after.state.value}", transition.detail | dict(cause or {}), at=now)
        return transition

    def _save(self, connection: Connection, snapshot: BreakerSnapshot, now: float) -> None:
        self._database.upsert(
            connection,
            tables.breakers,
            {
                "account": self._account,
                "state": snapshot.state.value,
                "failures": snapshot.failures,
                "opens": snapshot.opens,
                "next_try_at": snapshot.next_try_at,
                "probe_owner": snapshot.probe_owner,
                "probe_expires_at": snapshot.probe_expires_at,
                "changed_at": now,
            },
        )


def _ahead(moment: float, now: float) -> bool:
    """Whether a moment that somebody set is still to come."""
    return now < moment <= now + TIMEOUT_CAP_SECONDS + CLOCKS_APART_SECONDS
