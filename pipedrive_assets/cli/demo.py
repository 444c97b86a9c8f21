"""``demo``: a whole account copied into DuckDB, with nothing but this package."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import click
from pydantic import SecretStr

from pipedrive_assets.catalog import CATALOG
from pipedrive_assets.catalog.price import floor_tokens
from pipedrive_assets.catalog.spec import EntitySpec, PerParent
from pipedrive_assets.cli.output import Output, invoked_as, json_option
from pipedrive_assets.cli.progress import Watcher, watching
from pipedrive_assets.cli.sandbox import SCALES
from pipedrive_assets.cli.sync import sync_all
from pipedrive_assets.exceptions import PipedriveConnectionException
from pipedrive_assets.settings import PipedriveSettings, load_settings
from pipedrive_assets.state.lanes import Lane
from pipedrive_assets.sync.options import Source, SyncMode, SyncOptions
from pipedrive_assets.sync.result import SyncResult
from pipedrive_assets.sync.session import Session, open_session
from pipedrive_assets.warehouse.store import Warehouse

ARCHIVED = "archived"
EXAMPLE = """\
SELECT p.name AS pipeline, s.name AS stage, count(*) AS open_deals, round(sum(d.value)) AS total, d.currency
FROM pipedrive.deals d
JOIN pipedrive.stages s ON s.id = d.stage_id
JOIN pipedrive.pipelines p ON p.id = s.pipeline_id
WHERE d.status = 'open' AND NOT d.is_archived
GROUP BY ALL
ORDER BY open_deals DESC
LIMIT 5"""


@click.command()
@click.option(
    "--scale", type=click.Choice(SCALES), default="small", show_default=True, help="Size of the account."
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same account.")
@click.option("--keep", is_flag=True, help="Go on with the copy of the last demo instead of a new one.")
@json_option
@click.pass_obj
def demo(output: Output, scale: str, seed: int, keep: bool) -> None:
    """Copy a whole built-in account into DuckDB, then look for changes, then ask the copy a question."""
    folder = load_settings().storage_dir / "demo"
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    started = perf_counter()
    with running_sandbox(scale, seed) as (url, token):
        output.say(f"A built-in account answers on {url} ({scale}, seed {seed}).")
        settings = demo_settings(folder, url, token)
        with open_session(settings) as session:
            output.say(
                f"Copying everything of {session.account.company_name} to {session.warehouse.target} …"
            )
            with watching(output, len(session.entities)) as watcher:
                full = _pass(session, SyncMode.FULL, watcher)
            floor = sum(entity_floor(session.warehouse, CATALOG[name]) for name in session.entities)
            _print_full(output, full, floor)
            again = _pass(session, SyncMode.INCREMENTAL, Watcher())
            _print_again(output, again)
            answer = session.warehouse.query(EXAMPLE)
            target = session.warehouse.target
    output.say(f"\n{EXAMPLE}\n")
    output.table(answer.column_names, [tuple(row.values()) for row in answer.to_pylist()])
    _print_next(output, target, perf_counter() - started)
    if output.as_json:
        output.emit(
            {
                "ok": True,
                "warehouse": target,
                "results": full.results,
                "floor_tokens": floor,
                "second_run": again.totals(),
                "example": answer.to_pylist(),
                "seconds": round(perf_counter() - started, 3),
            }
        )


@contextmanager
def running_sandbox(scale: str, seed: int) -> Iterator[tuple[str, str]]:
    """A sandbox on a free port in a process of its own; yields its address and a token.

    Not in a thread: the account's records would be walked by each garbage collection of the sync.
    """
    command = [sys.executable, "-m", "pipedrive_assets.sandbox", "--port", "0"]
    process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
        [*command, "--scale", scale, "--seed", str(seed)], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            found = re.fullmatch(r"sandbox at (\S+), token (\S+)\n", line)
            if found is None:
                raise PipedriveConnectionException("the built-in sandbox did not start")
            yield found[1], found[2]
        finally:
            process.terminate()


def demo_settings(folder: Path, url: str, token: str) -> PipedriveSettings:
    """Settings of the demo: its own warehouse and state, and nothing of the user's account."""
    return PipedriveSettings(
        token=SecretStr(token),
        base_url=url,
        warehouse=str(folder / "warehouse.duckdb"),
        state_url=f"sqlite:///{folder / 'state.db'}",
    )


def entity_floor(warehouse: Warehouse, spec: EntitySpec) -> int:
    """Fewest tokens for which the rows now in the warehouse could have been read."""
    return floor_tokens(spec, _rows_by_stream(warehouse, spec), parents=_parents(warehouse, spec))


class _Pass:
    """One pass over all entities: its results and its wall time."""

    def __init__(self, results: Sequence[SyncResult], seconds: float) -> None:
        self.results = list(results)
        self.seconds = seconds

    def total(self, name: str) -> int:
        """Sum of one count over all entities."""
        return sum(getattr(result, name) for result in self.results)

    def totals(self) -> dict[str, float]:
        """Every count that is worth telling."""
        names = ("fetched", "created", "updated", "unchanged", "pages", "requests", "tokens")
        return {**{name: self.total(name) for name in names}, "seconds": round(self.seconds, 3)}


def _pass(session: Session, mode: SyncMode, watcher: Watcher) -> _Pass:
    lane = Lane.BACKFILL if mode is SyncMode.FULL else Lane.INCREMENTAL
    started = perf_counter()
    results, errors = sync_all(
        session, session.entities, SyncOptions(mode=mode, source=Source.CLI, lane=lane), watcher
    )
    for error in errors.values():
        raise error
    return _Pass(results, perf_counter() - started)


def _rows_by_stream(warehouse: Warehouse, spec: EntitySpec) -> dict[str, int]:
    """Rows in the warehouse by the list they came from; children all come from one."""
    first = spec.streams[0].name
    if len(spec.streams) == 1:
        return {first: warehouse.row_count(spec.name)}
    # A second list of an entity is always that of its archived records. The name is the catalog's.
    counts = warehouse.query(
        f"SELECT is_archived, count(*) FROM pipedrive.{spec.name} GROUP BY 1"  # noqa: S608
    )
    by_archived = dict(zip(*(column.to_pylist() for column in counts.columns), strict=True))
    return {stream.name: by_archived.get(stream.name == ARCHIVED, 0) for stream in spec.streams}


def _parents(warehouse: Warehouse, spec: EntitySpec) -> int:
    for stream in spec.streams:
        if isinstance(stream.fan, PerParent):
            parent = CATALOG[stream.fan.parent]
            return len(warehouse.parent_ids(parent, positive_column=stream.fan.only_where_positive))
    return 0


def _print_full(output: Output, full: _Pass, floor: int) -> None:
    output.table(
        ("entity", "rows", "pages", "tokens", "seconds"),
        [
            (result.entity, result.fetched, result.pages, result.tokens, result.seconds)
            for result in full.results
        ],
        foot=("total", full.total("fetched"), full.total("pages"), full.total("tokens"), full.seconds),
    )
    output.say(
        f"{full.total('fetched'):,} rows for {full.total('tokens'):,} tokens in {full.seconds:.1f} s;"
        f" with every page full it could not be had for less than {floor:,}."
    )


def _print_again(output: Output, again: _Pass) -> None:
    changed = again.total("created") + again.total("updated")
    output.say(
        f"\nLooking for changes: {f'{changed:,} rows changed' if changed else 'nothing changed'},"
        f" {again.total('requests'):,} requests, {again.total('tokens'):,} tokens, {again.seconds:.1f} s."
    )


def _print_next(output: Output, target: str, seconds: float) -> None:
    output.say(f"\nDone in {seconds:.1f} s. The copy is {target}:")
    program = invoked_as()
    where = f"PIPEDRIVE_WAREHOUSE={shlex.quote(target)}"
    output.say(f'  {where} {program} query "FROM pipedrive.persons LIMIT 5"')
    output.say("\nNext:")
    output.say("  your own account:  export PIPEDRIVE_TOKEN=…   (Pipedrive: Personal preferences > API)")
    output.say(f"                     {program} test-connection && {program} sync-entities")
    output.say("  the Dagster UI:    make dev   (http://127.0.0.1:3000)")
