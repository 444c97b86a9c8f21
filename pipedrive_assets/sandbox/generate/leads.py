"""Leads (v1 only: UUID ids, flat custom fields, milliseconds) and their labels and sources."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import ARCHIVED, LIVE, Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS, flat, pool
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import day, iso

Row = dict[str, Any]

COLORS = ("red", "yellow", "blue", "green")
SOURCES = (
    "API",
    "Deal",
    "Import",
    "Live chat",
    "Manually created",
    "Prospector",
    "Web forms",
    "Website visitors",
)


class LeadLabels(Source):
    """Four labels."""

    name, count, text_ids = "lead_labels", 4, True

    def __init__(self, world: World) -> None:
        self.world = world

    @override
    def key(self, n: int) -> str:
        return self.world.uuid(40, n)

    @override
    def row(self, n: int) -> Row:
        add, update = self.world.times(40, n, nullable=False)
        return {
            "id": self.key(n),
            "name": ("Hot 🔥", "Warm", "Cold", "Später")[n - 1],
            "color": COLORS[n - 1],
            "add_time": iso(add),
            "update_time": iso(update),
        }


class LeadSources(Source):
    """The fixed list of sources; a source is its name."""

    name, count, text_ids, id_field = "lead_sources", len(SOURCES), True, "name"

    @override
    def key(self, n: int) -> str:
        return SOURCES[n - 1]

    @override
    def row(self, n: int) -> Row:
        return {"name": SOURCES[n - 1]}


class Leads(Source):
    """Leads, one in seven archived."""

    name, text_ids = "leads", True

    def __init__(self, world: World, book: FieldBook, labels: LeadLabels) -> None:
        self.world = world
        self.count = world.sizes["leads"]
        self.labels = [labels.key(n) for n in (1, 2, 3, 4)]
        self.pool = [flat(values, book) for values in pool(book, "deal", world, 150)]

    @override
    def key(self, n: int) -> str:
        return self.world.uuid(8, n)

    @override
    def state(self, n: int) -> int:
        return ARCHIVED if n % 7 == 3 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        add, update = self.world.times(8, n, nullable=False)
        fraction = self.world.dice(8, n) % 1000 if n % 53 != 5 else 0
        return add, min((update or add) + fraction, self.world.now_ms)

    def title(self, n: int) -> str:
        """Title of lead ``n``."""
        return f"{words.person_first_name(self.world.dice(8, n))} lead {n}"

    @override
    def row(self, n: int) -> Row:
        world, sizes = self.world, self.world.sizes
        roll, more = world.dice(8, n), world.dice(151, n)
        add, update = self.times(n)
        has_person = bool(roll & 3)
        return {
            "id": self.key(n),
            "title": self.title(n),
            "owner_id": 1 + (roll >> 8) % USERS,
            "creator_id": 1 + (roll >> 12) % USERS,
            "label_ids": [self.labels[more % 4]] if roll & 4 else [],
            "person_id": 1 + (roll >> 20) % sizes["persons"] if has_person else None,
            "organization_id": None if has_person and roll & 8 else 1 + (more >> 20) % sizes["organizations"],
            "source_name": SOURCES[more % len(SOURCES)],
            "origin": "API" if roll & 16 else "ManuallyCreated",
            "origin_id": None,
            "channel": 52 if roll & 32 else None,
            "channel_id": None,
            "source_deal_id": None,
            "is_archived": self.state(n) == ARCHIVED,
            "was_seen": bool(roll & 64),
            "value": {"amount": more % 100_000 / 4, "currency": words.CURRENCIES[more % 5]}
            if roll & 128
            else None,
            "expected_close_date": day(add) if roll & 256 else None,
            "next_activity_id": None,
            "add_time": iso(add),
            "update_time": iso(update),
            "visible_to": ("1", "3", "5", "7")[more & 3],
            "cc_email": f"{world.config.company_domain}+1+lead{n}@pipedrivemail.com",
            **self.pool[more % len(self.pool)],
        }
