"""What is known of the API's health: the present verdict of an account, and a month of samples behind it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from sqlalchemy import bindparam, delete, select

from pipedrive_assets.clock import Clock
from pipedrive_assets.state import tables
from pipedrive_assets.state.database import Database

KEPT_SECONDS = 30 * 86_400

_samples, _states = tables.health_samples, tables.health_states
_STATE = select(*[column for column in _states.c if column.name != "account"]).where(
    _states.c.account == bindparam("account")
)
_COLUMNS = [column for column in _samples.c if column.name != "account"]


class Verdict(StrEnum):
    """How the API is doing; unknown until something was asked."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HealthState:
    """The verdict at hand; times in epoch seconds.

    ``since`` is when it last became another one, ``failures`` counts probes that failed in a row, and
    ``probed_at`` is when the last probe was sent.
    """

    verdict: Verdict = Verdict.UNKNOWN
    reason: str = ""
    since: float = 0.0
    checked_at: float = 0.0
    failures: int = 0
    probed_at: float | None = None


@dataclass(frozen=True, slots=True)
class HealthSample:
    """One look at the API; ``at`` in epoch seconds.

    ``source`` is probe or traffic: whether a request was made for it. ``ok``: that request, or the last of
    the others, was answered. ``latency_ms`` and ``failure_percent`` are those of the window looked at.
    """

    at: float
    source: str
    verdict: Verdict
    reason: str
    ok: bool
    latency_ms: float | None
    failure_percent: float
    tokens_left: int | None
    memory_percent: float | None


class HealthStore:
    """Verdict and samples of one account."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self._database = database
        self._clock = clock
        self._account = account

    def state(self) -> HealthState:
        """The verdict at hand; unknown before the first check."""
        with self._database.read() as connection:
            row = connection.execute(_STATE, {"account": self._account}).one_or_none()
        if row is None:
            return HealthState()
        return HealthState(**{**row._mapping, "verdict": Verdict(row.verdict)})

    def save(self, state: HealthState) -> None:
        """Replace the verdict."""
        with self._database.begin() as connection:
            self._database.upsert(connection, _states, {"account": self._account, **asdict(state)})

    def claim_probe(self, now: float, *, pause: float) -> bool:
        """Take the right to send a probe at ``now``, unless one was sent within ``pause`` seconds before."""
        with self._database.begin():
            state = self.state()
            if state.probed_at is not None and 0 <= now - state.probed_at < pause:
                return False
            self.save(replace(state, probed_at=now))
            return True

    def add(self, sample: HealthSample) -> None:
        """Append a sample and drop those older than a month."""
        with self._database.begin() as connection:
            self._database.upsert(connection, _samples, {"account": self._account, **asdict(sample)})
            oldest = self._clock.time() - KEPT_SECONDS
            connection.execute(
                delete(_samples).where(_samples.c.account == self._account, _samples.c.at < oldest)
            )

    def samples(self, since: float) -> tuple[HealthSample, ...]:
        """Samples taken at ``since`` (epoch seconds) or later, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_COLUMNS)
                .where(_samples.c.account == self._account, _samples.c.at >= since)
                .order_by(_samples.c.at)
            ).all()
        return tuple(HealthSample(**{**row._mapping, "verdict": Verdict(row.verdict)}) for row in rows)
