"""One line for each thing that is wrong with a setting: key, value, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipedrive_assets.redaction import MASK, redact
from pipedrive_assets.settings_retired import PREFIX

_LONGEST_VALUE = 80
_LOOKS_SECRET = re.compile(r"TOKEN|SECRET|PASS|KEY|AUTH|CREDENTIAL|WEBHOOK", re.IGNORECASE)


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value must never be shown."""
    return bool(_facts(field).get("secret"))


def unit(field: FieldInfo) -> str:
    """The unit of the field's number; empty where it has none."""
    return str(_facts(field).get("unit", ""))


def allowed(field: FieldInfo) -> str:
    """What the field takes, in words: a range, a list of names, ``true or false``; empty where free."""
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return _one_of(str(choice) for choice in get_args(kind))
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Mapping:
        return f"JSON such as {json.dumps(field.default or {'deals': 10})}"
    bounds = _range(field)
    if bounds:
        whole = "a whole number " if kind is int else "a number "
        return f"{whole}{bounds}"
    return "a date such as 2024-01-31" if getattr(kind, "__name__", "") == "date" else ""


def problem_lines(
    error: ValidationError, model: type[BaseModel], given: Mapping[str, str]
) -> tuple[str, ...]:
    """A line for each field that pydantic refused, in the order of the fields."""
    lines: dict[str, str] = {}
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        said = problem["msg"].removeprefix("Value error, ")
        if name not in model.model_fields:
            # Rules about several fields name them themselves, a line each.
            lines.update({line: line for line in said.splitlines()})
            continue
        field = model.model_fields[name]
        variable = PREFIX + name.upper()
        if variable not in given and not is_secret(field):
            # Derived from another setting that is wrong, and reported there.
            continue
        rule = said if problem["type"] == "value_error" else f"must be {allowed(field) or said}"
        number = f" ({unit(field)})" if unit(field) and "number" in rule else ""
        value = MASK if is_secret(field) else _shown(given[variable])
        lines.setdefault(name, f"{variable}={value}: {rule}{number}{_hint(name, given)}")
    return tuple(lines.values())


def unknown_line(variable: str, value: str, known: Iterable[str]) -> str:
    """The line about a variable nobody knows, with the names it may have meant."""
    near = difflib.get_close_matches(variable, sorted(known), n=2, cutoff=0.75)
    # A misspelt name may well hold the token.
    harmless = len(value) < 12 and value.isdigit()
    secret = _LOOKS_SECRET.search(variable) or re.search(r"[0-9a-fA-F]{20}", value)
    shown = MASK if secret and not harmless else _shown(value)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see docs/configuration.md for all names"
    return f"{variable}={shown}: is not a setting{hint}"


def _hint(name: str, given: Mapping[str, str]) -> str:
    if name == "auth_method" and given.get(f"{PREFIX}AUTH_METHOD") == "oauth":
        return "; OAuth is not in this version, set PIPEDRIVE_TOKEN"
    return ""


def _facts(field: FieldInfo) -> Mapping[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _without_none(annotation: Any) -> Any:
    """The type inside ``X | None``, and inside ``Annotated``."""
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _range(field: FieldInfo) -> str:
    low = high = ""
    for rule in field.metadata:
        if isinstance(rule, Ge):
            low = f"from {rule.ge}"
        elif isinstance(rule, Gt):
            low = f"above {rule.gt}"
        elif isinstance(rule, Le):
            high = f"to {rule.le}"
        elif isinstance(rule, Lt):
            high = f"below {rule.lt}"
    if low.startswith("above") and high:
        high = f"and {high.replace('to', 'up to', 1)}"
    return " ".join(part for part in (low, high) if part)


def _one_of(choices: Iterable[str]) -> str:
    *rest, last = choices
    return f"{', '.join(rest)} or {last}" if rest else last


def _shown(value: str) -> str:
    text = redact(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
