"""Names that Dagster does not export and this package needs; kept in one place for upgrades."""

from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition as AssetJob,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES as UNFINISHED

__all__ = ["UNFINISHED", "AssetJob"]
