"""The three ways in which Pipedrive writes an instant (reference 6.2), and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=8_192)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d")


def _whole_second(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{_date(days)}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def v2(ms: int | None) -> str | None:
    """``2024-01-01T00:00:00Z``."""
    return None if ms is None else _whole_second(ms // 1000) + "Z"


def iso(ms: int | None) -> str | None:
    """``2024-01-01T00:00:00.000Z``: leads, labels, projects, mail."""
    return None if ms is None else f"{_whole_second(ms // 1000)}.{ms % 1000:03d}Z"


def v1(ms: int | None) -> str | None:
    """``2024-01-01 00:00:00``."""
    return None if ms is None else _whole_second(ms // 1000).replace("T", " ")


def day(ms: int | None) -> str | None:
    """``2024-01-01``."""
    return None if ms is None else _date(ms // 86_400_000)


def milliseconds(text: str) -> int:
    """Epoch milliseconds of any of the three; one without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int((moment - _EPOCH) / timedelta(milliseconds=1))
