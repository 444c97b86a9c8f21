"""Settings of the test session; fixtures live beside the tests that use them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines are noisy: how long an example takes says nothing about whether it is right.
settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")
