"""Lanes: on whose account a request spends tokens."""

from __future__ import annotations

from enum import StrEnum


class Lane(StrEnum):
    """Spending lanes, most urgent first."""

    PUSH = "push"
    REPAIR = "repair"
    INCREMENTAL = "incremental"
    BACKFILL = "backfill"
