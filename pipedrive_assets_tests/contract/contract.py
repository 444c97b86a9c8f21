"""The official API contract as facts: what every operation costs, accepts and returns.

The facts are generated from Pipedrive's OpenAPI files by ``make_contract.py``; nothing in them comes from
this package, so that catalog and sandbox can both be compared with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One operation; ``path`` as in OpenAPI, without the ``/api/v2`` prefix.

    ``row`` is the schema of one record: ``{"type": "object", "properties": {name: schema}}``, where a schema
    has ``type``, ``nullable``, ``format``, ``enum``, ``items``, ``properties``, ``any`` (alternatives) and
    ``free`` (keys not listed are allowed). ``rows_path`` leads to the records in the body
    (``["data"]``, ``["data", "goals"]``). ``example_properties`` are the names seen in the example's records.
    """

    method: str
    path: str
    version: str
    cost: int | None
    deprecated: bool
    scopes: list[str]
    status: int | None
    paging: str
    params: dict[str, Json]
    rows_path: list[str] = field(default_factory=list)
    row: Json | None = None
    is_list: bool = False
    example_properties: list[str] = field(default_factory=list)
    envelope: Json = field(default_factory=dict)
    body: Json | None = None

    @property
    def properties(self) -> dict[str, Json]:
        """Schemas of the record's properties, by name."""
        found: dict[str, Json] = (self.row or {}).get("properties", {})
        return found

    @property
    def include_fields(self) -> list[str]:
        """Values that ``include_fields`` may hold; empty if there is no such parameter."""
        parameter = self.params.get("include_fields", {})
        return parameter.get("enum") or parameter.get("items", {}).get("enum") or []


@cache
def operations(version: str) -> dict[str, Operation]:
    """All operations of ``v1`` or ``v2``, keyed ``METHOD /path``."""
    source = Path(__file__).with_name(f"{version}.json")
    facts = json.loads(source.read_text(encoding="utf-8"))
    return {key: Operation(version=version, **value) for key, value in facts.items()}


def operation(method: str, version: str, path: str) -> Operation:
    """One operation; ``KeyError`` if the contract has none of that name."""
    return operations(version)[f"{method.upper()} {path}"]
