"""Log events that a person at the terminal has to know of, as sentences; ``--verbose`` shows all of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from pipedrive_assets.logs import ROOT, log_to

SENTENCES: Mapping[str, str] = {
    "setting_warning": "Warning: {reason}",
    "waiting_for_lease": "Waiting: {entity} is being synced by {held_by}",
    "warehouse_waited_for": "Waiting: the warehouse {warehouse} is in use by {holder}",
    "memory_high": "Warning: {used_mb} MB of {limit_mb} MB ({limit_origin} limit) are in use",
    "request_retry": "Retrying {endpoint} in {delay_s} s after {error} (attempt {attempt})",
}


class Notices(logging.Handler):
    """Writes a sentence to standard error for each event of the table, and nothing for others."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say the sentence; an event that lacks one of its fields is shown as it was logged."""
        event = getattr(record, "pipedrive", None)
        sentence = SENTENCES.get(event.get("event", "")) if isinstance(event, dict) else None
        if sentence is None or not isinstance(event, dict):
            return
        try:
            text = sentence.format_map(event)
        except KeyError:
            text = record.getMessage()
        click.echo(text, err=True)


@contextmanager
def notices(*, verbose: bool) -> Iterator[None]:
    """Show events on standard error for as long as a command runs."""
    logger = logging.getLogger(ROOT)
    level = logger.level
    handler: logging.Handler
    if verbose:
        handler = log_to(sys.stderr, level=logging.DEBUG)
    else:
        handler = Notices(logging.INFO)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
