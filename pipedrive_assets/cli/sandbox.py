"""``sandbox``: the built-in look-alike of Pipedrive, in the foreground."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from pipedrive_assets.cli.output import Output, invoked_as, json_option
from pipedrive_assets.sandbox import Sandbox, SandboxConfig

SCALES = ("tiny", "small", "medium", "large")
PLANS = ("lite", "growth", "premium", "ultimate")


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0: any free port."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--scale", type=click.Choice(SCALES), default="small", show_default=True, help="Size of the account."
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same account.")
@click.option(
    "--plan", type=click.Choice(PLANS), default="ultimate", show_default=True, help="Sets the limits."
)
@click.option("--daily-budget", type=click.IntRange(min=0), help="Tokens a day, instead of the plan's.")
@click.option(
    "--latency-ms", type=click.FloatRange(min=0), default=0, show_default=True, help="Delay of answers."
)
@click.option(
    "--jitter-ms", type=click.FloatRange(min=0), default=0, show_default=True, help="Its variation."
)
@json_option
@click.pass_obj
def sandbox(output: Output, /, **options: Any) -> None:
    """Run the built-in look-alike of Pipedrive until interrupted."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Sandbox.start(SandboxConfig(**options)) as server:
        if output.as_json:
            output.emit({"ok": True, "url": server.url, "token": server.token})
        output.say(
            f"A {options['scale']} account of Pipedrive's looks answers on {server.url}; stop it with Ctrl-C."
        )
        output.say("In another terminal:")
        output.say(f"  export PIPEDRIVE_BASE_URL={server.url}")
        output.say(f"  export PIPEDRIVE_TOKEN={server.token}")
        output.say(f"  {invoked_as()} sync-entities")
        # With a timeout, since a wait without one cannot be interrupted everywhere.
        while not stop.wait(1.0):
            pass
