"""The command line: parses, calls a library function, prints. One module per group of commands."""

from pipedrive_assets.cli.app import main

__all__ = ["main"]
