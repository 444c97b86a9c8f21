"""How a record is written into an answer: which optional parts, which custom fields, labels or ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pipedrive_assets.sandbox.account import Account
from pipedrive_assets.sandbox.facts import OperationFacts
from pipedrive_assets.sandbox.lifecycle import CUSTOM
from pipedrive_assets.sandbox.params import flag

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What ``include_fields``, ``custom_fields``, the label parameters ask for."""

    entity: str
    hidden: frozenset[str] = frozenset()
    custom: tuple[str, ...] | None = None
    option_labels: bool = False
    labels: bool = False

    @classmethod
    def of(cls, entity: str, operation: OperationFacts, params: dict[str, str]) -> View:
        """The view that a request asks for."""
        asked = frozenset(params.get("include_fields", "").split(","))
        return cls(
            entity,
            frozenset(operation.optional_fields) - asked,
            tuple(params["custom_fields"].split(",")) if "custom_fields" in params else None,
            flag(params, "include_option_labels"),
            flag(params, "include_labels"),
        )

    @property
    def cacheable(self) -> bool:
        """Whether the JSON depends on the record alone (labels may change without it)."""
        return self.custom is None and not self.option_labels and not self.labels

    def shape(self, account: Account, row: Row) -> Row:
        """The record as this view shows it."""
        row = account.public(self.entity, row)
        if self.hidden:
            row = {name: value for name, value in row.items() if name not in self.hidden}
        if self.custom is not None:
            row = {
                **row,
                "custom_fields": {c: v for c, v in row["custom_fields"].items() if c in self.custom},
            }
        if self.option_labels:
            row = {**row, "custom_fields": _with_labels(account, self.entity, row["custom_fields"])}
        if self.labels:
            known = {1: "Hot 🔥", 2: "Warm", 3: "Cold"}
            row = {**row, "labels": [{"id": i, "label": known.get(i, "")} for i in row.get("label_ids", [])]}
        return row

    def text(self, account: Account, row: Row) -> bytes:
        """The record as JSON."""
        return orjson.dumps(self.shape(account, row))


def _with_labels(account: Account, entity: str, custom: Row) -> Row:
    out = dict(custom)
    for code, made in account.book.custom[CUSTOM[entity]].items():
        held = out.get(code)
        labels = {option.id: {"id": option.id, "label": option.label} for option in made.options}
        if held is not None and made.type == "enum":
            out[code] = labels.get(held)
        elif held is not None and made.type == "set":
            out[code] = [labels[each] for each in held if each in labels]
    return out
