"""How many rows to ask for and to gather, by how much memory is left.

The order under pressure: the caller commits what it holds (:attr:`PipedriveMemoryManager.under_pressure`) and
gathers less before the next commit, then memory is collected, and only if it is still short do pages become
smaller, because a smaller page costs more tokens for the same rows. (A process runs one scan at a time, so
there are none to take away.) Where even the smallest pages leave too little, the caller is told to end
between two batches.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipedrive_assets.api.memory_probe import MemoryProbe
from pipedrive_assets.exceptions import ErrorContext, PipedriveMemoryException
from pipedrive_assets.logs import get_logger, log_event
from pipedrive_assets.settings import PipedriveSettings

_log = get_logger(__name__)

_SHRINK = 0.5
_GROW = 1.5
_ONE_PAGE = 0.1
"""The scale at which a batch is one full page; below it pages shrink."""
_CALM_PERCENT = 5.0
"""What has shrunk grows again only as if memory were this much fuller, lest it swing."""
_FULL_BATCH_BYTES = 384 << 20
"""What a process takes for its first requests, ten pages of 500 deals and their merge (measured: 250 MB)."""
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory at one moment: of this process, what counts against the limit, the limit and whose it is."""

    rss_bytes: int
    used_bytes: int
    limit_bytes: int
    limit_origin: str

    @property
    def percent(self) -> float:
        """Share of the limit in use; above 100 where a configured limit is overrun."""
        return 100.0 * self.used_bytes / self.limit_bytes

    def __str__(self) -> str:
        return (
            f"{self.used_bytes / _MEBIBYTE:.0f} MB of {self.limit_bytes / _MEBIBYTE:.0f} MB"
            f" ({self.limit_origin} limit)"
        )

    def facts(self) -> dict[str, Any]:
        """The figures by name, for logs and errors."""
        return {
            "rss_mb": round(self.rss_bytes / _MEBIBYTE, 1),
            "used_mb": round(self.used_bytes / _MEBIBYTE, 1),
            "limit_mb": round(self.limit_bytes / _MEBIBYTE, 1),
            "limit_origin": self.limit_origin,
            "percent": round(self.percent, 1),
        }


def _nothing_more() -> None:
    """For callers that hold nothing which could be given back."""


class PipedriveMemoryManager:
    """Sizes of batches and pages, halved under pressure and grown back after it, within the bounds set.

    One scale rules both: from 1 (batches of ten full pages) down to a tenth batches get smaller, below that
    pages do. Shared by every scan of a process, from any thread.
    """

    def __init__(self, settings: PipedriveSettings, probe: MemoryProbe) -> None:
        self._settings = settings
        self._probe = probe
        self._limit = probe.limit(settings.memory_limit_mb)
        self._is_high = False
        self._lock = threading.Lock()
        self._baseline = self._measured()
        self._peak_rss_bytes = self._baseline.rss_bytes
        room = self._limit.bytes * settings.memory_critical_threshold / 100 - self._baseline.used_bytes
        # The first batch has nothing to learn from; in a small container a full one would be the last.
        self._scale = self._tried = max(_ONE_PAGE, min(1.0, room / _FULL_BATCH_BYTES))

    @property
    def peak_rss_bytes(self) -> int:
        """Most resident memory of this process in any sample."""
        return self._peak_rss_bytes

    @property
    def limit_mb(self) -> int:
        """The limit that holds, in whole MB."""
        return self._limit.bytes // _MEBIBYTE

    @property
    def under_pressure(self) -> bool:
        """Whether the threshold is passed: time to commit what is held."""
        return self.sample().percent > self._settings.memory_threshold

    @property
    def scale(self) -> float:
        """Share of the largest batch; 1 where memory was never short."""
        return self._scale

    def start_at(self, scale: float) -> None:
        """Go on no larger than an interrupted process had come down to."""
        with self._lock:
            self._scale = min(self._scale, max(scale, self._smallest_scale))

    def sample(self) -> MemorySample:
        """Measure now."""
        sample = self._measured()
        with self._lock:
            self._peak_rss_bytes = max(self._peak_rss_bytes, sample.rss_bytes)
        return sample

    def page_size(self, page_max: int) -> int:
        """Rows to ask for of a list whose endpoint allows ``page_max``; 0 for a list that takes no limit."""
        if page_max <= 0:
            return 0
        return self._page_at(self._scale, page_max)

    def pages_per_batch(self, most: int) -> int:
        """Pages to gather before they are committed, where ``most`` are when memory is no concern."""
        return max(1, round(most * self._scale)) if self._settings.adaptive_pagination else most

    def after_batch(self, give_back: Callable[[], object] = _nothing_more) -> MemorySample:
        """Collect, measure, adapt the page size; to be called when a batch has been dropped.

        ``give_back`` is called where memory is short, for the caller to release what it can do without.
        """
        before = self.sample()
        # What a batch leaves behind is young. A full collection walks every object of the process, which
        # takes 150 ms beside Dagster, so it is kept for when memory is short.
        short = before.percent > self._settings.memory_threshold
        if self._settings.force_gc:
            gc.collect() if short else gc.collect(1)
        if short:
            give_back()
        sample = self._measured()
        self._tell(sample)
        if self._settings.adaptive_pagination:
            self._adapt(before, sample)
        return sample

    def require_headroom(self, page_max: int, *, context: ErrorContext | None = None) -> None:
        """Raise ``PipedriveMemoryException`` if memory is critical after pages as small as they can be.

        For callers between two batches, who have nothing to lose: the position is committed. Not retryable
        where the process was above that mark before it read anything: it would only meet the same again.
        """
        critical = self._settings.memory_critical_threshold
        sample = self.sample()
        size = self._page_at(self._tried, page_max)
        can_shrink = self._tried > _ONE_PAGE or size > self._page_at(0.0, page_max)
        if sample.percent <= critical or (can_shrink and self._settings.adaptive_pagination):
            return
        hopeless = self._limit.group is None and self._baseline.percent > critical
        if hopeless:
            why = f"; this process had {self._baseline.rss_bytes / _MEBIBYTE:.0f} MB before it read anything"
        else:
            why = f", although pages are down to {size} rows" if size else ""
        raise PipedriveMemoryException(
            f"{sample} are in use{why}",
            context=(context or ErrorContext()).filled(details={**sample.facts(), "page_size": size}),
            retryable=not hopeless,
        )

    @property
    def _smallest_scale(self) -> float:
        # No smaller than one row of the largest page: a scale near zero would never grow back.
        return _ONE_PAGE / self._settings.max_batch_size

    def _page_at(self, scale: float, page_max: int) -> int:
        largest = min(self._settings.max_batch_size, max(page_max, 0))
        smallest = min(self._settings.min_batch_size, largest)
        return max(smallest, int(largest * min(1.0, scale / _ONE_PAGE)))

    def _measured(self) -> MemorySample:
        limit = self._limit
        rss = self._probe.rss_bytes()
        return MemorySample(rss, self._probe.used_bytes(limit), limit.bytes, limit.origin)

    def _tell(self, sample: MemorySample) -> None:
        """Warn once each time that memory rises above the alert threshold, and say when that is over."""
        alert = self._settings.memory_alert_threshold
        with self._lock:
            before = self._is_high
            if sample.percent > alert:
                self._is_high = True
            elif sample.percent <= alert - _CALM_PERCENT:
                self._is_high = False
            after = self._is_high
        if after and not before:
            log_event(_log, "memory_high", logging.WARNING, **sample.facts(), threshold=alert)
        elif before and not after:
            log_event(_log, "memory_calm", **sample.facts(), threshold=alert)

    def _adapt(self, before: MemorySample, sample: MemorySample) -> None:
        """Halve towards what ``sample`` allows, or grow back; ``before`` is what the batch brought it to."""
        critical = self._settings.memory_critical_threshold
        with self._lock:
            old = self._tried = self._scale
            if before.percent > critical or old > self._ceiling(sample.percent):
                self._scale = max(old * _SHRINK, self._ceiling(max(before.percent, sample.percent)))
            elif before.percent <= critical - _CALM_PERCENT:
                ceiling = self._ceiling(sample.percent + _CALM_PERCENT)
                self._scale = max(old, min(old * _GROW, ceiling))
            new = self._scale
        if new != old:
            level = logging.WARNING if new < old else logging.INFO
            log_event(_log, "page_size_scaled", level, scale=new, **sample.facts())

    def _ceiling(self, percent: float) -> float:
        """The largest scale at a use of ``percent``: full up to the threshold, nothing where it is critical.

        In between the page is as much of the largest one as is left of the room; smaller would cost tokens
        and leave no more of it.
        """
        threshold, critical = self._settings.memory_threshold, self._settings.memory_critical_threshold
        if percent <= threshold:
            return 1.0
        left = (critical - percent) / (critical - threshold) if critical > threshold else 0.0
        return max(_ONE_PAGE * left, self._smallest_scale)
