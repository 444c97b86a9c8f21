"""The state store: opened once per process, handed to whoever must remember something across processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from pipedrive_assets.clock import Clock
from pipedrive_assets.state.account import AccountBook, AccountIdentity
from pipedrive_assets.state.alerts import AlertStore
from pipedrive_assets.state.breaker import BreakerStore
from pipedrive_assets.state.database import Database
from pipedrive_assets.state.events import EventLog
from pipedrive_assets.state.health import HealthStore
from pipedrive_assets.state.leases import LeaseStore
from pipedrive_assets.state.ledger import TokenLedger
from pipedrive_assets.state.migrate import migrate
from pipedrive_assets.state.outcomes import OutcomeLog
from pipedrive_assets.state.stats import RequestStats
from pipedrive_assets.state.watermarks import WatermarkMirror
from pipedrive_assets.state.window import BurstWindow


class StateStore:
    """Everything in it is keyed by account, except windows and identities, which belong to a token."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Clock) -> StateStore:
        """Open the store at a database URL, creating folder, file and tables where they are missing.

        :raises PipedriveStateException: the URL is of no known kind, or the store is of a newer version,
            damaged, or cannot be written; it is left as it was
        """
        database = Database(url)
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that is done inside, by this thread, one atomic step; an exception undoes it."""
        with self._database.begin():
            yield

    def account_of(self, token_key: str) -> AccountIdentity | None:
        """The account behind a token's fingerprint, None if it was never seen."""
        return AccountBook(self._database, self._clock).find(token_key)

    def remember_account(self, token_key: str, identity: AccountIdentity) -> None:
        """Keep the account behind a token's fingerprint."""
        AccountBook(self._database, self._clock).remember(token_key, identity)

    def ledger(self, account: str) -> TokenLedger:
        """Tokens spent and reserved."""
        return TokenLedger(self._database, self._clock, account)

    def window(self, token_key: str) -> BurstWindow:
        """Slots of the burst window."""
        return BurstWindow(self._database, self._clock, token_key)

    def breaker(self, account: str) -> BreakerStore:
        """Memory of the circuit breaker."""
        return BreakerStore(self._database, account, self.events(account))

    def events(self, account: str) -> EventLog:
        """What happened that people may want to know."""
        return EventLog(self._database, self._clock, account)

    def leases(self, account: str) -> LeaseStore:
        """Leases by name."""
        return LeaseStore(self._database, self._clock, account)

    def watermarks(self, account: str) -> WatermarkMirror:
        """How far each entity is."""
        return WatermarkMirror(self._database, account)

    def stats(self, account: str) -> RequestStats:
        """Figures of requests; one object per session, which keeps what it has not written yet."""
        return RequestStats(self._database, self._clock, account)

    def outcomes(self, account: str) -> OutcomeLog:
        """How syncs ended."""
        return OutcomeLog(self._database, self._clock, account)

    def health(self, account: str) -> HealthStore:
        """Verdict on the API and the samples behind it."""
        return HealthStore(self._database, self._clock, account)

    def alerts(self, account: str) -> AlertStore:
        """What is raised, and what people have yet to be told."""
        return AlertStore(self._database, self._clock, account)

    def close(self) -> None:
        """Close the connections of this process."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
