"""What people do and sell: activities, products, product variations."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import DELETED, LIVE, Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS, pool
from pipedrive_assets.sandbox.generate.sales import BILLING, product_name
from pipedrive_assets.sandbox.generate.world import DAY_MS, World
from pipedrive_assets.sandbox.times import day, v2

Row = dict[str, Any]

TYPES = ("call", "meeting", "task", "deadline", "email", "lunch", "site_visit")


class Activities(Source):
    """Activities, each on a deal, a lead or a project, or on none."""

    name = "activities"

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = world.sizes["activities"]

    @override
    def state(self, n: int) -> int:
        return DELETED if n % 67 == 33 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        if self.state(n) == DELETED:
            return self.world.recently_deleted(4, n)
        return self.world.times(4, n)

    @override
    def row(self, n: int) -> Row:
        world, sizes = self.world, self.world.sizes
        roll, more = world.dice(4, n), world.dice(130, n)
        add, update = self.times(n)
        person = 1 + (roll >> 20) % sizes["persons"] if roll & 3 else None
        place, done = roll % 10, bool(roll & 16)
        hour = f"{more % 24:02d}"
        return {
            "id": n,
            "subject": f"{words.ACTIVITY_WORDS[more % len(words.ACTIVITY_WORDS)]} {n}",
            "type": TYPES[(more >> 4) % len(TYPES)],
            "owner_id": 1 + (roll >> 8) % USERS,
            "creator_user_id": 1 + (roll >> 12) % USERS,
            "is_deleted": self.state(n) == DELETED,
            "add_time": v2(add),
            "update_time": v2(update),
            "deal_id": 1 + (more >> 20) % sizes["deals"] if place < 6 else None,
            "lead_id": world.uuid(8, 1 + (more >> 20) % sizes["leads"]) if place == 6 else None,
            "person_id": person,
            "org_id": 1 + (roll >> 30) % sizes["organizations"] if roll & 4 else None,
            "project_id": 1 + (more >> 20) % sizes["projects"] if place == 7 else None,
            "due_date": day(add + more % 60 * DAY_MS),
            "due_time": (f"{hour}:30:00", f"{hour}:30", None)[(more >> 9) % 3],
            "duration": ("01:00:00", "00:15", None)[(more >> 11) % 3],
            "busy": bool(roll & 8),
            "done": done,
            "marked_as_done_time": v2(update) if done else None,
            "location": words.ADDRESSES[more % 40] if roll & 0x60 == 0x60 else None,
            "participants": [{"person_id": person, "primary": True}] if person else [],
            "conference_meeting_client": "google_meet" if roll & 0x180 == 0x180 else None,
            "conference_meeting_url": f"https://meet.example.com/{n}" if roll & 0x180 == 0x180 else None,
            "conference_meeting_id": f"abc-{n}" if roll & 0x180 == 0x180 else None,
            "public_description": words.SENTENCES[more % len(words.SENTENCES)] if roll & 0x200 else None,
            "priority": 263 + more % 3 if roll & 0x400 else None,
            "note": words.SENTENCES[(more >> 3) % len(words.SENTENCES)] if roll & 0x800 else None,
            "outcome": 301 if roll & 0x3000 == 0x3000 else None,
            "attendees": [
                {
                    "email": f"person{person}.0@example.com",
                    "name": "Some “Name”",
                    "status": "accepted",
                    "is_organizer": False,
                    "person_id": person,
                    "user_id": None,
                }
            ]
            if person and roll & 0xC000 == 0xC000
            else [],
        }


class Products(Source):
    """Products with up to two prices."""

    name = "products"

    def __init__(self, world: World, book: FieldBook) -> None:
        self.world = world
        self.count = world.sizes["products"]
        self.pool = pool(book, "product", world, 140)

    @override
    def state(self, n: int) -> int:
        return DELETED if n % 37 == 18 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        if self.state(n) == DELETED:
            return self.world.recently_deleted(5, n)
        return self.world.times(5, n)

    @override
    def row(self, n: int) -> Row:
        world = self.world
        roll, more = world.dice(5, n), world.dice(141, n)
        add, update = self.times(n)
        return {
            "id": n,
            "name": product_name(world, n),
            "code": f"SKU-{n:05d}" if roll & 3 else None,
            "description": words.SENTENCES[more % len(words.SENTENCES)] if roll & 4 else None,
            "unit": "pcs" if roll & 8 else "",
            "tax": more % 25,
            "category": str(1 + more % 5) if roll & 16 else None,
            "is_linkable": n % 9 != 0,
            "is_deleted": self.state(n) == DELETED,
            "visible_to": (1, 3, 5, 7)[more & 3],
            "owner_id": 1 + (roll >> 16) % USERS,
            "add_time": v2(add),
            "update_time": v2(update),
            "billing_frequency": BILLING[(roll >> 5) % 6],
            "billing_frequency_cycles": 4 if roll & 32 else None,
            "prices": [
                {
                    "product_id": n,
                    "price": (more >> 7) % 100_000 / 100,
                    "currency": currency,
                    "cost": more % 500,
                    "direct_cost": None,
                    "notes": "",
                }
                for currency in ("EUR", "USD")[: 1 + (roll & 1)]
            ],
            "custom_fields": self.pool[more % len(self.pool)],
        }


class Variations(Source):
    """Variations of every fourth product."""

    name, parent_field = "product_variations", "product_id"

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = world.sizes["products"] // 4 * 2

    @override
    def parent(self, n: int) -> int:
        return (n - 1) // 2 * 4 + 1

    @override
    def row(self, n: int) -> Row:
        return {
            "id": n,
            "name": f"{product_name(self.world, self.parent(n))} {'large' if n % 2 else 'small'}",
            "product_id": self.parent(n),
            "prices": [
                {
                    "product_variation_id": n,
                    "price": n * 1.25,
                    "currency": "EUR",
                    "cost": 2,
                    "direct_cost": 3,
                    "notes": "",
                }
            ],
        }
