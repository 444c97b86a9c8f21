"""What an asset check found, whatever it looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipedrive_assets.defs.entities import entity_key


@dataclass(frozen=True, slots=True)
class Finding:
    """Passed or not, in a sentence and in figures; ``severity`` counts where it did not pass."""

    passed: bool
    description: str
    metadata: Mapping[str, Any]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR

    def result(self, name: str, entity: str) -> dg.AssetCheckResult:
        """As the result of the check ``name`` of an entity's asset."""
        return dg.AssetCheckResult(
            asset_key=entity_key(entity),
            check_name=name,
            passed=self.passed,
            severity=self.severity,
            description=self.description,
            metadata=self.metadata,
        )
