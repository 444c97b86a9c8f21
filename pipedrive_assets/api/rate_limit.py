"""When a request may leave: its tokens reserved in the day's ledger, its slot booked in the 2-second window.

Both are one transaction in the state store, so that all threads and processes of a token share them. The
thread then sleeps until its slot. After the answer the reservation is settled against the headers.

Invariant: a request leaves only if, of those that may have arrived at the server within the window before it
or later, fewer than the limit are left. An unanswered request counts from its slot, one that has been under
way for longer than a window counts as arriving now, an answered one from the latest moment at which it can
have arrived (:mod:`~pipedrive_assets.api.round_trips`). At constant latency that is the slot itself, so that
caution costs no throughput; half of the margin is left for what varies within it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pipedrive_assets.api.budget import BudgetState, budget_state
from pipedrive_assets.api.disagreements import DisagreementLog, disagreements
from pipedrive_assets.api.health_pace import HealthPace
from pipedrive_assets.api.lane_reserves import HoldBack, nothing_held_back
from pipedrive_assets.api.limit_policy import SEARCH_LIMIT, LimitHeaders, LimitPolicy, is_search
from pipedrive_assets.api.round_trips import RoundTrips, Trip
from pipedrive_assets.clock import Clock
from pipedrive_assets.exceptions import ErrorContext, PipedriveRateLimitException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.state.ledger import Allowance, DayState, Refusal, Reservation
from pipedrive_assets.state.store import StateStore
from pipedrive_assets.state.window import WINDOW_SECONDS, BurstWindow, WindowState

_log = get_logger(__name__)

_CONNECTING_SECONDS = 10.0
"""A request that left longer ago has arrived or never will: the server is at work, or the process dead."""

_DEADLINE_RESERVE_SECONDS = 0.5
"""A slot nearer to the deadline is not worth the wait: no answer would come in time."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request; hand it to :meth:`PipedriveRateLimitManager.settle` whatever comes of it."""

    reservation: Reservation
    endpoint: str
    lane: Lane
    search: bool
    wait_seconds: float = 0.0
    # Whether it goes out although the day's tokens are used up, to ask whether there are any again.
    reopens: bool = False

    @property
    def slot_at(self) -> float:
        """When the request may leave, epoch seconds of this host."""
        return self.reservation.slot_at


class PipedriveRateLimitManager:
    """Keeps the daily token budget and the burst limits of one token; safe to share between threads.

    ``token_key`` is the token's fingerprint. While the account is not known yet, spending is kept under a
    provisional name; :meth:`bind` moves it. ``hold_back`` says what a lane must leave to others.
    """

    def __init__(
        self,
        store: StateStore,
        settings: PipedriveSettings,
        *,
        clock: Clock,
        token_key: str,
        account: str | None = None,
        hold_back: HoldBack = nothing_held_back,
    ) -> None:
        self._store = store
        self._policy = LimitPolicy.from_settings(settings)
        self._clock = clock
        self._hold_back = hold_back
        self._round_trips = RoundTrips()
        self._disagreements = DisagreementLog(settings)
        self._window = store.window(token_key)
        self._search_window = store.window(f"{token_key}:search")
        self._ledger = store.ledger(account or f"token:{token_key[:16]}")
        self._pace = HealthPace(store, settings, clock)

    def bind(self, account: str) -> None:
        """Spend on ``account`` from now on, and take along what was spent before it was known."""
        ledger = self._store.ledger(account)
        ledger.absorb(self._ledger)
        self._ledger = ledger

    def acquire(
        self,
        cost: int,
        endpoint: str,
        lane: Lane,
        deadline: float | None = None,
        *,
        entity: str = "",
        probe: bool = False,
    ) -> Permit:
        """Reserve ``cost`` tokens, book a slot and sleep until it comes.

        ``deadline`` is in monotonic seconds. Nothing is spent or booked when it raises. A ``probe`` passes
        also when Pipedrive has said that no tokens are left; if its answer shows some, the day goes on.

        :raises PipedriveRateLimitException: ``daily`` when the budget has no room (with ``resets_at``),
            ``burst`` when the slot would come after the deadline
        """
        started = self._clock.monotonic()
        permit = self._reserve(cost, endpoint, lane, deadline, entity, probe)
        try:
            while True:
                wait = permit.slot_at - self._clock.time()
                self._clock.sleep(wait)
                # Without a sleep the slot was booked a moment ago, with all that is known.
                if self._still_good(permit, slept=wait > 0):
                    return replace(permit, wait_seconds=self._clock.monotonic() - started)
                permit = self._rebook(permit, deadline)
        except BaseException:
            with self._store.transaction():
                self._ledger.cancel(permit.reservation.reservation_id)
                self._give_back(permit)
            raise

    def settle(
        self,
        permit: Permit,
        *,
        charged: int,
        headers: Mapping[str, str] | None = None,
        server_time: datetime | None = None,
        trip: Trip | None = None,
    ) -> None:
        """Book what the request cost, and learn from the answer's headers and ``Date`` if there are any.

        A token remainder of zero ends the day for every process. Without a ``trip`` (no answer) the request
        may have arrived up to now.
        """
        seen = LimitHeaders.read(headers or {})
        arrived_by = self._arrived_by(permit, trip)
        with self._store.transaction():
            self._ledger.settle(
                permit.reservation.reservation_id,
                charged=charged,
                seen=seen.daily,
                server_time=server_time,
            )
            if permit.reopens:
                by_hand = self._policy.budget_origin(self._ledger.day().header_limit) == "setting"
                self._ledger.reopen(seen.daily, server_time=server_time, keep_own=by_hand)
            # The headers of a search may speak of its own window: they teach nothing about the general one.
            others = 0 if permit.search else self._learn_window(seen, permit, arrived_by)
            if self._policy.enabled:
                for window in self._windows(permit.search):
                    window.postpone(permit.slot_at, arrived_by - self._policy.margin_seconds / 2)
        self._disagreements.note(seen.daily.limit, None if permit.search else seen.window_limit)
        if others:
            log_event(_log, "burst_window_shared", logging.DEBUG, others=others)

    def penalize(self, seconds: float) -> None:
        """After a burst 429: let nobody with this token send for ``seconds``."""
        self._window.penalize(seconds, limit=self._limit(self._window.state()))
        log_event(_log, "burst_penalty", logging.WARNING, seconds=seconds)

    def budget(self) -> BudgetState:
        """The day as it stands, for all processes."""
        return budget_state(self._ledger, self._policy, self._hold_back)

    def disagreements(self) -> tuple[str, ...]:
        """Where settings and the last answers tell different limits; one sentence each."""
        return disagreements(
            self._policy.settings, self._ledger.day().header_limit, self._window.state().header_limit
        )

    def _reserve(
        self, cost: int, endpoint: str, lane: Lane, deadline: float | None, entity: str, probe: bool
    ) -> Permit:
        search = is_search(endpoint)
        with self._store.transaction():
            reopens = probe and self._ledger.day().exhausted
            slot_at = self._next_slot(search)
            self._check_deadline(slot_at, endpoint, deadline)
            outcome = self._ledger.reserve(
                cost,
                endpoint,
                lane,
                entity=entity,
                slot_at=slot_at,
                lifetime=self._policy.lifetime_seconds,
                budget=partial(self._allowed, lane) if self._policy.enabled else None,
                refusable=not reopens,
            )
            if isinstance(outcome, Refusal):
                raise self._refused(outcome, cost, endpoint, lane)
            self._book(slot_at, search)
        return Permit(outcome, endpoint, lane, search, reopens=reopens)

    def _rebook(self, permit: Permit, deadline: float | None) -> Permit:
        """Take a later slot, because the booked one was missed, filled up, or a pause was put on it."""
        with self._store.transaction():
            if self._still_good(permit, slept=True):
                # Another that woke with this one has made room by moving away.
                return permit
            state = self._ledger.day()
            if state.exhausted and not permit.reopens:
                refusal = Refusal(self._allowed(permit.lane, state), state)
                raise self._refused(refusal, permit.reservation.tokens, permit.endpoint, permit.lane)
            self._give_back(permit)
            slot_at = self._next_slot(permit.search)
            self._check_deadline(slot_at, permit.endpoint, deadline)
            self._ledger.move(
                permit.reservation.reservation_id, slot_at, lifetime=self._policy.lifetime_seconds
            )
            self._book(slot_at, permit.search)
        return replace(permit, reservation=replace(permit.reservation, slot_at=slot_at))

    def _still_good(self, permit: Permit, *, slept: bool) -> bool:
        """Whether the slot still stands: not missed, and nothing came during the sleep that forbids it.

        That is a pause, the end of the day, or news that earlier requests arrived within the slot's window.

        A thread that woke too late for its slot, on a busy machine, would send into a window that others have
        filled since. The margin is what the window can take, and the way to the server needs half of it.
        """
        late = self._clock.time() - permit.slot_at
        if self._policy.enabled and late > max(self._policy.margin_seconds / 2, 0.02):
            return False
        if not slept:
            return True
        state = self._window.state()
        if state.not_before > permit.slot_at:
            return False
        if self._ledger.day().exhausted and not permit.reopens:
            return False
        if not self._policy.enabled:
            return True
        margin, slot_at = self._policy.margin_seconds, permit.slot_at
        occupied = self._occupied(state)
        if not self._window.has_room(slot_at, self._limit(state), margin=margin, occupied=occupied):
            return False
        return not permit.search or self._search_window.has_room(slot_at, SEARCH_LIMIT, margin=margin)

    def _limit(self, state: WindowState) -> int:
        return state.header_limit or self._policy.burst_limit

    def _occupied(self, state: WindowState) -> int:
        """Places of others, and of requests that left before the window but may arrive within it."""
        return state.others + self._unanswered()

    def _unanswered(self) -> int:
        now = self._clock.time()
        before_window = now - WINDOW_SECONDS - self._policy.margin_seconds
        return self._ledger.unanswered(after=now - _CONNECTING_SECONDS, until=before_window)

    def _arrived_by(self, permit: Permit, trip: Trip | None) -> float:
        """The latest moment at which a request may have arrived, less what every one takes; epoch seconds."""
        now = self._clock.time()
        if trip is None:
            return now
        sent_at = now - (self._clock.monotonic() - trip.sent)
        return max(permit.slot_at, sent_at + self._round_trips.delay(permit.endpoint, trip))

    def _allowed(self, lane: Lane, state: DayState) -> Allowance:
        budget = self._policy.budget(state.header_limit)
        return Allowance(budget, self._hold_back(lane, budget, state.seconds_to_reset))

    def _windows(self, search: bool) -> tuple[BurstWindow, ...]:
        return (self._window, self._search_window) if search else (self._window,)

    def _next_slot(self, search: bool) -> float:
        state = self._window.state()
        if not self._policy.enabled:
            return max(self._clock.time(), state.not_before)
        margin = self._policy.margin_seconds
        limit = self._pace.slots(self._limit(state), self._ledger.account)
        slot_at = max(
            self._window.next_slot(limit, margin=margin, occupied=self._occupied(state)), state.not_before
        )
        if search:
            slot_at = max(slot_at, self._search_window.next_slot(SEARCH_LIMIT, margin=margin))
        return slot_at

    def _book(self, slot_at: float, search: bool) -> None:
        if self._policy.enabled:
            for window in self._windows(search):
                window.book(slot_at)

    def _give_back(self, permit: Permit) -> None:
        if self._policy.enabled:
            for window in self._windows(permit.search):
                window.give_back(permit.slot_at)

    def _learn_window(self, seen: LimitHeaders, permit: Permit, arrived_by: float) -> int:
        if seen.window_limit is not None:
            self._window.learn_limit(seen.window_limit)
        if seen.window_remaining is None or not self._policy.enabled:
            return 0
        state = self._window.state()
        return self._window.note_others(
            seen.window_limit or self._limit(state),
            seen.window_remaining,
            slot_at=permit.slot_at,
            arrived_by=arrived_by,
            late=self._policy.margin_seconds / 2,
            unanswered=self._unanswered(),
        )

    def _check_deadline(self, slot_at: float, endpoint: str, deadline: float | None) -> None:
        if deadline is None:
            return
        wait = slot_at - self._clock.time()
        left = deadline - self._clock.monotonic()
        if wait > 0 and wait >= left - _DEADLINE_RESERVE_SECONDS:
            raise PipedriveRateLimitException(
                f"the next free slot comes in {wait:.1f} s, the call has only {max(0.0, left):.1f} s left",
                kind="burst",
                retry_after=wait,
                context=ErrorContext(endpoint=endpoint),
            )

    def _refused(self, refusal: Refusal, cost: int, endpoint: str, lane: Lane) -> PipedriveRateLimitException:
        state, held_back = refusal.state, refusal.allowed.held_back
        log_event(
            _log,
            "daily_budget_refused",
            logging.WARNING,
            endpoint=endpoint,
            lane=lane,
            tokens=cost,
            budget=refusal.allowed.own,
            held_back=held_back,
            spent=max(state.own_spent, state.server_spent or 0),
            reserved=state.reserved,
            resets_at=state.resets_at,
        )
        why = (
            "Pipedrive has said that no tokens are left"
            if state.exhausted
            else f"{state.own_spent} spent by us, {state.reserved} reserved"
            + ("" if state.server_spent is None else f", {state.server_spent} spent in all")
            + (f", {held_back} kept for more urgent lanes" if held_back else "")
        )
        return PipedriveRateLimitException(
            f"the daily token budget ({refusal.allowed.own} for lane {lane.value} on {state.day}) has no room"
            f" for {cost} more: {why}",
            kind="daily",
            resets_at=state.resets_at,
            retry_after=state.seconds_to_reset,
            context=ErrorContext(endpoint=endpoint),
        )
