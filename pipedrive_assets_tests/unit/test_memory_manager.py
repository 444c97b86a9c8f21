"""Page sizes follow the memory that is left, within the configured bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.memory_probe import MemoryLimit, SystemProbe
from pipedrive_assets.exceptions import PipedriveMemoryException
from pipedrive_assets.settings import PipedriveSettings

MIB = 1 << 20


class Gauge:
    """A probe whose figures the test sets."""

    def __init__(self, percent: float = 10.0, limit_bytes: int = 1000 * MIB) -> None:
        self.percent = percent
        self.limit_bytes = limit_bytes

    def rss_bytes(self) -> int:
        return int(self.limit_bytes * self.percent / 100)

    def limit(self, configured_mb: int | None) -> MemoryLimit:
        return MemoryLimit(self.limit_bytes, "machine")


def manager(gauge: Gauge, **settings: Any) -> PipedriveMemoryManager:
    return PipedriveMemoryManager(PipedriveSettings(force_gc=False, **settings), gauge)


bounds = st.tuples(st.integers(1, 500), st.integers(1, 500)).map(sorted)


@given(
    bounds=bounds,
    page_max=st.integers(1, 500),
    percents=st.lists(st.floats(0, 150), max_size=30),
    adaptive=st.booleans(),
)
def test_a_page_is_never_outside_its_bounds_whatever_memory_does(
    bounds: list[int], page_max: int, percents: list[float], adaptive: bool
) -> None:
    gauge = Gauge()
    memory = manager(gauge, min_batch_size=bounds[0], max_batch_size=bounds[1], adaptive_pagination=adaptive)
    for percent in percents:
        gauge.percent = percent
        memory.after_batch()
        size = memory.page_size(page_max)
        assert min(bounds[0], page_max) <= size <= min(bounds[1], page_max)


@given(bounds=bounds, page_max=st.integers(1, 500), pressed=st.integers(0, 40))
def test_pages_recover_fully_after_any_pressure(bounds: list[int], page_max: int, pressed: int) -> None:
    gauge = Gauge(percent=99)
    memory = manager(gauge, min_batch_size=bounds[0], max_batch_size=bounds[1])
    for _ in range(pressed):
        memory.after_batch()
    gauge.percent = 20
    for _ in range(20):
        memory.after_batch()
    assert memory.page_size(page_max) == min(bounds[1], page_max)


def test_pages_shrink_by_half_while_the_threshold_is_passed() -> None:
    gauge = Gauge(percent=81)
    memory = manager(gauge)
    sizes = []
    for _ in range(7):
        memory.after_batch()
        sizes.append(memory.page_size(500))
    assert sizes == [250, 125, 62, 31, 15, 10, 10]


def test_pages_do_not_grow_back_just_below_the_threshold() -> None:
    gauge = Gauge(percent=81)
    memory = manager(gauge)
    memory.after_batch()
    gauge.percent = 78
    memory.after_batch()
    assert memory.page_size(500) == 250
    gauge.percent = 75
    memory.after_batch()
    assert memory.page_size(500) == 375


def test_the_threshold_is_the_configured_one() -> None:
    gauge = Gauge(percent=60)
    assert not manager(gauge).under_pressure
    assert manager(gauge, memory_threshold=55).under_pressure


def test_without_adaptive_pagination_pages_keep_their_size() -> None:
    memory = manager(Gauge(percent=99), adaptive_pagination=False)
    memory.after_batch()
    assert memory.page_size(500) == 500


def test_a_list_that_takes_no_limit_gets_none() -> None:
    assert manager(Gauge()).page_size(0) == 0


@pytest.mark.parametrize(("force", "collections"), [(True, 1), (False, 0)])
def test_garbage_is_collected_after_a_batch_only_where_the_setting_says_so(
    force: bool, collections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("pipedrive_assets.api.memory.gc.collect", seen.append)
    PipedriveMemoryManager(PipedriveSettings(force_gc=force), Gauge()).after_batch()
    assert len(seen) == collections


def test_the_peak_is_remembered() -> None:
    gauge = Gauge(percent=50)
    memory = manager(gauge)
    memory.sample()
    gauge.percent = 20
    assert memory.sample().rss_bytes < memory.peak_rss_bytes == 500 * MIB


def test_headroom_is_demanded_only_by_the_caller() -> None:
    memory = manager(Gauge(percent=97))
    memory.after_batch()
    memory.require_headroom(98)
    with pytest.raises(PipedriveMemoryException, match=r"970 MB of 1000 MB \(machine limit\)") as caught:
        memory.require_headroom(95)
    assert caught.value.retryable
    assert caught.value.context.details["limit_bytes"] == 1000 * MIB


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def limit(root: Path, membership: str, configured_mb: int | None = None) -> MemoryLimit:
    tree(root, {"membership": membership})
    return SystemProbe(root, root / "membership").limit(configured_mb)


def test_the_tightest_control_group_on_the_way_up_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "pod/memory.max": f"{64 * MIB}\n",
            "pod/app/memory.max": "max\n",
            "other/memory.max": f"{1 * MIB}\n",
        },
    )
    assert limit(root, "0::/pod/app\n") == MemoryLimit(64 * MIB, "cgroup")


def test_a_control_group_named_by_the_hosts_path_is_found_at_the_mounted_root(tmp_path: Path) -> None:
    root = tree(tmp_path, {"memory.max": f"{32 * MIB}\n"})
    assert limit(root, "0::/../../kubepods/burstable/x\n") == MemoryLimit(32 * MIB, "cgroup")


def test_version_one_control_groups_are_read(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/docker/memory.limit_in_bytes": f"{48 * MIB}\n",
        },
    )
    assert limit(root, "11:cpu,cpuacct:/docker\n4:memory:/docker\n") == MemoryLimit(48 * MIB, "cgroup")


def test_a_configured_limit_below_the_containers_goes_first(tmp_path: Path) -> None:
    root = tree(tmp_path, {"memory.max": f"{96 * MIB}\n"})
    assert limit(root, "0::/\n", configured_mb=64) == MemoryLimit(64 * MIB, "setting")


def test_a_containers_limit_below_the_configured_one_is_not_overridden(tmp_path: Path) -> None:
    root = tree(tmp_path, {"memory.max": f"{96 * MIB}\n"})
    assert limit(root, "0::/\n", configured_mb=4096) == MemoryLimit(96 * MIB, "cgroup")


@pytest.mark.parametrize("membership", ["", "0::/\n", "nonsense\n", "4:memory:/gone\n"])
def test_without_any_limit_the_machines_memory_counts(membership: str, tmp_path: Path) -> None:
    found = limit(tree(tmp_path, {"memory.max": "max\n"}), membership)
    assert found.origin == "machine"
    assert found.bytes > 64 * MIB


def test_this_process_can_be_measured() -> None:
    memory = PipedriveMemoryManager(PipedriveSettings(), SystemProbe())
    assert 0 < memory.sample().percent < 100
