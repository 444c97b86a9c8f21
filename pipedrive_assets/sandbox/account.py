"""The account: every record, and the ways in which people change them.

This is the model that tests edit in process and that the HTTP routes read and write. All access goes
through ``lock``; nothing here costs tokens.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from pipedrive_assets.sandbox import lifecycle
from pipedrive_assets.sandbox.clock import ServerClock
from pipedrive_assets.sandbox.collection import ARCHIVED, DELETED, GONE, LIVE, Collection, Key
from pipedrive_assets.sandbox.config import SandboxConfig
from pipedrive_assets.sandbox.field_rows import field_rows
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import build_sources
from pipedrive_assets.sandbox.generate.settings import Users
from pipedrive_assets.sandbox.generate.world import World

Row = dict[str, Any]
Hook = Callable[[str, str, dict[str, str]], None]
"""Called with version, path and query parameters before a list page is read."""

KEEP_ROWS = 20_000
"""Collections up to this size keep generated rows; larger ones make them again when needed."""


class UnknownRecordError(LookupError):
    """No such record, or it is gone."""


class Account:
    """All collections by entity name, the field definitions, and the model operations."""

    def __init__(self, config: SandboxConfig, clock: ServerClock) -> None:
        self.config, self.clock = config, clock
        self.lock = threading.RLock()
        self.book = FieldBook(config.seed, clock)
        self.world = World(config, clock.milliseconds())
        self.sources = build_sources(self.world, self.book)
        self.collections = {
            name: Collection(
                source,
                clock,
                lag_seconds=config.index_lag_seconds,
                nulls_first=config.nulls_first,
                keep=source.count <= KEEP_ROWS,
            )
            for name, source in self.sources.items()
        }
        self.hooks: list[Hook] = []

    def hook_before_page(self, hook: Hook) -> None:
        """Call ``hook(version, path, params)`` before each list page, e.g. to edit between pages."""
        self.hooks.append(hook)

    def set_index_lag(self, seconds: float) -> None:
        """Let lists lag that far behind writes from now on."""
        with self.lock:
            for collection in self.collections.values():
                collection.lag_seconds = seconds

    def _find(self, entity: str, key: Key) -> tuple[Collection, int, Row]:
        collection = self.collections[entity]
        n = collection.number(key)
        if n is None:
            raise UnknownRecordError(f"{entity} has no record {key!r}")
        return collection, n, collection.row(n)

    def _living(self, entity: str, key: Key) -> tuple[Collection, int, Row]:
        """A record that can still be edited: a deleted one can only be read."""
        collection, n, row = self._find(entity, key)
        if collection.states[n] == DELETED:
            raise UnknownRecordError(f"{entity} record {key!r} is deleted")
        return collection, n, row

    def get(self, entity: str, key: Key) -> Row:
        """The record as it is now, with internal keys; ``UnknownRecordError`` if it is gone."""
        return self._find(entity, key)[2]

    def create(self, entity: str, **fields: Any) -> Key:
        """Add a record; what is not named gets Pipedrive's defaults. Returns its id."""
        with self.lock:
            collection = self.collections[entity]
            source, now = collection.source, self.clock.milliseconds()
            sample = collection.generated(1) if source.count else {}
            row = lifecycle.blank(entity, sample)
            n = collection.next_number()
            key: Key = (
                str(uuid.UUID(int=self.world.dice(n, 999) << 64 | n, version=4)) if source.text_ids else n
            )
            if source.id_field in sample:
                row[source.id_field] = key
            stamp = lifecycle.stamp(entity)
            for name in (
                lifecycle.CREATED.get(entity, "add_time"),
                lifecycle.CHANGED.get(entity, "update_time"),
            ):
                if name in row:
                    row[name] = stamp(now)
            fields = self._with_parent(entity, fields)
            if entity in lifecycle.CUSTOM:
                row["custom_fields"] = self.book.complete(
                    lifecycle.CUSTOM[entity], fields.pop("custom_fields", {})
                )
            old, row = row, {**row, **fields}
            row |= lifecycle.consequences(entity, {**old, "name": None}, row, now)
            if source.id_field in sample:
                key = row[source.id_field]
            collection.append(row, ARCHIVED if row.get("is_archived") else LIVE)
            self._children_changed(entity, row)
            return key

    def _with_parent(self, entity: str, fields: Row) -> Row:
        source = self.collections[entity].source
        spoken = lifecycle.PARENT_KEYS.get(entity)
        if spoken and spoken in fields and source.parent_field:
            parent = fields.pop(spoken)
            fields[source.parent_field] = str(parent) if entity == "note_comments" else parent
        return fields

    def update(self, entity: str, key: Key, **fields: Any) -> Row:
        """Change a record and move its update time; custom fields are merged by key."""
        with self.lock:
            collection, n, old = self._living(entity, key)
            if "custom_fields" in fields:
                fields["custom_fields"] = {**old["custom_fields"], **fields["custom_fields"]}
            row = {**old, **fields}
            now = self.clock.milliseconds()
            row |= lifecycle.consequences(entity, old, row, now)
            row |= self._changed(entity, row, fields)
            collection.write(n, row)
            self._children_changed(entity, row)
            return row

    def _changed(self, entity: str, row: Row, fields: Row) -> Row:
        name = lifecycle.CHANGED.get(entity, "update_time")
        if name not in row or name in fields:
            return {}
        return {name: lifecycle.stamp(entity)(self.clock.milliseconds())}

    def touch_counter(self, entity: str, key: Key, **counters: int) -> None:
        """Change counters without moving the update time (reference 10, question 17)."""
        with self.lock:
            collection, n, old = self._find(entity, key)
            collection.write(n, {**old, **counters})

    def _children_changed(self, entity: str, row: Row) -> None:
        """A deal's products move its counter and its update time; nothing else does."""
        if entity != "deal_products" or not row.get("deal_id"):
            return
        count = len(self.collections["deal_products"].children(row["deal_id"]))
        if self.collections["deals"].is_alive(row["deal_id"]):
            self.update("deals", row["deal_id"], products_count=count)

    def delete(self, entity: str, key: Key) -> None:
        """Delete a record as Pipedrive does for its kind; what hangs below it is gone too."""
        with self.lock:
            collection, n, old = self._living(entity, key)
            row, state = lifecycle.ended(entity, old)
            collection.write(n, row | self._changed(entity, row, {}), state)
            for child in lifecycle.CHILDREN.get(entity, ()):
                below = self.collections[child]
                for each in below.children(str(key) if child == "note_comments" else key):
                    below.write(each, below.row(each), GONE)
            self._children_changed(entity, row)

    def archive(self, entity: str, key: Key, *, archived: bool = True) -> Row:
        """Move a deal, lead or project to its archived list (or back); the update time moves."""
        with self.lock:
            collection, n, old = self._living(entity, key)
            changes: Row = {"is_archived": archived} if "is_archived" in old else {}
            if "archive_time" in old:
                now = self.clock.milliseconds()
                changes["archive_time"] = lifecycle.stamp(entity)(now) if archived else None
            row = {**old, **changes}
            row |= self._changed(entity, row, {})
            collection.write(n, row, ARCHIVED if archived else LIVE)
            return row

    def unarchive(self, entity: str, key: Key) -> Row:
        """Bring an archived record back to its normal list."""
        return self.archive(entity, key, archived=False)

    def merge(self, entity: str, loser: Key, survivor: Key) -> Row:
        """Merge: the survivor's empty fields are filled from the loser, which is deleted (reference 8.4)."""
        with self.lock:
            kept, lost = self._living(entity, survivor)[2], self._living(entity, loser)[2]
            filled = {
                name: lost[name] for name, value in kept.items() if value in (None, []) and name in lost
            }
            filled.pop("update_time", None)
            link = {"deals": "deal_id", "persons": "person_id", "organizations": "org_id"}[entity]
            for below in ("activities", "notes", "files"):
                for n in self.collections[below].numbers():
                    row = self.collections[below].row(n)
                    if row.get(link) == loser:
                        self.update(below, row["id"], **{link: survivor})
            row = self.update(entity, survivor, **filled)
            self.delete(entity, loser)
            return row

    def add_field(self, entity: str, name: str, kind: str, options: list[str] | None = None) -> str:
        """Define a custom field on ``deal``, ``person``, …; returns its code."""
        with self.lock:
            code = self.book.add(entity, name, kind, options).code
            self._fields_changed(entity)
            return code

    def rename_field(self, entity: str, code: str, name: str) -> None:
        """Give a custom field another name."""
        with self.lock:
            self.book.rename(entity, code, name)

    def remove_field(self, entity: str, code: str) -> None:
        """Delete a custom field."""
        with self.lock:
            self.book.remove(entity, code)
            self._fields_changed(entity)

    def add_option(self, entity: str, code: str, label: str) -> int:
        """Add a choice to an enum or set field; returns its id."""
        with self.lock:
            return self.book.add_options(entity, code, [label])[0].id

    def rename_option(self, entity: str, code: str, option_id: int, label: str) -> None:
        """Give a choice another label."""
        with self.lock:
            self.book.rename_option(entity, code, option_id, label)

    def _fields_changed(self, entity: str) -> None:
        for name, fields_of in lifecycle.CUSTOM.items():
            if fields_of == entity:
                self.collections[name].shown.forget_texts()

    def me(self) -> Row:
        """The token's user with its company (``users/me``)."""
        users = self.sources["users"]
        company = users.me() if isinstance(users, Users) else {}
        return {**self.get("users", 1), **company}

    def public(self, entity: str, row: Row) -> Row:
        """A record as the API may show it: no internal keys, custom fields as defined now."""
        fields_of = lifecycle.CUSTOM.get(entity)
        if fields_of and self.book.versions[fields_of]:
            return {**row, "custom_fields": self.book.complete(fields_of, row["custom_fields"])}
        source = self.collections[entity].source
        if source.parent_field and source.parent_field.startswith("_"):
            return {name: value for name, value in row.items() if not name.startswith("_")}
        return row

    def rows(self, entity: str) -> list[Row]:
        """What a complete copy of the entity holds: every optional field, archived and deleted deals too.

        Records that the API shows only below another one carry that one's id, e.g. ``deal_id``.
        """
        with self.lock:
            if entity.endswith("_fields"):
                return field_rows(self.book, entity)
            collection = self.collections[entity]
            collection.settle()
            if entity == "organization_relationships":
                return self._relationship_views()
            states = [LIVE, ARCHIVED] + ([DELETED] if entity == "deals" else [])
            spoken, field = lifecycle.PARENT_KEYS.get(entity), collection.source.parent_field
            found = []
            for n in collection.numbers(states):
                row = collection.row(n)
                shown = dict(self.public(entity, row))
                if spoken and field:
                    shown[spoken] = int(row[field])
                found.append(shown)
            return found

    def relationships_of(self, org: Key) -> list[Row]:
        """Links of an organization, owned or not, as they look from its side."""
        collection = self.collections["organization_relationships"]
        rows = [collection.row(n) for n in collection.numbers()]
        found = []
        for row in rows:
            owner, linked = row["rel_owner_org_id"], row["rel_linked_org_id"]
            if org not in (owner["value"], linked["value"]):
                continue
            other = linked if org == owner["value"] else owner
            kind = row["type"]
            if kind == "parent":
                kind = "daughter" if other is linked else "parent"
            seen = {
                "related_organization_name": other["name"],
                "calculated_type": kind,
                "calculated_related_org_id": other["value"],
            }
            found.append({**self.public(collection.name, row), **seen})
        return found

    def _relationship_views(self) -> list[Row]:
        organizations = self.collections["organizations"].numbers()
        return [{**row, "org_id": org} for org in organizations for row in self.relationships_of(org)]
