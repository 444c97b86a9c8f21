"""What SQLite's errors mean for the state store, and what a person can do about each."""

from __future__ import annotations

_ELSEWHERE = "set PIPEDRIVE_STATE_URL (or DAGSTER_HOME) to a file in a writable folder"
_BUSY = ("database is locked", "database table is locked")
_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("not a database", "malformed", "unsupported file format"),
        "is damaged or is no SQLite database; nothing was changed. Restore a backup, or move it away: a"
        " new one begins without what was spent today, and no record is lost",
    ),
    (("unable to open database file",), f"cannot be opened, it may be a folder; {_ELSEWHERE}"),
    (("readonly database", "read-only"), f"cannot be written to; give this user the rights, or {_ELSEWHERE}"),
    (
        ("disk is full", "disk i/o error"),
        "cannot be written to, its disk is full or failing; free some room, then run it again",
    ),
    (_BUSY, "is held by another program; end that program, then run it again"),
)


def is_busy(error: BaseException) -> bool:
    """Whether another program has the database, so that trying again may help."""
    return any(phrase in str(error).lower() for phrase in _BUSY)


def meaning(error: BaseException) -> str:
    """What happened to the store and what to do, to be said after its name."""
    message = str(error).lower()
    return next(
        (text for phrases, text in _MEANINGS if any(phrase in message for phrase in phrases)), "failed"
    )
