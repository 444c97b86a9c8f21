"""How many rows to ask for, by how much memory is left.

The order under pressure: the caller commits what it holds (:attr:`PipedriveMemoryManager.under_pressure`),
then garbage is collected, and only if memory is still short do pages become smaller, because a smaller page
costs more tokens for the same rows.
"""

from __future__ import annotations

import gc
import logging
import threading
from dataclasses import dataclass

from pipedrive_assets.api.memory_probe import MemoryProbe
from pipedrive_assets.exceptions import ErrorContext, PipedriveMemoryException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings

_log = get_logger(__name__)

_SHRINK = 0.5
_GROW = 1.5
_CALM_PERCENT = 5.0
"""Pages grow again only this far below the threshold, lest they swing around it."""
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory of this process at one moment; ``limit_origin`` says whose limit it is."""

    rss_bytes: int
    limit_bytes: int
    limit_origin: str

    @property
    def percent(self) -> float:
        """Share of the limit in use; above 100 where a configured limit is overrun."""
        return 100.0 * self.rss_bytes / self.limit_bytes


class PipedriveMemoryManager:
    """Page sizes between the configured bounds, halved under pressure and grown back after it.

    Shared by every scan of a process, from any thread.
    """

    def __init__(self, settings: PipedriveSettings, probe: MemoryProbe) -> None:
        self._settings = settings
        self._probe = probe
        self._limit = probe.limit(settings.memory_limit_mb)
        self._scale = 1.0
        self._peak_rss_bytes = 0
        self._lock = threading.Lock()

    @property
    def peak_rss_bytes(self) -> int:
        """The largest sample so far."""
        return self._peak_rss_bytes

    @property
    def under_pressure(self) -> bool:
        """Whether the threshold is passed: time to commit what is held."""
        return self.sample().percent > self._settings.memory_threshold

    def sample(self) -> MemorySample:
        """Measure now."""
        sample = MemorySample(self._probe.rss_bytes(), self._limit.bytes, self._limit.origin)
        with self._lock:
            self._peak_rss_bytes = max(self._peak_rss_bytes, sample.rss_bytes)
        return sample

    def page_size(self, page_max: int) -> int:
        """Rows to ask for of a list whose endpoint allows ``page_max``; 0 for a list that takes no limit."""
        if page_max <= 0:
            return 0
        largest = min(self._settings.max_batch_size, page_max)
        smallest = min(self._settings.min_batch_size, largest)
        return max(smallest, int(largest * self._scale))

    def after_batch(self) -> MemorySample:
        """Collect garbage, measure, adapt the page size; to be called when a batch has been dropped."""
        sample = self.sample()
        if self._settings.force_gc:
            # What a batch leaves behind is young. A full collection walks every object of the process, which
            # takes 150 ms beside Dagster, so it is kept for when memory is short.
            short = sample.percent > self._settings.memory_threshold
            gc.collect() if short else gc.collect(1)
            sample = self.sample()
        if self._settings.adaptive_pagination:
            self._adapt(sample)
        return sample

    def require_headroom(self, percent: float, *, context: ErrorContext | None = None) -> None:
        """Raise ``PipedriveMemoryException`` if more than ``percent`` of the limit is in use.

        For callers between two batches, who have nothing to lose: the position is committed.
        """
        sample = self.sample()
        if sample.percent <= percent:
            return
        raise PipedriveMemoryException(
            f"{sample.rss_bytes / _MEBIBYTE:.0f} MB of {sample.limit_bytes / _MEBIBYTE:.0f} MB"
            f" ({sample.limit_origin} limit) are in use",
            context=(context or ErrorContext()).filled(
                details={"rss_bytes": sample.rss_bytes, "limit_bytes": sample.limit_bytes}
            ),
        )

    def _adapt(self, sample: MemorySample) -> None:
        threshold = self._settings.memory_threshold
        with self._lock:
            before = self._scale
            if sample.percent > threshold:
                # No smaller than one row of the largest page: a scale near zero would never grow back.
                self._scale = max(before * _SHRINK, 1 / self._settings.max_batch_size)
            elif sample.percent <= threshold - _CALM_PERCENT:
                self._scale = min(1.0, before * _GROW)
            after = self._scale
        if after != before:
            log_event(
                _log,
                "page_size_scaled",
                logging.WARNING if after < before else logging.INFO,
                scale=after,
                percent=sample.percent,
                rss_mb=sample.rss_bytes / _MEBIBYTE,
                limit_mb=sample.limit_bytes / _MEBIBYTE,
                limit_origin=sample.limit_origin,
            )
