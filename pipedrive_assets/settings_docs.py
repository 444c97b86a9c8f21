"""``docs/configuration.md``, made from the settings themselves, so that it cannot fall behind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipedrive_assets.settings_fields import SECTIONS
from pipedrive_assets.settings_problems import allowed, is_secret, unit
from pipedrive_assets.settings_retired import LATER, PREFIX, RETIRED

_INTRODUCTION = """\
# Configuration

Every setting is an environment variable. A wrong value or an unknown `PIPEDRIVE_` name stops the program with
one line that names the variable, the value and what is allowed. An empty value counts as not set, except for
`PIPEDRIVE_ENABLED_ENTITIES`, where it means no entity. `pipedrive-assets config` shows what is in force.

This file is written by `make docs`.
"""

_BUDGET = """\
The daily budget is, in this order: `PIPEDRIVE_DAILY_TOKEN_BUDGET` if set and not above the limit in the last
response's header, else that limit, else 30,000 times `PIPEDRIVE_SEATS` times the plan's factor (lite 1,
growth 2, premium 5, ultimate 7) if `PIPEDRIVE_PLAN` is set, else 10,000.
"""

_LATER = """\
## Not in this version

Variables of features that are yet to come. Setting one has no effect but a warning.
"""

_RETIRED = """\
## Without a counterpart

Variables that the package this one follows knows, and that have nothing to do here. Setting one gives a
warning.
"""


def configuration_markdown() -> str:
    """The whole document, ending in a newline."""
    parts = [_INTRODUCTION]
    for section in SECTIONS:
        title, _, subject = (section.__doc__ or section.__name__).partition(":")
        subject = subject.strip()
        parts.append(f"## {title}\n\n{subject[:1].upper()}{subject[1:]}\n")
        if section.__name__ == "Budget":
            parts.append(_BUDGET)
        parts.append(_table(("variable", "default", "allowed", "meaning"), _rows(section)))
    parts.append(_LATER)
    parts.append(
        _table(
            ("variable", "default", "meaning"),
            ((_code(PREFIX + entry.name), _code(entry.default), entry.meaning) for entry in LATER),
        )
    )
    parts.append(_RETIRED)
    parts.append(
        _table(
            ("variable", "why", "instead"),
            ((_code(PREFIX + entry.name), entry.why, _code(entry.instead)) for entry in RETIRED),
        )
    )
    return "\n".join(parts)


def _rows(section: type[BaseModel]) -> Iterable[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        takes = ", ".join(part for part in (allowed(field), unit(field)) if part)
        meaning = field.description or ""
        yield _code(PREFIX + name.upper()), _code(_default(field)), takes, meaning


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if is_secret(field) or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(configuration_markdown())
