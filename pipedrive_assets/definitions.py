"""The code location: ``dagster dev``, ``dg`` and the daemon load ``defs`` from here."""

from pipedrive_assets.defs.build import build_defs

defs = build_defs()
