"""Lists below one record: followers, changelogs, deal participants.

The parent's id is kept under a key that begins with an underscore; the API does not show such keys.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import DELETED, Source
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.contacts import Organizations, Persons
from pipedrive_assets.sandbox.generate.custom_values import USERS
from pipedrive_assets.sandbox.generate.sales import Deals
from pipedrive_assets.sandbox.generate.settings import Users
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import v1, v2

Row = dict[str, Any]


class _Linked(Source):
    """Records below the not deleted ones of ``parents``, ``each(parent)`` of them."""

    parent_field = "_parent"

    def __init__(self, world: World, parents: Source, name: str, kind: int) -> None:
        self.world, self.parents, self.name, self.kind = world, parents, name, kind
        alive = (p for p in range(1, parents.count + 1) if parents.state(p) != DELETED)
        self.places = [(p, k) for p in alive for k in range(self.each(p))]
        self.count = len(self.places)

    def each(self, parent: int) -> int:
        """How many the parent has."""
        return 0

    @override
    def parent(self, n: int) -> int:
        return self.places[n - 1][0]


class Followers(_Linked):
    """Every second record has one to three followers, never the same user twice."""

    @override
    def each(self, parent: int) -> int:
        return 1 + self.world.dice(self.kind, parent) % 3 if parent % 2 else 0

    @override
    def row(self, n: int) -> Row:
        parent, place = self.places[n - 1]
        user = 1 + (self.world.dice(self.kind + 1, parent) + place) % USERS
        add, _ = self.world.times(self.kind, n, nullable=False)
        return {"user_id": user, "add_time": v2(add), "_parent": parent}


class Changelog(_Linked):
    """Changes of a record's title, oldest first; values are strings."""

    @override
    def each(self, parent: int) -> int:
        return 2 if parent % 3 == 0 else 0

    @override
    def row(self, n: int) -> Row:
        parent, place = self.places[n - 1]
        add, _ = self.world.times(self.kind, n, nullable=False)
        return {
            "field_key": ("title", "owner_id")[place % 2],
            "old_value": None if place % 2 else "My Deel",
            "new_value": "3" if place % 2 else "My Deal ✏️",
            "actor_user_id": 1 + n % USERS,
            "time": v1(add),
            "change_source": "app" if n % 3 else None,
            "change_source_user_agent": words.RECENT_BROWSER if n % 3 else None,
            "is_bulk_update_flag": n % 5 == 0,
            "_parent": parent,
        }


class Participants(_Linked):
    """One participant on every fourth deal, in v1's deeply nested form."""

    def __init__(
        self, world: World, deals: Deals, persons: Persons, organizations: Organizations, users: Users
    ) -> None:
        self.deals, self.persons, self.organizations, self.users = deals, persons, organizations, users
        super().__init__(world, deals, "deal_participants", 200)

    @override
    def each(self, parent: int) -> int:
        return 1 if parent % 4 == 1 else 0

    def _user(self, n: int) -> Row:
        return {
            "id": n,
            "name": self.users.full_name(n),
            "email": f"user{n}@example.com",
            "has_pic": 0,
            "pic_hash": None,
            "active_flag": True,
            "value": n,
        }

    @override
    def row(self, n: int) -> Row:
        deal = self.parent(n)
        person = 1 + self.world.dice(200, n) % self.persons.count
        add, _ = self.world.times(200, n, nullable=False)
        contact = {"email": self.persons.emails(person), "phone": self.persons.phones(person)}
        name, org = self.persons.full_name(person), self.persons.org_id(person)
        v2_row = self.persons.row(person)
        return {
            "id": n,
            "person_id": {"active_flag": True, "name": name, **contact, "value": person},
            "add_time": v1(add),
            "active_flag": True,
            "related_item_data": {"deal_id": deal, "title": self.deals.title(deal)},
            "person": {
                "id": person,
                "company_id": self.world.config.company_id,
                "owner_id": self._user(v2_row["owner_id"]),
                "org_id": {"name": self.organizations.title(org), "value": org} if org else None,
                "name": name,
                "first_name": v2_row["first_name"],
                "last_name": v2_row["last_name"],
                "active_flag": True,
                **contact,
                "visible_to": str(v2_row["visible_to"]),
                "label_ids": v2_row["label_ids"],
                "owner_name": self.users.full_name(v2_row["owner_id"]),
                "cc_email": None,
            },
            "added_by_user_id": self._user(1),
            "related_item_type": "deal",
            "related_item_id": deal,
            "_parent": deal,
        }
