"""Progress of a sync: moving bars on a terminal, a line per entity elsewhere, nothing with ``--json``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from pipedrive_assets.cli.output import Output
from pipedrive_assets.sync.context import Progress as Page
from pipedrive_assets.sync.result import SyncResult, SyncStatus


class Watcher:
    """Told of each page and of each entity that is done; this one says nothing."""

    def page(self, page: Page) -> None:
        """A page has come."""

    def done(self, result: SyncResult) -> None:
        """An entity has been synced."""

    def failed(self, entity: str, reason: str) -> None:
        """An entity could not be synced."""


class _Lines(Watcher):
    def __init__(self, output: Output) -> None:
        self._output = output

    def done(self, result: SyncResult) -> None:
        self._output.say(summary(result))

    def failed(self, entity: str, reason: str) -> None:
        self._output.say(f"{entity}: failed, {reason}")


class _Bars(_Lines):
    def __init__(self, output: Output, bars: Progress, entities: int) -> None:
        super().__init__(output)
        self._bars = bars
        self._task = bars.add_task("", total=entities)

    def page(self, page: Page) -> None:
        text = f"{page.entity}: {page.rows:,} rows, {page.pages:,} pages, {page.tokens:,} tokens"
        self._bars.update(self._task, description=text)

    def done(self, result: SyncResult) -> None:
        super().done(result)
        self._bars.advance(self._task)

    def failed(self, entity: str, reason: str) -> None:
        super().failed(entity, reason)
        self._bars.advance(self._task)


@contextmanager
def watching(output: Output, entities: int) -> Iterator[Watcher]:
    """Show the progress of syncing that many entities."""
    if not output.is_terminal:
        yield _Lines(output)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=output.console, transient=True) as bars:
        yield _Bars(output, bars, entities)


def summary(result: SyncResult) -> str:
    """One line on what a sync did."""
    if result.status in {SyncStatus.SKIPPED, SyncStatus.BUSY}:
        return f"{result.entity}: {result.status.value}, {result.reason}"
    changes = [
        f"{count:,} {name}"
        for name, count in (
            ("new", result.created),
            ("changed", result.updated),
            ("unchanged", result.unchanged),
            ("gone", result.tombstoned),
            ("quarantined values", result.quarantined),
        )
        if count
    ]
    detail = f" ({', '.join(changes)})" if changes else ""
    line = (
        f"{result.entity}: {result.fetched:,} rows{detail},"
        f" {result.requests:,} requests, {result.tokens:,} tokens, {result.seconds:.1f} s"
    )
    return f"{line}; {result.status.value}: {result.reason}" if result.reason else line
