"""Leases: one holder per name, across processes; a holder that dies is replaced.

On the same host a dead process is seen at once; otherwise its lease runs out. A holder keeps its lease by
renewing it, which :meth:`Lease.kept` does from a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, select, update

from pipedrive_assets.clock import Clock
from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.process import ProcessId

DEFAULT_TTL_SECONDS = 60.0
POLL_SECONDS = 0.5

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who holds a lease; ``since`` and ``expires_at`` in epoch seconds."""

    owner: str
    since: float
    expires_at: float


OnWait = Callable[[LeaseHolder | None], None]
"""Told whom one waits for: at the start of the wait, and whenever the holder changes."""


@dataclass(slots=True)
class Lease:
    """A lease that was granted; ``lost`` turns true when a renewal finds it gone."""

    store: LeaseStore = field(repr=False)
    name: str
    owner: str
    lease_id: str
    ttl: float
    lost: bool = False

    def renew(self) -> bool:
        """Hold it for another ``ttl`` seconds; False if somebody else has it by now."""
        if not self.store.renew(self):
            self.lost = True
        return not self.lost

    def release(self) -> None:
        """Give it up; nothing happens if it was lost."""
        self.store.release(self)

    @contextmanager
    def kept(self) -> Iterator[Lease]:
        """Renew in the background while the block runs, and release at its end."""
        done = threading.Event()
        # Real time, whatever clock the store has: a heartbeat must beat while everything else stands still.
        heart = threading.Thread(target=self._beat, args=(done,), name=f"lease {self.name}", daemon=True)
        heart.start()
        try:
            yield self
        finally:
            done.set()
            heart.join()
            self.release()

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(self.ttl / 3):
            try:
                if not self.renew():
                    log_event(_log, "lease_lost", name_of_lease=self.name, owner=self.owner)
                    return
            except PipedriveStateException as error:
                # Two more beats fit into the lease's time: a busy store is not yet a lost lease.
                log_event(_log, "lease_renewal_failed", name_of_lease=self.name, error=str(error))


class LeaseStore:
    """The leases of one account."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account

    def acquire(self, name: str, owner: str, ttl: float = DEFAULT_TTL_SECONDS) -> Lease | None:
        """Take the lease ``name`` for ``ttl`` seconds, None if somebody alive holds it.

        ``owner`` is what others are told; the same owner asking twice is refused like any other.
        """
        now = self._clock.time()
        process = ProcessId.current()
        with self._database.begin() as connection:
            row = self._row(connection, name)
            if row is not None and not self._is_free(row, process, now):
                return None
            lease = Lease(self, name, owner, uuid4().hex, ttl)
            self._database.upsert(
                connection,
                tables.leases,
                {
                    "account": self._account,
                    "name": name,
                    "lease_id": lease.lease_id,
                    "owner": owner,
                    "host": process.host,
                    "pid": process.pid,
                    "started": process.started,
                    "since": now,
                    "expires_at": now + ttl,
                },
            )
            return lease

    def wait(
        self,
        name: str,
        owner: str,
        ttl: float = DEFAULT_TTL_SECONDS,
        timeout: float | None = None,
        on_wait: OnWait | None = None,
    ) -> Lease:
        """Take the lease as soon as it is free.

        :raises PipedriveStateException: ``timeout`` seconds went by (retryable); without one it waits on
        """
        started = self._clock.monotonic()
        told: LeaseHolder | None = None
        while (lease := self.acquire(name, owner, ttl)) is None:
            holder = self.holder(name)
            if on_wait is not None and holder is not None and _another(holder, told):
                on_wait(holder)
                told = holder
            waited = self._clock.monotonic() - started
            if timeout is not None and waited >= timeout:
                held_by = holder.owner if holder is not None else "another process"
                raise PipedriveStateException(
                    f"{name} is held by {held_by}; gave up after {waited:.0f} s", retryable=True
                )
            self._clock.sleep(POLL_SECONDS if timeout is None else min(POLL_SECONDS, timeout - waited))
        return lease

    def holder(self, name: str) -> LeaseHolder | None:
        """Who holds the lease now, None if it can be had."""
        with self._database.read() as connection:
            row = self._row(connection, name)
        if row is None or self._is_free(row, ProcessId.current(), self._clock.time()):
            return None
        return LeaseHolder(row.owner, row.since, row.expires_at)

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease by its ttl; False if it is no longer this one."""
        with self._database.begin() as connection:
            result = connection.execute(
                update(tables.leases)
                .where(*self._same(lease))
                .values(expires_at=self._clock.time() + lease.ttl)
            )
            return result.rowcount == 1

    def release(self, lease: Lease) -> None:
        """Give a lease up, if it is still this one."""
        with self._database.begin() as connection:
            connection.execute(delete(tables.leases).where(*self._same(lease)))

    def _same(self, lease: Lease) -> tuple[Any, ...]:
        leases = tables.leases
        return (
            leases.c.account == self._account,
            leases.c.name == lease.name,
            leases.c.lease_id == lease.lease_id,
        )

    def _row(self, connection: Connection, name: str) -> Row[Any] | None:
        leases = tables.leases
        return connection.execute(
            select(leases).where(leases.c.account == self._account, leases.c.name == name)
        ).one_or_none()

    @staticmethod
    def _is_free(row: Row[Any], observer: ProcessId, now: float) -> bool:
        return row.expires_at <= now or ProcessId(row.host, row.pid, row.started).known_dead(observer)


def _another(holder: LeaseHolder, told: LeaseHolder | None) -> bool:
    return told is None or (holder.owner, holder.since) != (told.owner, told.since)
