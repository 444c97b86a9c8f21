"""Client and paginator on a real state store, for tests that need no warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from pipedrive_assets.api.auth import TokenAuth
from pipedrive_assets.api.circuit_breaker import CircuitBreaker
from pipedrive_assets.api.client import PipedriveClient
from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.api.paginator import PipedrivePaginator
from pipedrive_assets.api.rate_limit import PipedriveRateLimitManager
from pipedrive_assets.clock import Clock
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.store import StateStore

ACCOUNT = "1"


@dataclass(frozen=True)
class Wired:
    """What an API test works with."""

    client: PipedriveClient
    paginator: PipedrivePaginator
    limiter: PipedriveRateLimitManager


@contextmanager
def wired(settings: PipedriveSettings, clock: Clock) -> Iterator[Wired]:
    """The collaborators of one process, closed at the end."""
    assert settings.token is not None
    auth = TokenAuth(settings.token.get_secret_value())
    with StateStore.open(settings.state_url, clock=clock) as store:
        limiter = PipedriveRateLimitManager(
            store, settings, clock=clock, token_key=auth.fingerprint, account=ACCOUNT
        )
        breaker = CircuitBreaker.from_settings(store.breaker(ACCOUNT), settings, clock)
        with PipedriveClient(settings, auth, limiter, breaker, clock=clock, random=Random(3)) as client:
            memory = PipedriveMemoryManager(settings, SystemProbe())
            yield Wired(client, PipedrivePaginator(client, memory), limiter)
