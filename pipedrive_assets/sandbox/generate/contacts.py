"""Persons, organizations, and the relationships between organizations."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import DELETED, LIVE, Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS, pool
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import v1, v2

Row = dict[str, Any]

BIRTHDAYS = ("1980-05-17", "0000-00-00", "2000-02-29", "1969-12-31", "-0001-11-30")
"""Two of these are zero dates, as old accounts have them (reference 6.1)."""


def deal_counters(roll: int) -> Row:
    """The counters of deals that persons and organizations carry."""
    return {
        "open_deals_count": roll % 4,
        "related_open_deals_count": roll % 2,
        "closed_deals_count": roll % 3,
        "related_closed_deals_count": 0,
        "won_deals_count": roll % 2,
        "related_won_deals_count": 0,
        "lost_deals_count": roll % 3 - roll % 2 if roll % 3 > roll % 2 else 0,
        "related_lost_deals_count": 0,
        "email_messages_count": roll % 5,
        "activities_count": roll % 7,
        "done_activities_count": roll % 4,
        "undone_activities_count": max(0, roll % 7 - roll % 4),
        "files_count": roll % 2,
        "notes_count": roll % 6,
        "followers_count": 1 + roll % 3,
    }


class Persons(Source):
    """Persons with several e-mail addresses and phones, odd names and zero dates."""

    name = "persons"

    def __init__(self, world: World, book: FieldBook) -> None:
        self.world = world
        self.count = world.sizes["persons"]
        self.pool = pool(book, "person", world, 110)

    @override
    def state(self, n: int) -> int:
        return DELETED if n % 41 == 20 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        if self.state(n) == DELETED:
            return self.world.recently_deleted(2, n)
        return self.world.times(2, n)

    def full_name(self, n: int) -> str:
        """Name of person ``n``."""
        roll = self.world.dice(2, n)
        return f"{words.person_first_name(roll)} {words.person_last_name(roll)}"

    def emails(self, n: int) -> list[Row]:
        """E-mail addresses of person ``n``: none to two."""
        roll = self.world.dice(111, n)
        labels = ("work", "home", "other")
        return [
            {"value": f"person{n}.{i}@example.com", "primary": i == 0, "label": labels[i]}
            for i in range(roll % 3)
        ]

    def phones(self, n: int) -> list[Row]:
        """Phones of person ``n``: none or one."""
        roll = self.world.dice(112, n)
        return (
            [{"value": f"+49 30 {roll % 9_999_999:07d}", "primary": True, "label": "mobile"}]
            if roll & 1
            else []
        )

    def org_id(self, n: int) -> int | None:
        """Organization of person ``n``."""
        roll = self.world.dice(2, n)
        return 1 + (roll >> 20) % self.world.sizes["organizations"] if roll & 3 else None

    @override
    def row(self, n: int) -> Row:
        world = self.world
        roll, more = world.dice(2, n), world.dice(111, n)
        add, update = self.times(n)
        return {
            "id": n,
            "name": self.full_name(n),
            "first_name": words.person_first_name(roll),
            "last_name": words.person_last_name(roll),
            "owner_id": 1 + (roll >> 16) % USERS,
            "org_id": self.org_id(n),
            "add_time": v2(add),
            "update_time": v2(update),
            "emails": self.emails(n),
            "phones": self.phones(n),
            "is_deleted": self.state(n) == DELETED,
            "visible_to": (1, 3, 5, 7)[more & 3],
            "label_ids": [1] if roll & 8 else [],
            "picture_id": n if n % 10 == 0 else None,
            "postal_address": words.ADDRESSES[more % 40] if roll & 16 else None,
            "notes": "Notes from contact sync ✉️" if roll & 32 else None,
            "im": [{"value": f"skype{n}", "primary": True, "label": "skype"}] if roll & 64 else [],
            "birthday": BIRTHDAYS[more % 5] if roll & 128 else None,
            "job_title": "Head of “Everything”" if roll & 256 else None,
            "custom_fields": self.pool[more % len(self.pool)],
            "next_activity_id": None,
            "last_activity_id": 1 + more % world.sizes["activities"] if more & 128 else None,
            **deal_counters(more >> 5),
            "participant_open_deals_count": 0,
            "participant_closed_deals_count": 0,
            "last_incoming_mail_time": v2(add) if more & 64 else None,
            "last_outgoing_mail_time": None,
            "marketing_status": ("no_consent", "unsubscribed", "subscribed", "archived")[more & 3],
            "doi_status": more & 3,
            "smart_bcc_email": f"{world.config.company_domain}@pipedrivemail.com",
        }


class Organizations(Source):
    """Organizations."""

    name = "organizations"

    def __init__(self, world: World, book: FieldBook) -> None:
        self.world = world
        self.count = world.sizes["organizations"]
        self.pool = pool(book, "organization", world, 120)

    @override
    def state(self, n: int) -> int:
        return DELETED if n % 43 == 17 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        if self.state(n) == DELETED:
            return self.world.recently_deleted(3, n)
        return self.world.times(3, n)

    def title(self, n: int) -> str:
        """Name of organization ``n``."""
        return words.company_name(self.world.dice(3, n), n)

    @override
    def row(self, n: int) -> Row:
        world = self.world
        roll, more = world.dice(3, n), world.dice(121, n)
        add, update = self.times(n)
        return {
            "id": n,
            "name": self.title(n),
            "owner_id": 1 + (roll >> 16) % USERS,
            "add_time": v2(add),
            "update_time": v2(update),
            "address": words.ADDRESSES[more % 40] if roll & 3 else None,
            "is_deleted": self.state(n) == DELETED,
            "visible_to": (1, 3, 5, 7)[more & 3],
            "label_ids": [2, 3] if roll & 8 else [],
            "picture_id": None,
            "website": f"https://www.example{n}.com" if roll & 16 else None,
            "linkedin": f"https://linkedin.com/company/{n}" if roll & 32 else None,
            "industry": 1 + more % 9 if roll & 64 else None,
            "annual_revenue": more % 9_000_000_000 if roll & 128 else None,
            "employee_count": more % 5_000 if roll & 256 else None,
            "custom_fields": self.pool[more % len(self.pool)],
            "next_activity_id": None,
            "last_activity_id": 1 + more % world.sizes["activities"] if more & 128 else None,
            **deal_counters(more >> 5),
            "people_count": roll % 5,
            "smart_bcc_email": f"{world.config.company_domain}@pipedrivemail.com",
        }


class Relationships(Source):
    """Parent and related links: every fifth organization owns the next one's link (v1 nested shape)."""

    name, parent_field = "organization_relationships", "_org"

    def __init__(self, world: World, organizations: Organizations) -> None:
        self.world, self.organizations = world, organizations
        self.count = world.sizes["organizations"] // 5

    def _nested(self, org: int) -> Row:
        return {
            "name": self.organizations.title(org),
            "people_count": org % 4,
            "owner_id": 1 + org % USERS,
            "address": None,
            "active_flag": True,
            "cc_email": None,
            "value": org,
        }

    @override
    def parent(self, n: int) -> int:
        return n * 5 - 4

    @override
    def row(self, n: int) -> Row:
        owner = self.parent(n)
        linked = owner + 1
        add, update = self.world.times(31, n, nullable=False)
        kind = "parent" if n % 2 else "related"
        return {
            "id": n,
            "type": kind,
            "rel_owner_org_id": self._nested(owner),
            "rel_linked_org_id": self._nested(linked),
            "related_organization_name": self.organizations.title(linked),
            "calculated_type": "daughter" if kind == "parent" else "related",
            "calculated_related_org_id": linked,
            "add_time": v1(add),
            "update_time": v1(update),
            "active_flag": "true",
            "_org": owner,
        }
