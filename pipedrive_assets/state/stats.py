"""What requests took and what became of them, added up over all processes: by minute and since ever.

Minutes answer "how is the API now", totals feed counters. A process keeps its figures for up to a second, so
that a request costs no transaction of its own; what a killed process had not written yet is lost, and
nothing depends on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from pipedrive_assets.clock import CLOCKS_APART_SECONDS, Clock
from pipedrive_assets.exceptions import PipedriveStateException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

KEPT_SECONDS = 30 * 86_400
"""How long minutes are kept."""
AHEAD_SECONDS = 60.0
"""By how much another process may be ahead of this one and still be heard."""
FLUSH_SECONDS = 1.0
PRUNE_SECONDS = 3600.0

_log = get_logger(__name__)
_minutes, _totals = tables.request_minutes, tables.request_totals
_MINUTE_COUNTS = ("requests", "failures", "refusals", "tokens", "seconds", "wait_seconds")
_TOTAL_COUNTS = ("requests", "retries", "tokens", "seconds", "wait_seconds")
_WINDOW = select(
    func.coalesce(func.sum(_minutes.c.requests), 0).label("requests"),
    func.coalesce(func.sum(_minutes.c.failures), 0).label("failures"),
    func.coalesce(func.sum(_minutes.c.refusals), 0).label("refusals"),
    func.coalesce(func.sum(_minutes.c.tokens), 0).label("tokens"),
    func.coalesce(func.sum(_minutes.c.seconds), 0.0).label("seconds"),
    func.coalesce(func.sum(_minutes.c.wait_seconds), 0.0).label("wait_seconds"),
    func.max(_minutes.c.last_success_at).label("last_success_at"),
).where(
    _minutes.c.account == bindparam("account"),
    _minutes.c.minute.between(bindparam("first"), bindparam("last")),
)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request and its outcome.

    ``status`` is the HTTP status as text, or the class of the failure: without an answer, or with one that
    says 200 and is none (mangled, refused). ``failed``: no
    answer, or one that counts for the circuit breaker; ``refused``: any other error answer. ``seconds`` went
    to HTTP, ``wait_seconds`` to the rate limit.
    """

    endpoint: str
    status: str
    failed: bool
    refused: bool
    retry: bool
    tokens: int
    seconds: float
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class RequestWindow:
    """Requests of all processes in a span of time; ``last_success_at`` is its last good answer (epoch)."""

    requests: int = 0
    failures: int = 0
    refusals: int = 0
    tokens: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    last_success_at: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """Mean time from sending a request to its end; None without requests."""
        return 1000 * self.seconds / self.requests if self.requests else None

    @property
    def failure_percent(self) -> float:
        """Share of requests that got no answer, or one that shows the server broken."""
        return 100.0 * self.failures / self.requests if self.requests else 0.0

    def __add__(self, other: RequestWindow) -> RequestWindow:
        """Both together."""
        known = [at for at in (self.last_success_at, other.last_success_at) if at is not None]
        return RequestWindow(
            self.requests + other.requests,
            self.failures + other.failures,
            self.refusals + other.refusals,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.wait_seconds + other.wait_seconds,
            max(known, default=None),
        )


@dataclass(frozen=True, slots=True)
class RequestTotal:
    """All requests to one endpoint that ended with one status, since the state store was made."""

    endpoint: str
    status: str
    requests: int = 0
    retries: int = 0
    tokens: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0

    def __add__(self, other: RequestTotal) -> RequestTotal:
        """Both together."""
        return RequestTotal(
            self.endpoint,
            self.status,
            self.requests + other.requests,
            self.retries + other.retries,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.wait_seconds + other.wait_seconds,
        )


class RequestStats:
    """The figures of one account, written by any number of threads and processes."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._lock = threading.Lock()
        self._by_minute: dict[int, RequestWindow] = {}
        self._by_endpoint: dict[tuple[str, str], RequestTotal] = {}
        # At once, so that a process that asks once and then waits does not keep it to itself.
        self._flush_at = clock.monotonic()
        self._prune_at = clock.monotonic()

    def bind(self, account: str) -> None:
        """Count for ``account`` from now on, and take along what was counted before it was known."""
        if account == self._account:
            return
        self.flush()
        with self._database.begin() as connection:
            for table, counts in ((_minutes, _MINUTE_COUNTS), (_totals, _TOTAL_COUNTS)):
                mine = table.c.account == self._account
                for row in connection.execute(select(table).where(mine)).all():
                    values = {**row._mapping, "account": account}
                    self._database.upsert(connection, table, _known(values), add=counts)
                connection.execute(delete(table).where(mine))
        self._account = account

    def note(self, facts: RequestFacts) -> None:
        """Count one request that has just ended; now and then writes what has come together."""
        now = self._clock.time()
        minute = int(now // 60)
        succeeded = not (facts.failed or facts.refused)
        window = RequestWindow(
            requests=1,
            failures=int(facts.failed),
            refusals=int(facts.refused),
            tokens=facts.tokens,
            seconds=facts.seconds,
            wait_seconds=facts.wait_seconds,
            last_success_at=now if succeeded else None,
        )
        total = RequestTotal(
            facts.endpoint,
            facts.status,
            requests=1,
            retries=int(facts.retry),
            tokens=facts.tokens,
            seconds=facts.seconds,
            wait_seconds=facts.wait_seconds,
        )
        with self._lock:
            self._keep({minute: window}, {(facts.endpoint, facts.status): total})
            due = self._clock.monotonic() >= self._flush_at
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what has come together. If the store cannot be written it is kept for the next time.

        Statistics never fail a request: whoever must write to the store for the request itself says what is
        wrong with it.
        """
        with self._lock:
            minutes, totals = self._by_minute, self._by_endpoint
            self._by_minute, self._by_endpoint = {}, {}
            self._flush_at = self._clock.monotonic() + FLUSH_SECONDS
        if not minutes:
            return
        try:
            self._write(minutes, totals)
        except PipedriveStateException as error:
            with self._lock:
                self._keep(minutes, totals)
            log_event(_log, "statistics_not_written", logging.WARNING, reason=str(error))

    def window(self, since: float) -> RequestWindow:
        """What all processes have written for the minutes from that of ``since`` (epoch seconds) to now.

        Later ones are of a clock that ran ahead and was set back.
        """
        minutes = {"first": int(since // 60), "last": self._minute(AHEAD_SECONDS)}
        with self._database.read() as connection:
            row = connection.execute(_WINDOW, {"account": self._account, **minutes}).one()
        return RequestWindow(**row._mapping)

    def totals(self) -> tuple[RequestTotal, ...]:
        """Every endpoint and status that was ever met, in order of name."""
        columns = [column for column in _totals.c if column.name != "account"]
        with self._database.read() as connection:
            rows = connection.execute(
                select(*columns)
                .where(_totals.c.account == self._account)
                .order_by(_totals.c.endpoint, _totals.c.status)
            ).all()
        return tuple(RequestTotal(**row._mapping) for row in rows)

    def _keep(
        self, minutes: Mapping[int, RequestWindow], totals: Mapping[tuple[str, str], RequestTotal]
    ) -> None:
        for minute, window in minutes.items():
            self._by_minute[minute] = self._by_minute.get(minute, RequestWindow()) + window
        for key, total in totals.items():
            self._by_endpoint[key] = self._by_endpoint.get(key, RequestTotal(*key)) + total

    def _write(
        self, minutes: Mapping[int, RequestWindow], totals: Mapping[tuple[str, str], RequestTotal]
    ) -> None:
        with self._database.begin() as connection:
            for minute, window in minutes.items():
                values = {"account": self._account, "minute": minute, **asdict(window)}
                self._database.upsert(connection, _minutes, _known(values), add=_MINUTE_COUNTS)
            for total in totals.values():
                self._database.upsert(
                    connection,
                    _totals,
                    {"account": self._account, **asdict(total)},
                    add=_TOTAL_COUNTS,
                )
            if self._clock.monotonic() >= self._prune_at:
                self._prune_at = self._clock.monotonic() + PRUNE_SECONDS
                kept = _minutes.c.minute.between(
                    self._minute(-KEPT_SECONDS),
                    # Or they would be taken for news when their time comes.
                    self._minute(CLOCKS_APART_SECONDS),
                )
                connection.execute(delete(_minutes).where(_minutes.c.account == self._account, ~kept))

    def _minute(self, seconds: float) -> int:
        """The minute that it is in ``seconds`` from now."""
        return int((self._clock.time() + seconds) // 60)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without ``last_success_at`` where there was none: the minute may hold a success of another process."""
    return {name: value for name, value in values.items() if value is not None}
