"""A degraded API gets half of the requests: what it answers slowly, it would answer more slowly still."""

from __future__ import annotations

from pipedrive_assets.api.health_verdict import is_current
from pipedrive_assets.clock import Clock
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.health import Verdict
from pipedrive_assets.state.store import StateStore

REREAD_SECONDS = 5.0
"""The verdict changes once in minutes; a read for each request would cost more than it tells."""


class HealthPace:
    """How many slots of a burst window may be used, by the verdict that the health checker keeps."""

    def __init__(self, store: StateStore, settings: PipedriveSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._halved = False
        self._read_for = ""
        self._read_again_at = 0.0

    def slots(self, limit: int, account: str) -> int:
        """``limit``, or half of it while the API of ``account`` is degraded; at least one."""
        if not self._settings.health_monitoring_enabled:
            return limit
        if account != self._read_for or self._clock.monotonic() >= self._read_again_at:
            state = self._store.health(account).state()
            self._halved = state.verdict is Verdict.DEGRADED and is_current(
                state, self._settings, self._clock.time()
            )
            self._read_for, self._read_again_at = account, self._clock.monotonic() + REREAD_SECONDS
        return max(1, limit // 2) if self._halved else limit
