"""A process of its own that syncs while memory is short, and says as JSON how that went.

``python -m pipedrive_assets_tests.memory_child '{"entities": ["deals"], "headroom_mb": 200}'`` with the
settings in the environment. ``headroom_mb`` makes the limit that much more than what this process uses once
it is warm; without it the limit is the container's or the environment's. ``ballast_mb`` is held from page
``ballast_from`` to page ``ballast_to``, as if something else in this process grew and shrank again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.exceptions import PipedriveException
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.sync.context import Progress
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import open_session

MIB = 1 << 20


class Ballast:
    """Takes memory when a list has come to one page, and gives it back at another."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._bytes = job.get("ballast_mb", 0) * MIB
        self._from = job.get("ballast_from", 1)
        self._to = job.get("ballast_to", sys.maxsize)
        self._held = b""

    def page(self, progress: Progress) -> None:
        """Called after each page."""
        holds = self._from <= progress.pages < self._to
        if holds and not self._held:
            self._held = b"x" * self._bytes
        elif not holds:
            self._held = b""


def peak_mb() -> float:
    """Most resident memory this process ever had; unlike ru_maxrss not its parent's."""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in each]
    return int(line.split()[1]) / 1024


def warm(settings: PipedriveSettings) -> int:
    """Resident MB after everything that a sync loads was loaded once."""
    with open_session(settings) as session:
        session.sync("users")
    return SystemProbe().rss_bytes() // MIB


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Sync the job's entities; stops at the first error."""
    settings = load_settings()
    if "headroom_mb" in job:
        limit_mb = warm(settings) + job["headroom_mb"]
        settings = PipedriveSettings(**{**settings.model_dump(), "memory_limit_mb": limit_mb})
    ballast = Ballast(job)
    report: dict[str, Any] = {"error": None, "fetched": 0}
    with open_session(settings) as session:
        report["limit_mb"] = session.memory.limit_mb
        report["limit_origin"] = session.memory.sample().limit_origin
        try:
            for entity in job["entities"]:
                result = session.sync(entity, SyncOptions(mode=SyncMode.FULL), on_progress=ballast.page)
                report["fetched"] += result.fetched
        except PipedriveException as error:
            report["error"] = error.to_dict()
    return {**report, "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
