"""What commands print: text and tables for people, one JSON object for machines, never both."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])

PAUSED = 3
"""Exit code where nothing is wrong but that the day's tokens are spent."""


def invoked_as() -> str:
    """How this program is called from here, ready to be pasted: its name if the shell would find it."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which(called.name) == str(called):
        return called.name
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))


class Output:
    """Standard output of one command."""

    def __init__(self) -> None:
        self.as_json = False
        self.console = Console(highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking, so that bars may move and questions be asked."""
        return self.console.is_terminal and not self.as_json

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line on standard error."""
        click.echo(f"Warning: {text}", err=True)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        title: str = "",
        foot: Sequence[object] = (),
    ) -> None:
        """A table for people; numbers stand to the right. Without a terminal nothing is cut or wrapped."""
        if self.as_json:
            return
        every = [*rows, foot] if foot else list(rows)
        right = [bool(every) and all(_is_number(row[at]) for row in every) for at in range(len(head))]
        texts = [[shown(cell) for cell in row] for row in every]
        if self.is_terminal:
            self._draw(title, head, texts, right, bool(foot))
        else:
            self._write(title, head, texts, right)

    def emit(self, value: Any) -> None:
        """The one object of a command run with ``--json``."""
        click.echo(json.dumps(value, ensure_ascii=False, default=_plain))

    def _draw(
        self, title: str, head: Sequence[str], texts: list[list[str]], right: list[bool], foot: bool
    ) -> None:
        table = Table(title=title or None, title_justify="left", header_style="bold", show_edge=False)
        for name, flush in zip(head, right, strict=True):
            table.add_column(name, justify="right" if flush else "left", overflow="fold")
        for at, row in enumerate(texts):
            table.add_row(*map(Text, row), end_section=foot and at == len(texts) - 2)
        self.console.print(table)

    def _write(self, title: str, head: Sequence[str], texts: list[list[str]], right: list[bool]) -> None:
        if title:
            click.echo(title)
        widths = [max(len(row[at]) for row in [list(head), *texts]) for at in range(len(head))]
        for row in [list(head), *texts]:
            cells = [
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            ]
            click.echo("  ".join(cells).rstrip())


def shown(value: object) -> str:
    """A value as a person reads it, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return " ".join(str(value).split())


def json_option(command: Command) -> Command:
    """``--json``: print one object and nothing else on standard output."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        output = ctx.find_object(Output)
        if output is not None:
            output.as_json = value

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Print one machine-readable object.",
    )(command)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
