"""Page sizes follow the memory that is left, within the configured bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_assets.api.memory import PipedriveMemoryManager
from pipedrive_assets.api.memory_probe import MemoryLimit, SystemProbe
from pipedrive_assets.exceptions import ErrorContext, PipedriveMemoryException
from pipedrive_assets.settings import PipedriveSettings

MIB = 1 << 20
CALM, HIGH, CRITICAL = 20.0, 86.0, 99.0


class Gauge:
    """A probe whose figures the test sets."""

    def __init__(
        self, percent: float = 10.0, limit_bytes: int = 1000 * MIB, group: Path | None = None
    ) -> None:
        self.percent = percent
        self.limit_bytes = limit_bytes
        self.group = group
        self.others = 0

    def rss_bytes(self) -> int:
        return int(self.limit_bytes * self.percent / 100)

    def used_bytes(self, limit: MemoryLimit) -> int:
        return self.rss_bytes() + self.others

    def limit(self, configured_mb: int | None) -> MemoryLimit:
        return MemoryLimit(self.limit_bytes, "machine" if self.group is None else "cgroup", self.group)


def manager(gauge: Gauge, **settings: Any) -> PipedriveMemoryManager:
    return PipedriveMemoryManager(PipedriveSettings(force_gc=False, **settings), gauge)


def pressed(gauge: Gauge, **settings: Any) -> PipedriveMemoryManager:
    """A manager that began calm and whose pages have come down as far as they go."""
    memory = manager(gauge, **settings)
    gauge.percent = CRITICAL
    for _ in range(20):
        memory.after_batch()
    return memory


# Page sizes ---------------------------------------------------------------------------------------

bounds = st.tuples(st.integers(1, 500), st.integers(1, 500)).map(sorted)
thresholds = st.tuples(st.integers(50, 95), st.integers(50, 100))


@given(
    bounds=bounds,
    page_max=st.integers(1, 500),
    percents=st.lists(st.floats(0, 150), max_size=30),
    thresholds=thresholds,
    adaptive=st.booleans(),
    resumed_at=st.floats(0, 2) | st.none(),
)
def test_a_page_is_never_outside_its_bounds_whatever_memory_does(
    bounds: list[int],
    page_max: int,
    percents: list[float],
    thresholds: tuple[int, int],
    adaptive: bool,
    resumed_at: float | None,
) -> None:
    gauge = Gauge()
    memory = manager(
        gauge,
        min_batch_size=bounds[0],
        max_batch_size=bounds[1],
        adaptive_pagination=adaptive,
        memory_threshold=thresholds[0],
        memory_alert_threshold=50,
        memory_critical_threshold=thresholds[1],
    )
    if resumed_at is not None:
        memory.start_at(resumed_at)
    for percent in percents:
        gauge.percent = percent
        memory.after_batch()
        size = memory.page_size(page_max)
        assert min(bounds[0], page_max) <= size <= min(bounds[1], page_max)
        assert 1 <= memory.pages_per_batch(10) <= 10


@given(bounds=bounds, page_max=st.integers(1, 500), times=st.integers(0, 40))
def test_pages_and_batches_recover_fully_after_any_pressure(
    bounds: list[int], page_max: int, times: int
) -> None:
    gauge = Gauge()
    memory = manager(gauge, min_batch_size=bounds[0], max_batch_size=bounds[1])
    gauge.percent = CRITICAL
    for _ in range(times):
        memory.after_batch()
    gauge.percent = CALM
    for _ in range(25):
        memory.after_batch()
    assert memory.page_size(page_max) == min(bounds[1], page_max)
    assert memory.pages_per_batch(10) == 10


@given(percents=st.lists(st.floats(0, 150), min_size=2, max_size=2).map(sorted))
def test_more_memory_in_use_never_means_larger_pages(percents: list[float]) -> None:
    sizes = []
    for percent in percents:
        gauge = Gauge()
        memory = manager(gauge)
        gauge.percent = percent
        for _ in range(20):
            memory.after_batch()
        sizes.append((memory.pages_per_batch(10), memory.page_size(500)))
    assert sizes == sorted(sizes, reverse=True)


def test_batches_shrink_before_pages_do_and_both_by_half() -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = CRITICAL
    seen = []
    for _ in range(10):
        memory.after_batch()
        seen.append((memory.pages_per_batch(10), memory.page_size(500)))
    full = [(5, 500), (2, 500), (1, 500)]
    assert seen == [*full, (1, 312), (1, 156), (1, 78), (1, 39), (1, 19), (1, 10), (1, 10)]


@pytest.mark.parametrize(
    ("percent", "size"), [(79, 500), (81, 466), (88, 233), (94, 33), (95, 10), (120, 10)]
)
def test_above_the_threshold_pages_are_as_large_as_the_room_left_to_the_critical_one(
    percent: float, size: int
) -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = percent
    for _ in range(20):
        memory.after_batch()
    assert memory.page_size(500) == size


def test_a_batch_that_itself_overran_the_limit_makes_the_next_smaller_although_it_was_given_back() -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = CRITICAL

    def give_back() -> None:
        gauge.percent = CALM

    memory.after_batch(give_back)
    assert (memory.pages_per_batch(10), memory.page_size(500)) == (5, 500)


def test_what_has_shrunk_does_not_grow_back_just_below_where_it_had_to() -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = 88
    for _ in range(20):
        memory.after_batch()
    sizes = []
    for percent in (85, 83, 80, 75, 75):
        gauge.percent = percent
        memory.after_batch()
        sizes.append(memory.page_size(500))
    assert sizes == [233, 233, 333, 500, 500]


def test_memory_that_is_short_before_the_first_page_makes_the_first_batches_small() -> None:
    assert manager(Gauge(percent=20)).pages_per_batch(10) == 10
    tight = manager(Gauge(percent=70))
    assert (tight.pages_per_batch(10), tight.page_size(500)) == (7, 500)
    tighter = manager(Gauge(percent=94))
    assert (tighter.pages_per_batch(10), tighter.page_size(500)) == (1, 500)


def test_an_interrupted_sync_goes_on_no_larger_than_it_had_come_down_to() -> None:
    before = pressed(Gauge())
    after = manager(Gauge())
    after.start_at(before.scale)
    assert after.page_size(500) == before.page_size(500) == 10
    after.start_at(1.0)
    assert after.page_size(500) == 10


def test_the_threshold_is_the_configured_one() -> None:
    gauge = Gauge(percent=60)
    assert not manager(gauge).under_pressure
    assert manager(gauge, memory_threshold=55).under_pressure


def test_without_adaptive_pagination_pages_and_batches_keep_their_size() -> None:
    memory = pressed(Gauge(), adaptive_pagination=False)
    assert (memory.page_size(500), memory.pages_per_batch(10)) == (500, 10)


def test_a_list_that_takes_no_limit_gets_none() -> None:
    assert manager(Gauge()).page_size(0) == 0


# Collecting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("force", "collections"), [(True, 1), (False, 0)])
def test_garbage_is_collected_after_a_batch_only_where_the_setting_says_so(
    force: bool, collections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("pipedrive_assets.api.memory.gc.collect", seen.append)
    PipedriveMemoryManager(PipedriveSettings(force_gc=force), Gauge()).after_batch()
    assert len(seen) == collections


@pytest.mark.parametrize(("percent", "given_back"), [(CALM, 0), (HIGH, 1)])
def test_what_the_caller_can_do_without_is_asked_for_only_under_pressure(
    percent: float, given_back: int
) -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = percent
    calls: list[bool] = []
    memory.after_batch(lambda: calls.append(True))
    assert len(calls) == given_back


def test_pages_keep_their_size_where_giving_back_was_enough() -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = HIGH

    def give_back() -> None:
        gauge.percent = CALM

    memory.after_batch(give_back)
    assert (memory.pages_per_batch(10), memory.page_size(500)) == (10, 500)


def test_the_peak_is_remembered() -> None:
    gauge = Gauge(percent=50)
    memory = manager(gauge)
    memory.sample()
    gauge.percent = 20
    assert memory.sample().rss_bytes < memory.peak_rss_bytes == 500 * MIB


# Warning and ending -------------------------------------------------------------------------------


def test_high_memory_is_warned_of_once_each_time_that_it_rises(caplog: pytest.LogCaptureFixture) -> None:
    gauge = Gauge()
    memory = manager(gauge, memory_alert_threshold=85)
    with caplog.at_level(logging.INFO, logger="pipedrive_assets"):
        for percent in (80, 86, 90, 84, 86, 80, 86):
            gauge.percent = percent
            memory.after_batch()
    told = [record.pipedrive for record in caplog.records if record.pipedrive["event"].startswith("memory")]  # type: ignore[attr-defined]
    assert [(event["event"], event["percent"]) for event in told] == [
        ("memory_high", 86),
        ("memory_calm", 80),
        ("memory_high", 86),
    ]
    assert told[0]["threshold"] == 85


def test_a_sync_is_ended_only_where_memory_is_critical_and_pages_cannot_get_smaller() -> None:
    gauge = Gauge()
    memory = manager(gauge)
    gauge.percent = CRITICAL
    for _ in range(10):  # the tenth batch is the first that was read in the smallest pages
        memory.require_headroom(500)
        memory.after_batch()
    with pytest.raises(PipedriveMemoryException):
        memory.require_headroom(500)
    memory = pressed(gauge := Gauge())
    gauge.percent = 95
    memory.require_headroom(500)
    gauge.percent = 96
    with pytest.raises(PipedriveMemoryException):
        memory.require_headroom(500)


@pytest.mark.parametrize(
    "settled",
    [
        lambda gauge: pressed(gauge),
        lambda gauge: pressed(gauge, adaptive_pagination=False),
        lambda gauge: pressed(gauge, min_batch_size=500),
    ],
)
def test_pages_that_may_not_shrink_do_not_keep_a_sync_from_being_ended(
    settled: Callable[[Gauge], PipedriveMemoryManager],
) -> None:
    with pytest.raises(PipedriveMemoryException):
        settled(Gauge()).require_headroom(500)


def test_the_error_says_how_much_is_in_use_and_where_and_may_be_tried_again() -> None:
    memory = pressed(Gauge(), memory_critical_threshold=97)
    with pytest.raises(PipedriveMemoryException) as caught:
        memory.require_headroom(500, context=ErrorContext(entity="deals", details={"rows": 40}))
    error = caught.value
    assert str(error) == "990 MB of 1000 MB (machine limit) are in use, although pages are down to 10 rows"
    assert error.retryable
    assert error.context.entity == "deals"
    assert error.context.details["rows"] == 40
    assert error.context.details["limit_mb"] == 1000
    assert error.context.details["page_size"] == 10


def test_a_process_that_is_too_large_before_it_reads_anything_is_not_tried_again() -> None:
    memory = pressed(Gauge(percent=97))
    with pytest.raises(PipedriveMemoryException, match="had 970 MB before it read anything") as caught:
        memory.require_headroom(500)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("origin", "advice"),
    [
        ("setting", "Raise PIPEDRIVE_MEMORY_LIMIT_MB"),
        ("cgroup", "Give the container more memory"),
        ("machine", "Give the machine more memory"),
    ],
)
def test_the_advice_is_about_the_limit_that_was_hit(origin: str, advice: str) -> None:
    error = PipedriveMemoryException("full", context=ErrorContext(details={"limit_origin": origin}))
    assert error.advice.startswith(f"Progress is kept. {advice}")


def test_in_a_container_what_the_others_hold_counts_too(tmp_path: Path) -> None:
    gauge = Gauge(percent=30, group=tmp_path)
    memory = manager(gauge)
    assert not memory.under_pressure
    gauge.others = 600 * MIB
    assert memory.under_pressure
    assert memory.sample().rss_bytes == 300 * MIB


# Limits -------------------------------------------------------------------------------------------


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


def test_of_version_one_the_limit_that_the_kernel_says_holds_counts(tmp_path: Path) -> None:
    # That of a group around the container, which is not mounted in it.
    root = tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/memory.stat": f"cache 1\nhierarchical_memory_limit {80 * MIB}\ntotal_rss 5\n",
        },
    )
    assert limit(root, "4:memory:/kubepods/pod1/app\n") == MemoryLimit(80 * MIB, "cgroup")


def test_a_container_without_a_limit_of_its_own_has_that_of_its_pod(tmp_path: Path) -> None:
    root = tree(tmp_path, {"kubepods/pod/memory.max": f"{70 * MIB}\n", "kubepods/pod/app/cpu.max": "max\n"})
    assert limit(root, "0::/kubepods/pod/app\n") == MemoryLimit(70 * MIB, "cgroup")


def test_with_both_versions_mounted_the_one_that_has_the_controller_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "unified/cgroup.controllers": "\n",
            "memory/app/memory.limit_in_bytes": f"{72 * MIB}\n",
        },
    )
    assert limit(root, "4:memory:/app\n1:name=systemd:/app\n0::/app\n") == MemoryLimit(72 * MIB, "cgroup")


@pytest.mark.parametrize(
    ("membership", "stat", "held"),
    [
        ("0::/app\n", "anon {mib}\nfile {gib}\nshmem {mib}\n", 2),
        ("4:memory:/app\n", "rss 1\nshmem 1\ncache {gib}\ntotal_rss {mib}\ntotal_shmem {mib}\n", 2),
        ("4:memory:/app\n", "total_rss {mib}\n", 1),
    ],
)
def test_all_processes_of_a_container_count_but_not_its_cached_files(
    membership: str, stat: str, held: int, tmp_path: Path
) -> None:
    name = "app/memory.max" if membership.startswith("0") else "memory/app/memory.limit_in_bytes"
    stat_of = f"{Path(name).parent}/memory.stat"
    figures = stat.format(mib=1000 * MIB, gib=50_000 * MIB)
    root = tree(tmp_path, {name: f"{96 * MIB}\n", stat_of: figures, "membership": membership})
    probe = SystemProbe(root, root / "membership")
    found = probe.limit(None)
    assert found == MemoryLimit(96 * MIB, "cgroup")
    assert probe.used_bytes(found) == held * 1000 * MIB
    assert probe.used_bytes(MemoryLimit(96 * MIB, "setting")) < 1000 * MIB


@pytest.mark.parametrize("content", ["", "max", "-1", "0", "many", "12.5", "٣٤", "\xff\xfe", f"{1 << 62}"])
def test_a_limit_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    files = ("memory.max", "memory/memory.limit_in_bytes", "memory/memory.stat")
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{content}\nhierarchical_memory_limit {content}\n".encode("latin-1", "replace"))
    assert limit(tmp_path, "0::/\n4:memory:/\n").origin == "machine"


@pytest.mark.parametrize(
    "membership", ["", "0::/\n", "nonsense\n", "4:memory:/gone\n", "::::\n", "4:memory\n"]
)
def test_without_any_limit_the_machines_memory_counts(membership: str, tmp_path: Path) -> None:
    found = limit(tree(tmp_path, {"memory.max": "max\n"}), membership)
    assert found.origin == "machine"
    assert found.bytes > 64 * MIB


def test_this_process_can_be_measured() -> None:
    memory = PipedriveMemoryManager(PipedriveSettings(), SystemProbe())
    assert 0 < memory.sample().percent < 100
