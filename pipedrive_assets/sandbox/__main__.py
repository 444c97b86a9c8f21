"""``python -m pipedrive_assets.sandbox``: serve a sandbox until interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipedrive_assets.sandbox.config import BURST_REQUESTS, SCALES, SandboxConfig
from pipedrive_assets.sandbox.server import Sandbox


def parse(arguments: Sequence[str] | None) -> tuple[SandboxConfig, bool]:
    """Configuration from the command line, and whether to write out every record first."""
    parser = argparse.ArgumentParser(prog="python -m pipedrive_assets.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--scale", choices=list(SCALES), default="small")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--plan", choices=list(BURST_REQUESTS), default="ultimate")
    parser.add_argument("--seats", type=int, default=5)
    parser.add_argument("--daily-budget", type=int, default=None)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--gzip", action="store_true", help="compress answers for clients that accept it")
    parser.add_argument("--warm", action="store_true", help="write out every record before serving")
    parser.add_argument("--index-lag-seconds", type=float, default=0.0)
    given = vars(parser.parse_args(arguments))
    warm = given.pop("warm")
    return SandboxConfig(**given), warm


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve in the foreground."""
    config, warm = parse(arguments)
    sandbox = Sandbox(config)
    if warm:
        sandbox.warm()
    bound = sandbox.bind()
    print(f"sandbox at {sandbox.url}, token {sandbox.token}", flush=True)
    try:
        sandbox.server().run(sockets=[bound])
    finally:
        bound.close()


if __name__ == "__main__":
    main()
