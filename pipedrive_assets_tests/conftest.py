"""Settings of the test session; fixtures live beside the tests that use them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines are noisy: how long an example takes says nothing about whether it is right. The examples are the
# same in every run, so that a change is judged and not luck; `--hypothesis-profile=soak` looks for new ones.
settings.register_profile(
    "default", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak", parent=settings.get_profile("default"), derandomize=False, max_examples=2000
)
settings.load_profile("default")
