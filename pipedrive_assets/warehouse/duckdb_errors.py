"""What DuckDB's errors mean for the warehouse, and what a person can do about each.

DuckDB raises one IOException class for most of these, so its wording is all there is to tell them apart.
"""

from __future__ import annotations

import duckdb

_BUSY = ("could not set lock", "unique file handle conflict", "used by another process")
_OF_THE_FILE = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.TransactionException,
    duckdb.SerializationException,
)
"""Others are about a statement; the word "corrupt" in one of them is a user's."""
_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("version number", "newer duckdb", "newer version of duckdb"),
        "was written by a newer DuckDB; upgrade the duckdb package. Nothing was changed",
    ),
    (
        ("is a directory",),
        "is a folder; set PIPEDRIVE_WAREHOUSE to a file in it. Nothing was changed",
    ),
    (
        ("no space left", "file too large", "disk quota"),
        "has no room left on its disk; free some, then run it again. What was committed is kept",
    ),
    (
        ("failed to pin block", "out of memory", "failed to allocate", "could not allocate"),
        "needs more memory than DuckDB is given; raise PIPEDRIVE_WAREHOUSE_MEMORY_LIMIT_MB. What was"
        " committed is kept",
    ),
    (
        ("permission denied", "operation not permitted", "read-only file system"),
        "cannot be opened or written to with this user's rights; give it the rights, or set"
        " PIPEDRIVE_WAREHOUSE to a file in a writable folder. Nothing was changed",
    ),
    (
        (
            "not a valid duckdb database",
            "corrupt",
            "checksum",
            "failure while replaying wal",
            "could not read enough bytes",
        ),
        "is damaged or is no DuckDB file; nothing was changed. Restore a backup, "
        "or set PIPEDRIVE_WAREHOUSE to a new file and sync again",
    ),
)
"""Looked through from the top: a disk that is full shows in a checkpoint that failed, too."""


def is_busy(error: duckdb.Error) -> bool:
    """Whether another process has the file."""
    return any(phrase in str(error).lower() for phrase in _BUSY)


def meaning(error: duckdb.Error) -> str | None:
    """What happened to the warehouse and what to do, to be said after its name; None for other errors."""
    if not isinstance(error, _OF_THE_FILE):
        return None
    message = str(error).lower()
    return next((text for phrases, text in _MEANINGS if any(phrase in message for phrase in phrases)), None)


def in_one_line(error: duckdb.Error) -> str:
    """DuckDB's message without the excerpt of the statement, or the general advice, that it ends with."""
    told = str(error).split("\nLINE ", 1)[0].split("Possible solutions:", 1)[0]
    return " ".join(told.split())
