"""``sync-entities`` and ``sync-custom-fields``: in this process, or as a run of Dagster."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import click
from pydantic import ValidationError

from pipedrive_assets.catalog import CATALOG, resolve_entities, spec
from pipedrive_assets.cli.output import PAUSED, Output, json_option
from pipedrive_assets.cli.progress import Watcher, watching
from pipedrive_assets.clock import SystemClock
from pipedrive_assets.exceptions import (
    PipedriveApiException,
    PipedriveAuthException,
    PipedriveCircuitOpenException,
    PipedriveConfigException,
    PipedriveException,
    PipedriveMemoryException,
    PipedriveRateLimitException,
    PipedriveStateException,
    PipedriveWarehouseException,
)
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncResult, SyncStatus
from pipedrive_assets.sync.session import Session, open_session

FIELDS_SUFFIX = "_fields"


class Moment(click.ParamType[datetime]):
    """A date or a time, UTC unless it says otherwise."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """``2024-01-31`` or ``2024-01-31T12:00:00Z``, to whole seconds."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2024-01-31 or 2024-01-31T12:00:00Z", param, ctx)
        if moment.microsecond:
            self.fail(f"{value!r} has fractions of a second, which the API does not take", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command("sync-entities")
@click.option("--entity", "names", multiple=True, metavar="NAME", help="Entity to sync; may be repeated.")
@click.option("--full-data", is_flag=True, help="Read everything again, whatever the watermark.")
@click.option("--since", type=Moment(), help="Read again what last changed at or after this time.")
@click.option("--until", type=Moment(), help="Read again what last changed before this time.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows of each entity.")
@click.option(
    "--resume",
    "paused_runs",
    multiple=True,
    metavar="RUN",
    help="Read only what is left of this paused run; may be repeated.",
)
@click.option("--force", is_flag=True, help="Never ask.")
@click.option("--async/--in-process", "as_run", default=None, help="Submit a run to Dagster, or sync here.")
@json_option
@click.pass_obj
def sync_entities(
    output: Output,
    names: Sequence[str],
    full_data: bool,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    paused_runs: Sequence[str],
    force: bool,
    as_run: bool | None,
) -> None:
    """Bring entities up to date; without --entity all that are enabled.

    Where the day's tokens are spent it stops, keeps what it has, and ends with exit code 3.
    """
    settings = load_settings()
    entities = _chosen(names) or resolve_entities(settings.enabled_entities)
    options = _options(settings, full_data, since, until, limit, tuple(paused_runs))
    _ask(output, settings, entities, full_data, force)
    _run(output, settings, entities, options, as_run)


@click.command("sync-custom-fields")
@click.option(
    "--entity", "names", multiple=True, metavar="NAME", help="Whose fields: deal, person, …; may be repeated."
)
@click.option("--full-data", is_flag=True, help="Read everything again (these lists always are).")
@click.option("--force", is_flag=True, help="Never ask.")
@click.option("--async/--in-process", "as_run", default=None, help="Submit a run to Dagster, or sync here.")
@json_option
@click.pass_obj
def sync_custom_fields(
    output: Output, names: Sequence[str], full_data: bool, force: bool, as_run: bool | None
) -> None:
    """Bring the definitions of custom fields up to date."""
    settings = load_settings()
    wanted = [name if name.endswith(FIELDS_SUFFIX) else f"{name}{FIELDS_SUFFIX}" for name in names]
    enabled = resolve_entities(settings.enabled_entities)
    entities = _chosen(wanted) or tuple(name for name in enabled if name.endswith(FIELDS_SUFFIX))
    options = _options(settings, full_data, None, None, None)
    _ask(output, settings, entities, False, force)
    _run(output, settings, entities, options, as_run)


def sync_all(
    session: Session, entities: Sequence[str], options: SyncOptions, watcher: Watcher
) -> tuple[list[SyncResult], dict[str, PipedriveException]]:
    """Sync ``entities`` in order; one that fails does not stop the others, unless all would fail.

    The end of the day's tokens does. Returns results and errors by entity.
    """
    results: list[SyncResult] = []
    errors: dict[str, PipedriveException] = {}
    # Modules live until the process ends; the collection after each batch need not walk them (60 ms each).
    gc.freeze()
    for name in entities:
        try:
            result = session.sync(name, options, on_progress=watcher.page)
        except PipedriveException as error:
            errors[name] = error
            watcher.failed(name, str(error))
            if stops_all(error):
                break
        else:
            results.append(result)
            watcher.done(result)
            if result.status is SyncStatus.PAUSED:
                break
    return results, errors


def stops_all(error: PipedriveException) -> bool:
    """Whether every other entity would meet the same error."""
    if isinstance(error, PipedriveAuthException):
        return error.kind in {"token", "abuse"}
    if isinstance(error, PipedriveRateLimitException):
        return error.kind == "daily"
    if isinstance(error, PipedriveMemoryException):
        return not error.retryable
    return isinstance(
        error,
        PipedriveCircuitOpenException
        | PipedriveConfigException
        | PipedriveStateException
        | PipedriveWarehouseException,
    ) or (isinstance(error, PipedriveApiException) and error.status == 402)


def _run(
    output: Output,
    settings: PipedriveSettings,
    entities: Sequence[str],
    options: SyncOptions,
    as_run: bool | None,
) -> None:
    if not entities:
        raise PipedriveConfigException(
            "no entity is enabled; set PIPEDRIVE_ENABLED_ENTITIES or give --entity"
        )
    if settings.prefer_async if as_run is None else as_run:
        from pipedrive_assets.cli.submit import submit_run

        submit_run(output, settings, entities, options)
        return
    with open_session(settings) as session:
        # Asked before anything else, so that a wrong token is the one thing that is reported.
        company = session.account.company_name
        with watching(output, len(entities)) as watcher:
            results, errors = sync_all(session, entities, options, watcher)
        run_id = session.run_id
    _report(output, company, run_id, entities, options, results, errors)


def _report(
    output: Output,
    company: str,
    run_id: str,
    entities: Sequence[str],
    options: SyncOptions,
    results: list[SyncResult],
    errors: dict[str, PipedriveException],
) -> None:
    stopped = [
        result.entity for result in results if result.status is SyncStatus.PARTIAL and options.limit is None
    ]
    paused = next((result for result in results if result.status is SyncStatus.PAUSED), None)
    untouched = [name for name in entities if name not in errors and name not in {r.entity for r in results}]
    ok = not errors and not stopped and paused is None
    totals = {
        name: sum(getattr(result, name) for result in results)
        for name in (
            "fetched",
            "created",
            "updated",
            "unchanged",
            "tombstoned",
            "quarantined",
            "requests",
            "tokens",
        )
    }
    output.say(
        f"{company}: {len(results)} of {len(entities)} entities, {totals['fetched']:,} rows,"
        f" {totals['created']:,} new, {totals['updated']:,} changed, {totals['tokens']:,} tokens"
    )
    if output.as_json:
        output.emit(
            {
                "ok": ok,
                "run_id": run_id,
                "company": company,
                "results": results,
                "errors": {name: error.to_dict() for name, error in errors.items()},
                "not_tried": untouched,
                "resumes_at": None if paused is None else paused.resumes_at,
                "totals": totals,
            }
        )
    for name, error in errors.items():
        click.echo(f"Error: {name}: {error.explained}", err=True)
    if stopped:
        click.echo(
            f"Error: stopped early at {', '.join(stopped)}; progress is kept, run the command again to go on",
            err=True,
        )
    if paused is not None:
        click.echo(_pause_line(paused, untouched, (*options.resumes, run_id)), err=True)
    elif untouched:
        click.echo(f"Error: not tried after that: {', '.join(untouched)}", err=True)
    if errors or stopped:
        raise click.exceptions.Exit(1)
    if paused is not None:
        raise click.exceptions.Exit(PAUSED)


def _pause_line(paused: SyncResult, untouched: Sequence[str], run_ids: Sequence[str]) -> str:
    rest = f", before {', '.join(untouched)}" if untouched else ""
    flags = " ".join(f"--resume {run_id}" for run_id in run_ids)
    return (
        f"Paused at {paused.entity}{rest}: the day's tokens are spent, progress is kept. The budget resets at"
        f" {paused.resumes_at:%Y-%m-%d %H:%M} UTC; go on then with the same command and {flags}"
    )


def _chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Known entities among ``names``, parents before children."""
    chosen: set[str] = set()
    problems: list[str] = []
    for name in names:
        try:
            chosen.add(spec(name.strip()).name)
        except PipedriveConfigException as error:
            problems.append(str(error))
    if problems:
        raise click.BadParameter("; ".join(problems), param_hint="--entity")
    return tuple(name for name in CATALOG if name in chosen)


def _options(
    settings: PipedriveSettings,
    full_data: bool,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    resumes: tuple[str, ...] = (),
) -> SyncOptions:
    window = since is not None or until is not None
    if full_data and window:
        raise click.UsageError("--full-data reads everything; it takes no --since and no --until")
    mode = SyncMode.FULL if full_data else SyncMode.WINDOW if window else SyncMode.INCREMENTAL
    now = datetime.fromtimestamp(SystemClock().time(), UTC)
    if since is not None and since > now:
        raise click.UsageError(
            f"--since {since:%Y-%m-%dT%H:%M:%SZ} is in the future: nothing changed since then"
        )
    try:
        return SyncOptions(
            mode=mode,
            since=since,
            until=until,
            limit=limit,
            deadline=now + timedelta(seconds=settings.job_timeout),
            lane=Lane.INCREMENTAL if mode is SyncMode.INCREMENTAL else Lane.BACKFILL,
            source=Source.CLI,
            resumes=resumes,
        )
    except ValidationError as error:
        _misuse(error)


def _misuse(error: ValidationError) -> Never:
    said = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
    raise click.UsageError(said) from None


def _ask(
    output: Output, settings: PipedriveSettings, entities: Sequence[str], full_data: bool, force: bool
) -> None:
    """Ask before what costs tokens or was switched off, but only a person, and never with --force."""
    if force or not output.is_terminal or not sys.stdin.isatty():
        return
    off = [name for name in entities if name not in resolve_entities(settings.enabled_entities)]
    if off:
        click.confirm(f"Not in PIPEDRIVE_ENABLED_ENTITIES: {', '.join(off)}. Sync anyway?", abort=True)
    if full_data:
        click.confirm(f"Read every record of {len(entities)} entities again?", default=True, abort=True)
