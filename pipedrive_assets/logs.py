"""Named log events with fields, one line each: a run can be read from them, by people and by machines.

``page_fetched entity=deals rows=500 tokens=10 wait_ms=0`` is the text; the same fields are in
``record.pipedrive`` for handlers that write JSON. Secrets are masked before a record leaves this module.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

from pipedrive_assets.redaction import redact, redact_value, register_secret

__all__ = ["RedactingFilter", "get_logger", "log_event", "log_to", "redact", "register_secret"]

ROOT = "pipedrive_assets"


def get_logger(name: str) -> logging.Logger:
    """The logger called ``name``, below ``pipedrive_assets`` (the name Dagster is told to capture)."""
    return logging.getLogger(name if name == ROOT or name.startswith(f"{ROOT}.") else f"{ROOT}.{name}")


def log_event(
    logger: logging.Logger, name: str, level: int = logging.INFO, *, exc_info: bool = False, **fields: Any
) -> None:
    """Log the event ``name`` with ``fields`` in the order given; a field that is None is written as ``-``."""
    if not logger.isEnabledFor(level):
        return
    plain = {key: _plain(value) for key, value in fields.items()}
    line = redact(" ".join([name, *(f"{key}={_text(value)}" for key, value in plain.items())]))
    event = {"event": name, **redact_value(plain)}
    # As an argument, not as the format: a percent sign in a field is not a placeholder.
    logger.log(level, "%s", line, exc_info=exc_info, extra={"pipedrive": event}, stacklevel=2)


class RedactingFilter(logging.Filter):
    """Masks secrets in any record, also those of other libraries; put it on handlers.

    On a logger it would miss the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite message and traceback in place; never drops a record."""
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def log_to(stream: TextIO, *, level: int) -> logging.Handler:
    """Send the package's events at ``level`` and above to ``stream``, redacted; returns the handler.

    The caller takes it off again with ``logging.getLogger("pipedrive_assets").removeHandler``.
    """
    handler = logging.StreamHandler(stream)
    handler.setLevel(level)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger(ROOT)
    root.addHandler(handler)
    root.setLevel(min(level, root.level) if root.level else level)
    return handler


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, float):
        return round(value, 3)
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    # One line per event, and one token per field: anything that would break either is quoted.
    if not text or not text.isprintable() or any(sign in text for sign in ' "=\\'):
        # Escaped in full where it is not printable: JSON itself lets line separators such as U+0085 stand.
        return json.dumps(text, ensure_ascii=not text.isprintable())
    return text
