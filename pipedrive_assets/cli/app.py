"""``pipedrive-assets``: the list of commands, and how a command ends.

Exit codes: 0 done, 1 failed (one clear line on standard error), 2 wrong usage, 3 paused until the day's
tokens are renewed.
"""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

import click

from pipedrive_assets.cli.notices import notices
from pipedrive_assets.cli.output import PAUSED, Output
from pipedrive_assets.exceptions import PipedriveException, PipedriveRateLimitException
from pipedrive_assets.redaction import redact

COMMANDS = {
    "demo": ("demo", "demo", "Copy a whole built-in account into DuckDB."),
    "sync-entities": ("sync", "sync_entities", "Bring entities up to date."),
    "sync-custom-fields": ("sync", "sync_custom_fields", "Bring custom field definitions up to date."),
    "status": ("status", "status", "Coverage and lag by entity, budget, breaker, last runs."),
    "budget": ("budget", "budget", "The day's tokens by lane, what they went to, how long they last."),
    "health": ("health", "health", "How the API is doing; --check asks it now."),
    "config": ("config", "config", "The settings in force and what the schedules cost."),
    "alerts": ("alerts", "alerts", "Which alerts are raised, and whether they arrive."),
    "metrics": ("metrics", "metrics", "Figures for Prometheus, printed or served."),
    "test-connection": ("connection", "test_connection", "Ask Pipedrive who the token belongs to."),
    "sandbox": ("sandbox", "sandbox", "Run the built-in look-alike of Pipedrive."),
    "query": ("query", "query", "Run one SQL query on the copy."),
}
"""Command → module below ``cli``, function, and the line in the list of commands."""


class Commands(click.Group):
    """A group that imports a command when it is asked for, since Dagster and DuckDB take their time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"pipedrive_assets.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error becomes one line for people and, with ``--json``, one object."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do, also where a pager or `head` has gone away
        except PipedriveException as error:
            _fail(ctx, error)
        except Exception as error:
            if ctx.params.get("verbose"):
                raise
            defect = PipedriveException(
                f"{type(error).__name__}: {error} (not foreseen; --verbose shows where)".replace("\n", " ")
            )
            _fail(ctx, defect)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("-v", "--verbose", is_flag=True, help="Log each page and request to standard error.")
@click.version_option(package_name="pipedrive-assets")
@click.pass_context
def main(ctx: click.Context, verbose: bool) -> None:
    """Keep a complete, correct, queryable copy of a Pipedrive account.

    Settings are PIPEDRIVE_* variables, see docs/configuration.md. New here? Run `pipedrive-assets demo`.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 paused since the day's tokens are spent.
    """
    ctx.obj = Output()
    ctx.with_resource(notices(verbose=verbose))


def describe(error: PipedriveException) -> list[str]:
    """The error as lines for people: what happened, and on the last line what to do about it."""
    return error.explained.splitlines() or [type(error).__name__]


def _fail(ctx: click.Context, error: PipedriveException) -> NoReturn:
    for line in describe(error):
        click.echo(f"Error: {redact(line)}", err=True)
    output = ctx.find_object(Output)
    if output is not None and output.as_json:
        output.emit({"ok": False, "error": error.to_dict()})
    paused = isinstance(error, PipedriveRateLimitException) and error.kind == "daily"
    raise click.exceptions.Exit(PAUSED if paused else 1)
