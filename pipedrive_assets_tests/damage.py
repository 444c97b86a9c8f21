"""What can be wrong with the two files that this product keeps, done to good ones.

Each damage has a sentence that a user must be told.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pytest

from pipedrive_assets.state.migrate import VERSION_TABLE

WORD = 2**64
HEADER_BYTES = 4096


@dataclass(frozen=True)
class Damage:
    """One way to break the warehouse or the state store; ``told`` is a pattern of what has to be said."""

    of: Literal["warehouse", "state"]
    what: str
    do: Callable[[Path], object]
    told: str

    def __str__(self) -> str:
        return f"{self.of}-{self.what}"


def digest(path: Path) -> str:
    """Of a file its content, of a folder what is in it."""
    if path.is_dir():
        return ",".join(sorted(each.name for each in path.iterdir()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def write_protected(path: Path) -> Iterator[None]:
    """Nothing may be written to ``path`` inside, not even by root, whom permission bits do not stop."""
    as_root = os.geteuid() == 0
    mode = path.stat().st_mode
    if as_root:
        made = subprocess.run(["chattr", "+i", str(path)], capture_output=True, check=False)
        if made.returncode != 0:
            pytest.skip("root may write anywhere here: the file system has no immutable files")
    else:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        if as_root:
            subprocess.run(["chattr", "-i", str(path)], check=True)
        else:
            path.chmod(mode)


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _overwritten(start: int, size: int) -> Callable[[Path], object]:
    def do(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[start : start + size] = _noise(size)
        path.write_bytes(content)

    return do


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("not to be touched")


def _newer_state(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")


def _state_of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE events (payload TEXT)")
        connection.execute("INSERT INTO events VALUES ('mine')")


def _newer_warehouse(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO pipedrive_meta.version VALUES (99, now())")


def _warehouse_of_another_loader(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA pipedrive")
        connection.execute("CREATE TABLE pipedrive.users AS SELECT 1 AS mine")


def _newer_storage(path: Path) -> None:
    """The file as a DuckDB of the future would write it: a higher number, and the sum that goes with it."""
    content = bytearray(path.read_bytes())
    (stored,) = struct.unpack_from("<Q", content)
    assert stored == _sum(content[8:HEADER_BYTES]), "DuckDB sums its first block in another way now"
    struct.pack_into("<Q", content, 12, 9999)
    struct.pack_into("<Q", content, 0, _sum(content[8:HEADER_BYTES]))
    path.write_bytes(content)


def _sum(block: bytes | bytearray) -> int:
    total = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        total ^= word * 0xBF58476D1CE4E5B9 % WORD
    return total


DAMAGES = (
    Damage("state", "garbage", lambda path: path.write_bytes(_noise(30_000)), "is damaged or is no SQLite"),
    Damage("state", "cut-short", lambda path: os.truncate(path, 5000), "is damaged or is no SQLite"),
    Damage("state", "overwritten", _overwritten(4096, 40_000), "is damaged or is no SQLite"),
    Damage("state", "newer", _newer_state, "written by a newer version.*upgrade pipedrive-assets"),
    Damage("state", "folder", _folder, "may be a folder; set PIPEDRIVE_STATE_URL"),
    Damage(
        "state",
        "of-another-program",
        _state_of_another_program,
        "tables of another program.*PIPEDRIVE_STATE_URL",
    ),
    Damage("warehouse", "empty", lambda path: path.write_bytes(b""), "is damaged or is no DuckDB file"),
    Damage(
        "warehouse",
        "garbage",
        lambda path: path.write_bytes(_noise(30_000)),
        "is damaged or is no DuckDB file",
    ),
    Damage("warehouse", "cut-short", lambda path: os.truncate(path, 100_000), "Restore a backup"),
    Damage("warehouse", "overwritten", _overwritten(100, 5000), "Restore a backup"),
    Damage("warehouse", "newer", _newer_warehouse, "written by a newer pipedrive-assets.*upgrade"),
    Damage("warehouse", "newer-duckdb", _newer_storage, "written by a newer DuckDB; upgrade"),
    Damage("warehouse", "folder", _folder, "is a folder; set PIPEDRIVE_WAREHOUSE"),
    Damage(
        "warehouse",
        "of-another-loader",
        _warehouse_of_another_loader,
        "another program made.*PIPEDRIVE_WAREHOUSE",
    ),
)
