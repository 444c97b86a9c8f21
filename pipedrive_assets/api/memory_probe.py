"""What counts against this process's memory limit, and which limit that is: container, setting, machine.

Linux keeps a container's limit in a control group. Of version 2 (``memory.max``) every group on the way up
limits its descendants; of version 1 the kernel itself says what holds (``hierarchical_memory_limit``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

_MEBIBYTE = 1 << 20
_UNLIMITED_V1 = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of the page size that fits into 63 bits."""
_HELD = (("total_rss", "anon"), ("total_shmem", "shmem"))
"""Lines of ``memory.stat``, of version 1 and 2, about what cannot be dropped like a cached file can."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit and whose it is: ``cgroup``, ``setting`` or ``machine``.

    ``group`` is the folder of the control group that has it: all processes in there share the limit.
    """

    bytes: int
    origin: str
    group: Path | None = field(default=None, compare=False)


class MemoryProbe(Protocol):
    """Where figures come from."""

    def rss_bytes(self) -> int:
        """Resident memory of this process."""
        ...

    def used_bytes(self, limit: MemoryLimit) -> int:
        """What counts against ``limit``."""
        ...

    def limit(self, configured_mb: int | None) -> MemoryLimit:
        """The limit that holds for this process."""
        ...


class SystemProbe:
    """Linux and its control groups; elsewhere the configured limit or the machine's memory.

    ``cgroup_root`` is where control groups are mounted, ``membership`` the file that names this process's.
    """

    def __init__(
        self,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
        membership: Path = Path("/proc/self/cgroup"),
    ) -> None:
        self._cgroup_root = cgroup_root
        self._membership = membership
        self._process = psutil.Process()

    def rss_bytes(self) -> int:
        """Resident memory of this process."""
        return int(self._process.memory_info().rss)

    def used_bytes(self, limit: MemoryLimit) -> int:
        """What all processes of a container hold, where the limit is the container's; else this one's.

        The kernel ends whichever of them it likes once their sum is too large, so the sum is what counts; but
        not the pages of program files, a third of this process, which it can drop and read again.
        """
        if limit.group is None:
            return self.rss_bytes()
        resident = self._process.memory_info()
        figures = dict(_figures(limit.group / "memory.stat"))
        held = sum(figures.get(older, figures.get(newer, 0)) for older, newer in _HELD)
        return max(int(resident.rss - getattr(resident, "shared", 0)), held)

    def limit(self, configured_mb: int | None) -> MemoryLimit:
        """The smallest of what is known; the machine's memory never hides a container's limit."""
        known = [MemoryLimit(int(psutil.virtual_memory().total), "machine")]
        known += self._cgroup_limits()
        if configured_mb is not None:
            known.append(MemoryLimit(configured_mb * _MEBIBYTE, "setting"))
        return min(known, key=lambda limit: limit.bytes)

    def _cgroup_limits(self) -> Iterator[MemoryLimit]:
        """Limits of the own control group and of those around it, in both versions."""
        for line in _lines(self._membership):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                yield from _limits_v2(self._cgroup_root, path)
            elif "memory" in controllers.split(","):
                yield from _limits_v1(self._cgroup_root / "memory", path)


def _limits_v2(root: Path, path: str) -> Iterator[MemoryLimit]:
    for group in _upwards(root, path):
        for line in _lines(group / "memory.max"):
            yield from _limit(line, group)


def _limits_v1(root: Path, path: str) -> Iterator[MemoryLimit]:
    for group in _upwards(root, path):
        for line in _lines(group / "memory.limit_in_bytes"):
            yield from _limit(line, group)
        # Also of groups around the container, which are not mounted in it.
        for name, value in _figures(group / "memory.stat"):
            if name == "hierarchical_memory_limit":
                yield from _limit(str(value), group)
                return


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The group at ``path`` and those around it, innermost first, as far as they are mounted.

    Inside a container the path may be the host's, of which only the container's part is mounted, as root.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(parts), -1, -1):
        group = root.joinpath(*parts[:depth])
        if group.is_dir():
            yield group


def _limit(text: str, group: Path) -> Iterator[MemoryLimit]:
    if text.isascii() and text.isdecimal() and 0 < int(text) < _UNLIMITED_V1:
        yield MemoryLimit(int(text), "cgroup", group)


def _figures(path: Path) -> Iterator[tuple[str, int]]:
    for line in _lines(path):
        name, _, value = line.partition(" ")
        if value.isascii() and value.isdecimal():
            yield name, int(value)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
