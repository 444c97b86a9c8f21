"""The circuit breaker: after failures in a row, ask nothing for a while, then ask once.

Only transport failures and server errors count; an error answer shows that the server is up. The state is
shared by all processes, the half-open probe is one request of one of them.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from pipedrive_assets.clock import Clock
from pipedrive_assets.exceptions import PipedriveCircuitOpenException, PipedriveException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.breaker import BreakerSnapshot, BreakerState, BreakerStore, Transition
from pipedrive_assets.state.process import ProcessId

_log = get_logger(__name__)


class CircuitBreaker:
    """Gate of every request: :meth:`before_request`, then, in the same thread, what came of it.

    ``timeout`` (seconds) is the first pause; it doubles with each probe that fails, up to an hour.
    ``probe_seconds`` is how long a probe may take before somebody else may try.
    """

    def __init__(
        self,
        store: BreakerStore,
        *,
        threshold: int,
        timeout: float,
        probe_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._threshold = threshold
        self._timeout = timeout
        self._probe_seconds = probe_seconds
        self._clock = clock

    @classmethod
    def from_settings(cls, store: BreakerStore, settings: PipedriveSettings, clock: Clock) -> CircuitBreaker:
        """The breaker that the settings ask for."""
        return cls(
            store,
            threshold=settings.circuit_breaker_threshold,
            timeout=settings.circuit_breaker_timeout,
            # A probe may wait for its slot and then take a full timeout to connect and another to read.
            probe_seconds=max(60.0, 3 * settings.request_timeout),
            clock=clock,
        )

    def before_request(self) -> None:
        """Let a request pass, or raise ``PipedriveCircuitOpenException`` without any request being made."""
        now = self._clock.time()
        transition = self._store.admit(_owner(), now=now, probe_seconds=self._probe_seconds)
        self._report(transition)
        if not transition.allowed:
            raise self._closed_door(transition.after, now)

    def success(self) -> None:
        """The server answered, if only with an error of the caller's making."""
        self._report(self._store.record_success(_owner(), now=self._clock.time()))

    def failure(self, error: PipedriveException) -> None:
        """The server did not answer, or answered that it is broken; ``error`` says how."""
        self._report(
            self._store.record_failure(
                _owner(),
                now=self._clock.time(),
                threshold=self._threshold,
                timeout=self._timeout,
                cause={
                    "error": type(error).__name__,
                    "message": error.message,
                    "endpoint": error.context.endpoint,
                    "status": error.context.status,
                },
            )
        )

    def abandon(self) -> None:
        """The request was not made after all: if it was the probe, the next who asks makes it."""
        self._report(self._store.release(_owner(), now=self._clock.time()))

    def snapshot(self) -> BreakerSnapshot:
        """The breaker's state, for those who only want to look."""
        return self._store.snapshot()

    @staticmethod
    def _closed_door(snapshot: BreakerSnapshot, now: float) -> PipedriveCircuitOpenException:
        next_try = snapshot.shut_until(now) or now
        moment = datetime.fromtimestamp(next_try, UTC)
        reason = (
            "one request is testing whether the server is back"
            if snapshot.state is BreakerState.HALF_OPEN
            else f"{snapshot.failures} requests failed in a row"
        )
        return PipedriveCircuitOpenException(
            f"the circuit breaker is {snapshot.state.value.replace('_', '-')}: {reason}",
            next_try_at=moment,
            retry_after=max(0.0, next_try - now),
        )

    @staticmethod
    def _report(transition: Transition) -> None:
        if not transition.changed:
            return
        after = transition.after
        opened = after.state is BreakerState.OPEN
        log_event(
            _log,
            f"circuit_{after.state.value}",
            logging.WARNING if opened else logging.INFO,
            was=transition.before.state,
            failures=after.failures,
            opens=after.opens,
            next_try_at=datetime.fromtimestamp(after.next_try_at, UTC) if opened else None,
        )


def _owner() -> str:
    """A request lives in one thread from the question to the outcome, so the thread is the prober."""
    return f"{ProcessId.current()}:{threading.get_ident()}"
