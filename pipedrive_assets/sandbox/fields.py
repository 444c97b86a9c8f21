"""Field definitions: the built-in ones, and custom fields of all 16 types under names that hurt.

Reference 6.3 (values), 6.4 (definitions). A field's code is 40 hex digits and never changes; its name may.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from pipedrive_assets.sandbox.builtin_fields import BUILTIN, OPTIONAL
from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.times import v2

Row = dict[str, Any]

CREATABLE_TYPES = (
    "varchar", "text", "double", "phone", "date", "daterange", "time", "timerange", "set", "enum",
    "varchar_auto", "address", "monetary", "org", "people", "user",
)  # fmt: skip

AWKWARD_NAMES = (
    "Value", "value", "Title", "Duplicate name", "Duplicate name", "It's \"quoted\"", "🎯 Goal",
    "2024 budget",
    "select", "order",
    "id", 'id"; DROP TABLE deals; --', " spaced  out ", "Très_légère-Straße", "x" * 200,
    "custom_fields", "_synced_at", "100%", "a.b.c", "",
)  # fmt: skip

ENTITIES = ("deal", "person", "organization", "product", "project", "activity")
CUSTOMISABLE = ENTITIES[:5]

_SUBFIELDS = {
    "monetary": ("currency",),
    "address": (
        "country", "admin_area_level_1", "admin_area_level_2", "locality", "sublocality", "route",
        "street_number", "subpremise", "postal_code", "formatted_address",
    ),
    "time": ("timezone_id",),
    "timerange": ("until", "timezone_id"),
    "daterange": ("until",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an enum or set field."""

    id: int
    label: str
    color: str | None
    add_time: str | None
    update_time: str | None


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field; ``code`` is its key in ``custom_fields``."""

    code: str
    name: str
    type: str
    options: tuple[Option, ...] = ()
    description: str = ""


@dataclass
class FieldBook:
    """All field definitions of the account, by entity (``deal``, ``person``, …).

    ``versions`` counts the changes per entity since the account was made.
    """

    seed: int
    clock: ServerClock
    custom: dict[str, dict[str, CustomField]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    _codes: int = 0
    _options: int = 0

    def __post_init__(self) -> None:
        for entity in CUSTOMISABLE:
            self.custom[entity] = {}
            for number, kind in enumerate(CREATABLE_TYPES):
                labels = [f"Choice {i}" for i in range(1, 5)] + ["Café ☕", "50% / half"]
                self.add(
                    entity, f"{kind.title()} {number}", kind, labels if kind in ("enum", "set") else None
                )
            for name in AWKWARD_NAMES[: 12 if entity != "deal" else None]:
                self.add(entity, name or "\u00a0", "varchar")
        self.versions = dict.fromkeys(ENTITIES, 0)
        self.custom["activity"] = {}

    def add(self, entity: str, name: str, kind: str, labels: list[str] | None = None) -> CustomField:
        """Define a field; its code is derived from the seed and a running number."""
        self._codes += 1
        code = hashlib.sha1(f"{self.seed}:{entity}:{self._codes}".encode(), usedforsecurity=False).hexdigest()
        made = CustomField(code, name, kind, tuple(self._option(label) for label in labels or ()))
        self._store(entity, made)
        return made

    def _option(self, label: str) -> Option:
        self._options += 1
        now = v2(self.clock.milliseconds())
        return Option(self._options, label, ("green", "blue", None)[self._options % 3], now, now)

    def _store(self, entity: str, made: CustomField) -> None:
        self.custom[entity][made.code] = made
        self.versions[entity] = self.versions.get(entity, 0) + 1

    def rename(self, entity: str, code: str, name: str) -> None:
        """Give a field another name; its code stays."""
        self._store(entity, replace(self.custom[entity][code], name=name))

    def remove(self, entity: str, code: str) -> None:
        """Delete a field; it leaves the definitions and every record's ``custom_fields``."""
        del self.custom[entity][code]
        self.versions[entity] += 1

    def add_options(self, entity: str, code: str, labels: list[str]) -> list[Option]:
        """Add choices to an enum or set field."""
        made = [self._option(label) for label in labels]
        known = self.custom[entity][code]
        self._store(entity, replace(known, options=(*known.options, *made)))
        return made

    def rename_option(self, entity: str, code: str, option_id: int, label: str) -> None:
        """Give a choice another label; its id stays."""
        known, now = self.custom[entity][code], v2(self.clock.milliseconds())
        options = tuple(
            replace(o, label=label, update_time=now) if o.id == option_id else o for o in known.options
        )
        self._store(entity, replace(known, options=options))

    def remove_option(self, entity: str, code: str, option_id: int) -> None:
        """Delete a choice; records that hold its id keep it."""
        known = self.custom[entity][code]
        self._store(entity, replace(known, options=tuple(o for o in known.options if o.id != option_id)))

    def complete(self, entity: str, values: Row) -> Row:
        """A record's custom fields with exactly the keys defined now; unset ones are null (reference 6.3)."""
        return {code: values.get(code) for code in self.custom[entity]}

    def definitions(self, entity: str) -> list[Row]:
        """The v2 definitions of an entity's fields, with every optional part (reference 6.4)."""
        rows = [
            _definition(entity, code, name, kind, entity_default(code))
            for code, name, kind in BUILTIN[entity]
        ]
        rows += [
            _definition(
                entity,
                made.code,
                made.name,
                made.type,
                [_option_row(option) for option in made.options] if made.type in ("enum", "set") else None,
                custom=True,
                description=made.description,
            )
            for made in self.custom[entity].values()
        ]
        return rows


def entity_default(code: str) -> list[Row] | None:
    """Options of the built-in choice fields; their ids are strings, where custom ones are integers."""
    if code == "status":
        return [{"id": each, "label": each.title()} for each in ("open", "won", "lost", "deleted")]
    if code == "label_ids":
        return [
            {"id": i, "label": label, "color": color, "add_time": None, "update_time": None}
            for i, (label, color) in enumerate((("Hot 🔥", "red"), ("Warm", "yellow"), ("Cold", "blue")), 1)
        ]
    if code == "visible_to":
        return [
            {"id": i, "label": label} for i, label in ((1, "Owner"), (3, "Group"), (5, "Groups"), (7, "All"))
        ]
    return None


def _option_row(option: Option) -> Row:
    return {name: getattr(option, name) for name in ("id", "label", "color", "add_time", "update_time")}


def _definition(
    entity: str,
    code: str,
    name: str,
    kind: str,
    options: list[Row] | None,
    *,
    custom: bool = False,
    description: str = "",
) -> Row:
    subfields = [
        {"field_code": f"{code}_{part}", "field_name": f"{part.replace('_', ' ').title()} of {name}"[:255],
         "field_type": "double" if part == "timezone_id" else "varchar"}
        for part in _SUBFIELDS.get(kind, ())
    ]  # fmt: skip
    row: Row = {
        "field_name": name,
        "field_code": code,
        "field_type": kind,
        "options": options,
        "subfields": subfields or None,
        "is_custom_field": custom,
        "is_optional_response_field": code in OPTIONAL.get(entity, ()),
    }
    if entity in ("deal", "person", "activity"):
        row["description"] = description
    return row | _ui(entity)


def _ui(entity: str) -> Row:
    visibility: Row = {"add_visible_flag": True, "details_visible_flag": True}
    important: Row = {"enabled": False, "stage_ids": []}
    required: Row = {"enabled": False}
    dialog: Row = {"show": False, "order": None}
    if entity == "deal":
        visibility |= {
            "projects_detail_visible_flag": True,
            "show_in_pipelines": {"show_in_all": True, "pipeline_ids": []},
        }
        required |= {"stage_ids": [], "statuses": {}}
    elif entity == "person":
        visibility["show_in_add_deal_dialog"] = dialog
    elif entity == "organization":
        visibility |= {
            "org_detail_visible_flag": True,
            "person_detail_visible_flag": True,
            "deal_detail_visible_flag": True,
            "show_in_add_deal_dialog": dialog,
            "show_in_add_person_dialog": dialog,
        }
    row: Row = {"ui_visibility": visibility}
    if entity in ("deal", "person", "organization", "project"):
        row |= {"important_fields": important, "required_fields": required}
    return row
