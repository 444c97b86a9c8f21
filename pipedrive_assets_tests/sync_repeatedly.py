"""A process of its own that syncs again and again, and says as JSON what memory it holds after each time.

``python -m pipedrive_assets_tests.sync_repeatedly library|dagster TIMES``, settings in the environment.
Between two syncs nothing is kept on purpose: a session is opened and closed for each, as in a worker that
lives for weeks.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipedrive_assets.api.memory_probe import SystemProbe
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.options import SyncMode, SyncOptions
from pipedrive_assets.sync.session import open_session

ENTITIES = ("deals", "persons", "activities", "notes", "leads", "deal_products")
MIB = 1 << 20


def by_library() -> None:
    """Everything anew, then once more incrementally."""
    for mode in (SyncMode.FULL, SyncMode.INCREMENTAL):
        with open_session(load_settings()) as session:
            for entity in ENTITIES:
                session.sync(entity, SyncOptions(mode=mode))


def by_dagster() -> Callable[[], None]:
    """A run in this process, its events on disk."""
    import dagster as dg

    from pipedrive_assets.defs.build import build_defs
    from pipedrive_assets.defs.entities import entity_key
    from pipedrive_assets.defs.jobs import ENTITY_JOB
    from pipedrive_assets.defs.partitions import KeyRange
    from pipedrive_assets.defs.run_tags import range_tags

    events = Path(os.environ["DAGSTER_HOME"]) / "instance"
    events.mkdir()
    instance = dg.DagsterInstance.local_temp(str(events))
    definitions = build_defs(load_settings())

    def run() -> None:
        ended = definitions.resolve_job_def(ENTITY_JOB).execute_in_process(
            instance=instance,
            asset_selection=[entity_key(name) for name in ENTITIES],
            tags=range_tags(KeyRange("2026-06", "2026-06")),
        )
        assert ended.success

    return run


def main(way: str, times: int) -> list[float]:
    """Resident MB after each sync."""
    sync = by_library if way == "library" else by_dagster()
    probe = SystemProbe()
    held = []
    for _ in range(times):
        sync()
        gc.collect()
        held.append(probe.rss_bytes() / MIB)
    return held


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
