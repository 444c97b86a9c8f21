"""``metrics``: the account's figures as Prometheus reads them, once or for as long as it asks."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager

import click

from pipedrive_assets.alerts.metrics import PORT, exposition, serve
from pipedrive_assets.cli.output import Output
from pipedrive_assets.exceptions import PipedriveConfigException
from pipedrive_assets.settings import load_settings
from pipedrive_assets.sync.session import Session, open_session


@click.command()
@click.option("--serve", "serving", is_flag=True, help="Answer scrapes until stopped.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True, help="Its port.")
@click.pass_obj
def metrics(output: Output, serving: bool, host: str, port: int) -> None:
    """Print requests, tokens, waits, retries, breaker, health, rows, lag and memory for Prometheus.

    Asks Pipedrive nothing. With --serve they are at /metrics; whoever reaches the port reads them, so keep
    it on the loopback or behind a proxy.
    """
    settings = load_settings()
    if not settings.monitoring_enabled:
        raise PipedriveConfigException("PIPEDRIVE_MONITORING_ENABLED is false: there are no figures to show")

    def opened() -> AbstractContextManager[Session]:
        return open_session(settings)

    if not serving:
        click.echo(exposition(opened), nl=False)
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with opened():
        # A store that cannot be opened is said now, not to the first scrape.
        output.say(f"Metrics on http://{host}:{port}/metrics; stop with Ctrl-C")
    try:
        serve(opened, host, port, stop)
    except OSError as error:
        raise PipedriveConfigException(f"{host}:{port} cannot be listened on: {error.strerror}") from error
