"""What this process uses of memory, and what it may use: container, configuration, machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

_MEBIBYTE = 1 << 20
_UNLIMITED_V1 = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of the page size that fits into 63 bits."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit and whose it is: ``cgroup``, ``setting`` or ``machine``."""

    bytes: int
    origin: str


class MemoryProbe(Protocol):
    """Where figures come from."""

    def rss_bytes(self) -> int:
        """Resident memory of this process."""
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

    def limit(self, configured_mb: int | None) -> MemoryLimit:
        """The smallest of what is known; the machine's memory never hides a container's limit."""
        known = [MemoryLimit(int(psutil.virtual_memory().total), "machine")]
        known += [MemoryLimit(value, "cgroup") for value in self._cgroup_limits()]
        if configured_mb is not None:
            known.append(MemoryLimit(configured_mb * _MEBIBYTE, "setting"))
        return min(known, key=lambda limit: limit.bytes)

    def _cgroup_limits(self) -> Iterator[int]:
        """Limits of the own control group and of those around it, in both versions."""
        for line in _lines(self._membership):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                yield from self._walk_up(self._cgroup_root, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from self._walk_up(self._cgroup_root / "memory", path, "memory.limit_in_bytes")

    def _walk_up(self, root: Path, path: str, name: str) -> Iterator[int]:
        # Inside a container the path may be the host's, of which only the root is mounted: skip what is not.
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            for line in _lines(root.joinpath(*parts[:depth], name)):
                if line.isdecimal() and 0 < int(line) < _UNLIMITED_V1:
                    yield int(line)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
