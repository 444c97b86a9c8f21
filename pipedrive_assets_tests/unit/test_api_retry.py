"""How long the client waits before it asks again."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.retry import BURST, CONNECTION, MAINTENANCE, SERVER, Backoff, RetryPolicy
from pipedrive_assets.settings import PipedriveSettings

policies = st.sampled_from([BURST, CONNECTION, MAINTENANCE, SERVER])


def backoff(**settings: Any) -> Backoff:
    return Backoff.from_settings(PipedriveSettings(**settings), Random(1))


def test_without_jitter_the_delays_double_up_to_the_cap() -> None:
    exact = backoff(rate_limit_jitter=False, max_retry_attempts=7)
    assert [exact.delay_seconds(SERVER, n, None) for n in range(7)] == [1, 2, 4, 8, 16, 16, 16]


def test_the_cap_is_a_setting() -> None:
    exact = backoff(rate_limit_jitter=False, max_retry_attempts=5, rate_limit_max_delay=3)
    assert [exact.delay_seconds(SERVER, n, None) for n in range(4)] == [1, 2, 3, 3]


def test_maintenance_is_waited_for_longer_than_a_failure() -> None:
    exact = backoff(rate_limit_jitter=False)
    assert [exact.delay_seconds(MAINTENANCE, n, None) for n in range(3)] == [4, 8, 16]


def test_the_number_of_retries_is_a_setting() -> None:
    assert backoff(max_retry_attempts=2).delay_seconds(SERVER, 1, None) is not None
    assert backoff(max_retry_attempts=2).delay_seconds(SERVER, 2, None) is None
    assert backoff(max_retry_attempts=0).delay_seconds(SERVER, 0, None) is None


def test_a_third_burst_429_in_a_row_is_the_last_however_many_retries_are_allowed() -> None:
    patient = backoff(max_retry_attempts=10)
    assert patient.delay_seconds(BURST, 5, None, in_a_row=2) is not None
    assert patient.delay_seconds(BURST, 2, None, in_a_row=3) is None
    assert patient.delay_seconds(SERVER, 2, None, in_a_row=3) is not None
    assert backoff(max_retry_attempts=1).delay_seconds(BURST, 1, None, in_a_row=2) is None


@given(policy=policies, retries=st.integers(0, 9), seed=st.integers())
def test_jitter_draws_between_zero_and_the_ceiling(policy: RetryPolicy, retries: int, seed: int) -> None:
    drawn = Backoff(10, 16.0, True, Random(seed)).delay_seconds(policy, retries, None)
    ceiling = Backoff(10, 16.0, False, Random(seed)).delay_seconds(policy, retries, None)
    assert drawn is not None
    assert ceiling is not None
    assert 0 <= drawn <= ceiling <= 16


def test_jitter_spreads_over_the_whole_range() -> None:
    spread = Backoff(10, 16.0, True, Random(5))
    draws = [spread.delay_seconds(SERVER, 4, None) or 0.0 for _ in range(400)]
    assert min(draws) < 2
    assert max(draws) > 14


@given(policy=policies, retries=st.integers(0, 9), asked=st.floats(0, 5000), jitter=st.booleans())
def test_what_the_server_asks_for_is_never_cut(
    policy: RetryPolicy, retries: int, asked: float, jitter: bool
) -> None:
    delay = Backoff(10, 16.0, jitter, Random(0)).delay_seconds(policy, retries, asked)
    assert delay is not None
    assert delay >= asked
