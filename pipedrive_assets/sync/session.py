"""Puts the rooms together for one run: from settings to something that can sync.

Commands and Dagster's resource open a :class:`Session`. Opening asks nothing of the network and does not
touch the warehouse; the first use of ``account`` does both, so that a wrong token fails before anything is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from random import Random
from uuid import uuid4

from pipedrive_assets.api.auth import TokenAuth
from pipedrive_assets.api.budget import BudgetState
from pipedrive_assets.api.circuit_breaker import CircuitBreaker
from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.forecast import SECONDS_PER_HOUR, Forecast, forecast
from pipedrive_assets.api.health import PipedriveHealthChecker
from pipedrive_assets.api.lane_reserves import LaneReserves
from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.catalog import resolve_entities
from pipedrive_assets.catalog import spec as spec_of
from pipedrive_assets.catalog.price import incremental_price
from pipedrive_assets.catalog.spec import Tier
from pipedrive_assets.clock import Clock, SystemClock
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.account import AccountIdentity
from pipedrive_assets.state.breaker import BreakerSnapshot
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.spend import SpendLine
from pipedrive_assets.state.stats import RequestStats
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.sync.context import Progress, SyncContext, ignore_progress
from pipedrive_assets.sync.entity import sync_entity
from pipedrive_assets.sync.options import SyncOptions
from pipedrive_assets.sync.result import SyncResult
from pipedrive_assets.sync.status import StatusReport, entity_status
from pipedrive_assets.warehouse.store import Warehouse

MINUTES_PER_DAY = 1440


class Session:
    """One run's view of one account; made by :func:`open_session`."""

    def __init__(
        self, settings: PipedriveSettings, state: StateStore, run_id: str, clock: Clock, exits: ExitStack
    ) -> None:
        self.settings = settings
        self.state = state
        self.run_id = run_id
        self.clock = clock
        self.memory = PipedriveMemoryManager(settings, SystemProbe())
        self.warehouse = Warehouse(
            settings.warehouse,
            lock_timeout=settings.warehouse_lock_timeout,
            # Not more than half of what there is, or DuckDB alone could fill a small container.
            memory_limit_mb=min(settings.warehouse_memory_limit_mb, max(self.memory.limit_mb // 2, 128)),
            threads=settings.warehouse_threads,
            clock=clock,
        )
        self._auth = _auth(settings)
        self._exits = exits
        exits.callback(self.warehouse.close)

    @cached_property
    def account(self) -> AccountIdentity:
        """Company and user behind the token; asked once per token, then remembered by the state store.

        Errors raised: ``PipedriveAuthException`` for a wrong token; ``PipedriveWarehouseException`` where the
        warehouse holds another company.
        """
        self.warehouse.bind(self.identity)
        return self.identity

    @cached_property
    def identity(self) -> AccountIdentity:
        """Company and user behind the token; touches no warehouse."""
        return self.state.account_of(self._auth.fingerprint) or self.identify()

    @property
    def account_key(self) -> str:
        """Name under which the state store keeps this account."""
        return str(self.identity.company_id)

    @cached_property
    def client(self) -> PipedriveClient:
        """The door to the API, spending on the account's budget."""
        return self._open_client(self.account_key)

    @cached_property
    def paginator(self) -> PipedrivePaginator:
        """Reads lists through :attr:`client`."""
        return PipedrivePaginator(self.client, self.memory)

    @cached_property
    def stats(self) -> RequestStats:
        """Figures of the account's requests, those of this session included."""
        return self.state.stats(self.known_key)

    @cached_property
    def health(self) -> PipedriveHealthChecker:
        """Verdict on the API; asks it only where :meth:`PipedriveHealthChecker.check` has to."""
        return PipedriveHealthChecker(
            self.settings,
            self.state,
            self.known_key,
            client=self._open_client(self.known_key),
            stats=self.stats,
            limiter=self._limiter,
            memory=self.memory,
            clock=self.clock,
        )

    @property
    def entities(self) -> tuple[str, ...]:
        """Names of the enabled entities, in sync order."""
        return resolve_entities(self.settings.enabled_entities)

    def identify(self, *, lane: Lane = Lane.INCREMENTAL) -> AccountIdentity:
        """Ask the API who the token belongs to (2 tokens) and remember the answer; writes no warehouse."""
        client = self._open_client(self.known_key)
        identity = client.identity(lane=lane)
        self.state.remember_account(self._auth.fingerprint, identity)
        # What was spent before the company was known belongs to the company's budget, and to its figures.
        self._limiter.bind(str(identity.company_id))
        self.stats.bind(str(identity.company_id))
        # Made before the company was known it would keep its verdict under another name.
        self.__dict__.pop("health", None)
        return identity

    def sync(
        self,
        entity: str,
        options: SyncOptions | None = None,
        on_progress: Callable[[Progress], None] = ignore_progress,
    ) -> SyncResult:
        """Sync one entity; see :func:`pipedrive_assets.sync.entity.sync_entity`."""
        options = options or SyncOptions()
        if not options.dry_run:
            # Before any row is read: a warehouse of another company must refuse it.
            self.account  # noqa: B018
        context = SyncContext(
            settings=self.settings,
            paginator=self.paginator,
            memory=self.memory,
            warehouse=self.warehouse,
            state=self.state,
            account=self.account_key,
            run_id=self.run_id,
            clock=self.clock,
            on_progress=on_progress,
        )
        return sync_entity(spec_of(entity), options, context)

    def budget(self) -> BudgetState:
        """Tokens of the account's day: budget, spent, reserved, left."""
        return self._limiter.budget()

    def forecast(self, budget: BudgetState) -> Forecast:
        """Where the tokens of ``budget``, just asked for, are heading."""
        return forecast(
            budget,
            self.state.ledger(self.known_key).server_time(),
            self.stats.window(self.clock.time() - SECONDS_PER_HOUR).tokens if self._counts_requests else None,
        )

    def breaker(self) -> BreakerSnapshot:
        """The circuit breaker, as every process of the account sees it."""
        return self.state.breaker(self.known_key).snapshot()

    def disagreements(self) -> tuple[str, ...]:
        """Where settings and the API's last answers tell different limits; one sentence each."""
        return self._limiter.disagreements()

    def spend(self, days: int = 1) -> tuple[SpendLine, ...]:
        """What was spent on the last ``days`` days of the server, today among them, dearest first."""
        ledger = self.state.ledger(self.known_key)
        return ledger.spend(ledger.day().day, days=days)

    def status(self, runs: int = 10) -> StatusReport:
        """How far the copy is; asks the API nothing and works without a warehouse."""
        account = self.known_key
        return StatusReport(
            account=self.known_identity,
            entities=entity_status(self.state, account, self.entities, self.clock.time()),
            budget=self._limiter.budget(),
            warnings=self._limiter.disagreements(),
            breaker=self.breaker(),
            runs=tuple(self.warehouse.runs(runs)),
        )

    @property
    def known_identity(self) -> AccountIdentity | None:
        """Company and user behind the token, without asking the API: None until the token was seen once."""
        return self.state.account_of(self._auth.fingerprint)

    @property
    def known_key(self) -> str:
        """The account's key without asking the API: a provisional one until the token was seen once."""
        known = self.known_identity
        return self.provisional_key if known is None else str(known.company_id)

    @property
    def provisional_key(self) -> str:
        """Name under which things are kept while nobody knows whose token it is."""
        return f"token:{self._auth.fingerprint[:16]}"

    @property
    def _counts_requests(self) -> bool:
        return self.settings.monitoring_enabled or self.settings.health_monitoring_enabled

    @cached_property
    def _limiter(self) -> PipedriveRateLimitManager:
        known = self.state.account_of(self._auth.fingerprint)
        return PipedriveRateLimitManager(
            self.state,
            self.settings,
            clock=self.clock,
            token_key=self._auth.fingerprint,
            account=None if known is None else str(known.company_id),
            hold_back=LaneReserves(self.settings.lane_reserves, _schedules_per_day(self.settings)),
        )

    def _open_client(self, account: str) -> PipedriveClient:
        return self._exits.enter_context(
            PipedriveClient(
                self.settings,
                self._auth,
                self._limiter,
                CircuitBreaker.from_settings(self.state.breaker(account), self.settings, self.clock),
                clock=self.clock,
                # Jitter spreads retries; nothing depends on its being hard to guess.
                random=Random(),  # noqa: S311
                stats=self.stats if self._counts_requests else None,
            )
        )


@contextmanager
def open_session(
    settings: PipedriveSettings, *, run_id: str | None = None, clock: Clock | None = None
) -> Iterator[Session]:
    """Open a session for ``settings``; ``run_id`` is stored with every row it writes (default: a new one).

    Errors raised: ``PipedriveConfigException`` without a token, ``PipedriveStateException`` if the state
    store cannot be used.
    """
    _auth(settings)
    clock = clock or SystemClock()
    with ExitStack() as exits:
        state = exits.enter_context(StateStore.open(settings.state_url, clock=clock))
        yield Session(settings, state, run_id or f"cli-{uuid4()}", clock, exits)


def _schedules_per_day(settings: PipedriveSettings) -> int:
    """Tokens the core schedule takes on a day without changes; zero where it is off."""
    if not settings.incremental_schedule_enabled:
        return 0
    specs = [spec_of(name) for name in resolve_entities(settings.enabled_entities)]
    runs = MINUTES_PER_DAY / settings.incremental_schedule_minutes
    return round(runs * incremental_price(specs, tier=Tier.CORE))


def _auth(settings: PipedriveSettings) -> TokenAuth:
    if settings.token is None:
        raise PipedriveConfigException(
            "PIPEDRIVE_TOKEN is not set: copy your personal API token from Pipedrive (Settings, Personal"
            " preferences, API), or try `pipedrive-assets demo`, which needs none"
        )
    return TokenAuth(settings.token.get_secret_value())
