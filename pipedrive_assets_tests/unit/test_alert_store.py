"""Who is told what, and how often: by random histories of conditions, channels, restarts and two daemons."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.state.alerts import (
    CLAIM_SECONDS,
    QUIET_SECONDS,
    AlertStore,
    Kind,
    Message,
    Observation,
    Severity,
)
from pipedrive_assets.state.store import StateStore
from pipedrive_assets_tests.clocks import ManualClock

CONDITION = "circuit_breaker_open"
HOUR = QUIET_SECONDS
WORST = {Severity.WARNING: 1, Severity.CRITICAL: 2}


def observed(
    severity: Severity | None, clock: ManualClock, occasion: str = "", *, since: float | None = None
) -> Observation:
    """The condition as it is: raised with a severity, or not raised."""
    began = clock.time() if since is None else since
    return Observation(
        CONDITION, severity is not None, severity or Severity.WARNING, began, "five in a row", occasion
    )


def handed_over(store: AlertStore, channel: str) -> list[Message]:
    """Deliver everything that waits for a channel."""
    taken: list[Message] = []
    while (message := store.claim(channel)) is not None:
        store.delivered(message)
        taken.append(message)
    return taken


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[AlertStore]:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as state:
        yield state.alerts("1")


def test_a_condition_is_told_once_when_it_begins_and_once_when_it_is_over(
    store: AlertStore, clock: ManualClock
) -> None:
    for _ in range(3):
        store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
        clock.advance(2 * HOUR)
    told = handed_over(store, "mail")
    for _ in range(3):
        store.observe([observed(None, clock)], ["mail"])
    told += handed_over(store, "mail")
    assert [message.kind for message in told] == [Kind.RAISED, Kind.RECOVERED]
    assert told[1].since == told[0].since
    assert not store.states()[0].raised


def test_what_becomes_worse_is_told_at_once_and_what_becomes_better_is_not(
    store: AlertStore, clock: ManualClock
) -> None:
    told: list[Message] = []
    for severity in (Severity.WARNING, Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL):
        store.observe([observed(severity, clock)], ["mail"])
        told += handed_over(store, "mail")
        clock.advance(60)
    assert [message.severity for message in told] == [Severity.WARNING, Severity.CRITICAL]


def test_a_condition_that_comes_and_goes_is_told_once_an_hour(store: AlertStore, clock: ManualClock) -> None:
    told: list[Message] = []
    for _ in range(180):  # three hours, up and down every half minute
        for severity in (Severity.WARNING, None):
            store.observe([observed(severity, clock)], ["mail"])
            told += handed_over(store, "mail")
            clock.advance(30)
    begun = [message for message in told if message.kind is Kind.RAISED]
    assert len(begun) == 3
    assert len(told) == 6


def test_within_one_day_of_the_budget_it_is_told_once_whatever_the_hour(
    store: AlertStore, clock: ManualClock
) -> None:
    told: list[Message] = []
    for day in ("2026-11-23", "2026-11-24"):
        for severity in (
            Severity.WARNING,
            None,
            Severity.WARNING,
            Severity.CRITICAL,
            None,
            Severity.CRITICAL,
        ):
            store.observe([observed(severity, clock, day)], ["mail"])
            told += handed_over(store, "mail")
            clock.advance(2 * HOUR)
        store.observe([observed(None, clock, day)], ["mail"])
        told += handed_over(store, "mail")
    begun = [message.severity for message in told if message.kind is Kind.RAISED]
    assert begun == [Severity.WARNING, Severity.CRITICAL] * 2


def test_what_a_channel_has_not_taken_waits_for_it_alone_and_over_a_restart(
    tmp_path: Path, clock: ManualClock
) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with StateStore.open(url, clock=clock) as state:
        store = state.alerts("1")
        store.observe([observed(Severity.WARNING, clock)], ["mail", "slack"])
        assert len(handed_over(store, "slack")) == 1
        message = store.claim("mail")
        assert message is not None
        store.failed(message, "refused")
    with StateStore.open(url, clock=clock) as state:
        store = state.alerts("1")
        assert handed_over(store, "slack") == []
        assert [each.error for each in store.messages(waiting=True)] == ["refused"]
        assert [each.attempts for each in handed_over(store, "mail")] == [2]


def test_what_nobody_was_told_of_is_not_told_to_be_over(store: AlertStore, clock: ManualClock) -> None:
    store.observe([observed(Severity.WARNING, clock)], ["mail", "slack"])
    handed_over(store, "slack")
    store.observe([observed(None, clock)], ["mail", "slack"])
    assert [each.kind for each in handed_over(store, "slack")] == [Kind.RECOVERED]
    assert handed_over(store, "mail") == []


def test_a_message_whose_sender_died_is_sent_by_another_after_two_minutes(
    store: AlertStore, clock: ManualClock
) -> None:
    store.observe([observed(Severity.WARNING, clock)], ["mail"])
    assert store.claim("mail") is not None
    assert store.claim("mail") is None
    clock.advance(CLAIM_SECONDS)
    assert store.claim("mail") is not None


def test_a_message_that_no_server_takes_holds_up_no_other(store: AlertStore, clock: ManualClock) -> None:
    store.observe([observed(Severity.WARNING, clock)], ["mail"])
    bad = store.claim("mail")
    assert bad is not None
    store.failed(bad, "550")
    other = Observation("api_unhealthy", True, Severity.CRITICAL, clock.time(), "down")
    store.observe([other], ["mail"])
    next_one = store.claim("mail")
    assert next_one is not None
    assert next_one.condition == "api_unhealthy"


def test_of_two_daemons_that_see_the_same_exactly_one_tells(tmp_path: Path, clock: ManualClock) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    sent: list[Message] = []
    with ExitStack() as exits:
        stores = [exits.enter_context(StateStore.open(url, clock=clock)).alerts("1") for _ in range(2)]
        start = threading.Barrier(2)

        def look(store: AlertStore) -> None:
            start.wait()
            store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
            sent.extend(handed_over(store, "mail"))

        threads = [threading.Thread(target=look, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sent) == 1


def test_a_condition_nobody_watches_any_more_is_dropped_with_its_messages(
    store: AlertStore, clock: ManualClock
) -> None:
    store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
    store.unwatch([CONDITION])
    assert store.states() == ()
    assert store.claim("mail") is None


def test_what_is_forgotten_while_its_channel_is_down_is_told_when_that_is_back(
    store: AlertStore, clock: ManualClock
) -> None:
    store.observe([observed(Severity.CRITICAL, clock)], ["mail", "slack"])
    handed_over(store, "slack")
    message = store.claim("mail")
    assert message is not None
    store.failed(message, "down")
    store.forget([CONDITION])
    assert store.states() == ()
    clock.advance(86_400)
    store.observe([], ["mail", "slack"])
    assert [each.kind for each in handed_over(store, "mail")] == [Kind.RAISED]
    assert handed_over(store, "slack") == []


def test_what_has_been_over_for_a_month_is_no_longer_shown_and_what_lasts_is(
    store: AlertStore, clock: ManualClock
) -> None:
    store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
    for number in range(50):
        for raised in (True, False):
            name = f"run_failure:job:{number}"
            store.observe([Observation(name, raised, Severity.CRITICAL, clock.time(), "d")], ["mail"])
    clock.advance(29 * 86_400)
    store.observe([], ["mail"])
    assert len(store.states()) == 51
    clock.advance(2 * 86_400)
    store.observe([], ["mail"])
    assert [each.condition for each in store.states()] == [CONDITION]


MONTH = 30 * 86_400


def test_what_was_told_by_a_clock_a_month_ahead_silences_nothing(
    store: AlertStore, clock: ManualClock
) -> None:
    clock.advance(MONTH)
    for severity in (Severity.CRITICAL, None):
        store.observe([observed(severity, clock, "2026-12-23")], ["mail"])
        handed_over(store, "mail")
    clock.advance(-MONTH)
    store.observe([observed(Severity.CRITICAL, clock, "2026-11-23")], ["mail"])
    assert [each.kind for each in handed_over(store, "mail")] == [Kind.RAISED]


@pytest.mark.parametrize("severity", [Severity.CRITICAL, None])
def test_a_message_claimed_by_a_clock_a_month_ahead_is_free_once_it_is_set_back(
    store: AlertStore, clock: ManualClock, severity: Severity | None
) -> None:
    clock.advance(MONTH)
    store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
    assert store.claim("mail") is not None
    clock.advance(-MONTH)
    store.observe([observed(severity, clock)], ["mail"])
    told = [each.kind for each in handed_over(store, "mail")]
    # What is over before anybody was told of it is not told at all.
    assert told == ([Kind.RAISED] if severity is not None else [])


def test_what_was_raised_before_the_company_was_known_goes_on_under_its_name(
    tmp_path: Path, clock: ManualClock
) -> None:
    with StateStore.open(f"sqlite:///{tmp_path / 'state.db'}", clock=clock) as state:
        state.alerts("token:ab").observe([observed(Severity.CRITICAL, clock)], ["mail"])
        known = state.alerts("7")
        known.adopt("token:ab")
        assert [message.kind for message in handed_over(known, "mail")] == [Kind.RAISED]
        known.observe([observed(None, clock)], ["mail"])
        assert [message.kind for message in handed_over(known, "mail")] == [Kind.RECOVERED]


def test_what_lasts_for_months_is_told_to_be_over_too(store: AlertStore, clock: ManualClock) -> None:
    store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
    handed_over(store, "mail")
    for _ in range(3):
        clock.advance(20 * 86_400)
        store.observe([observed(Severity.CRITICAL, clock)], ["mail"])
    store.observe([observed(None, clock)], ["mail"])
    assert [message.kind for message in handed_over(store, "mail")] == [Kind.RECOVERED]
    clock.advance(40 * 86_400)
    store.observe([observed(None, clock)], ["mail"])
    assert store.messages() == ()


@dataclass(frozen=True)
class Step:
    """One minute of some length: how the condition is, who looks, and which channels take messages."""

    seconds: int
    severity: Severity | None
    daemon: int
    up: frozenset[str]
    dated_back: bool = False


steps = st.lists(
    st.builds(
        Step,
        seconds=st.sampled_from([1, 60, 600, 1800, 3599, 3600, 7200]),
        severity=st.sampled_from([None, Severity.WARNING, Severity.CRITICAL]),
        daemon=st.integers(0, 1),
        up=st.frozensets(st.sampled_from(["mail", "slack"])),
        # Some conditions are dated by their first cause, which may be that of an earlier time they held.
        dated_back=st.booleans(),
    ),
    max_size=25,
)


@given(history=steps, last=st.sampled_from([None, Severity.WARNING, Severity.CRITICAL]))
def test_whatever_happens_people_know_how_it_is_and_are_told_no_more_than_that(
    history: list[Step], last: Severity | None
) -> None:
    clock = ManualClock()
    began = clock.time()
    told: dict[str, list[Message]] = {"mail": [], "slack": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
        url = f"sqlite:///{folder}/state.db"
        stores = [exits.enter_context(StateStore.open(url, clock=clock)).alerts("1") for _ in range(2)]
        end = [Step(int(HOUR), last, 0, frozenset(told)), Step(60, last, 1, frozenset(told))]
        for step in [*history, *end]:
            clock.advance(step.seconds)
            store = stores[step.daemon]
            since = began if step.dated_back else None
            store.observe([observed(step.severity, clock, since=since)], sorted(told))
            for channel in step.up:
                told[channel] += handed_over(store, channel)
            for channel in sorted(set(told) - step.up):
                if (message := store.claim(channel)) is not None:
                    store.failed(message, "down")
    for messages in told.values():
        assert_told_once(messages)
        known = messages[-1] if messages else None
        is_known = known is not None and known.kind is Kind.RAISED
        assert is_known == (last is not None)
        if known is not None and last is Severity.CRITICAL:
            assert known.severity is Severity.CRITICAL


def assert_told_once(messages: list[Message]) -> None:
    """Beginning and end alternate, only what is worse comes between, and nothing twice in an hour."""
    before: Message | None = None
    for message in messages:
        if message.kind is Kind.RECOVERED:
            assert before is not None
            assert before.kind is Kind.RAISED
        elif before is not None and before.kind is Kind.RAISED:
            assert WORST[message.severity] > WORST[before.severity]
        before = message
    begun = [message for message in messages if message.kind is Kind.RAISED]
    for at, earlier in enumerate(begun):
        for later in begun[at + 1 :]:
            near = later.queued_at - earlier.queued_at < HOUR
            assert not near or WORST[later.severity] > WORST[earlier.severity]
