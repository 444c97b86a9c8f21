"""Pipelines, stages, deals and what hangs below deals: products, installments, discounts."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import ARCHIVED, DELETED, LIVE, Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS, pool
from pipedrive_assets.sandbox.generate.world import DAY_MS, World
from pipedrive_assets.sandbox.times import day, v2

Row = dict[str, Any]

PIPELINES = 3
STAGES_EACH = 6

BILLING = ("one-time", "annually", "semi-annually", "quarterly", "monthly", "weekly")


class Pipelines(Source):
    """Three pipelines."""

    name, count = "pipelines", PIPELINES

    def __init__(self, world: World) -> None:
        self.world = world

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(20, n, nullable=False)

    @override
    def row(self, n: int) -> Row:
        add, update = self.times(n)
        return {
            "id": n,
            "name": ("Sales", "Renewals 🔁", "Partner's pipeline")[n - 1],
            "order_nr": n,
            "is_deleted": False,
            "is_deal_probability_enabled": n != 3,
            "add_time": v2(add),
            "update_time": v2(update),
        }


class Stages(Source):
    """Six stages in each pipeline; one has never been updated."""

    name, count = "stages", PIPELINES * STAGES_EACH

    def __init__(self, world: World) -> None:
        self.world = world

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(21, n)

    @override
    def row(self, n: int) -> Row:
        add, update = self.times(n)
        position = (n - 1) % STAGES_EACH
        return {
            "id": n,
            "order_nr": position,
            "name": ("Lead In", "Contact Made", "Demo Scheduled", "Proposal", "Négociation", "Closing")[
                position
            ],
            "is_deleted": False,
            "deal_probability": min(100, 10 + position * 18),
            "pipeline_id": 1 + (n - 1) // STAGES_EACH,
            "is_deal_rot_enabled": n % 2 == 0,
            "days_to_rotten": 14 if n % 2 == 0 else None,
            "add_time": v2(add),
            "update_time": v2(update),
        }


class Deals(Source):
    """Deals: one in twenty archived, one in thirty deleted within the last 30 days."""

    name = "deals"

    def __init__(self, world: World, book: FieldBook) -> None:
        self.world = world
        self.count = world.sizes["deals"]
        self.pool = pool(book, "deal", world, 101)

    @override
    def state(self, n: int) -> int:
        if n % 20 == 9:
            return ARCHIVED
        return DELETED if n % 31 == 15 else LIVE

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        if self.state(n) == DELETED:
            return self.world.recently_deleted(1, n)
        return self.world.times(1, n, nullable=self.state(n) == LIVE)

    def title(self, n: int) -> str:
        """Title of deal ``n``."""
        return f"{words.DEAL_WORDS[self.world.dice(1, n) % len(words.DEAL_WORDS)]} #{n}"

    def products_count(self, n: int) -> int:
        """Products on deal ``n``: a third of the deals has one to three."""
        roll = self.world.dice(102, n)
        return 1 + (roll >> 8) % 3 if roll % 3 == 0 and self.state(n) != DELETED else 0

    @override
    def row(self, n: int) -> Row:
        world, state = self.world, self.state(n)
        roll, more = world.dice(1, n), world.dice(103, n)
        add, update = self.times(n)
        status = "deleted" if state == DELETED else ("open", "open", "open", "won", "lost")[roll % 5]
        last = update if update is not None else add
        closed = add + (last - add) // 2000 * 1000 if status in ("won", "lost") else None
        added, changed = v2(add), v2(update)
        pipeline = 1 + (roll >> 6) % PIPELINES
        products = self.products_count(n)
        value = (more >> 8) % 5_000_000 / 100
        won, lost = (closed if status == "won" else None), (closed if status == "lost" else None)
        return {
            "id": n,
            "title": self.title(n),
            "creator_user_id": 1 + (roll >> 10) % USERS,
            "owner_id": 1 + (roll >> 14) % USERS,
            "value": value if n % 50 else None,
            "person_id": 1 + (roll >> 18) % world.sizes["persons"] if roll & 7 else None,
            "org_id": 1 + (more >> 18) % world.sizes["organizations"] if more & 7 else None,
            "stage_id": (pipeline - 1) * STAGES_EACH + 1 + (more >> 5) % STAGES_EACH,
            "pipeline_id": pipeline,
            "currency": words.CURRENCIES[(roll >> 30) % 5],
            "archive_time": v2(update) if state == ARCHIVED else None,
            "add_time": added,
            "update_time": changed,
            "stage_change_time": added if more & 1 else None,
            "status": status,
            "is_archived": state == ARCHIVED,
            "is_deleted": state == DELETED,
            "probability": (more >> 40) % 101 if more & 16 else None,
            "lost_reason": "Price" if status == "lost" else None,
            "visible_to": (1, 3, 5, 7)[more & 3],
            "close_time": v2(closed),
            "won_time": v2(won),
            "lost_time": v2(lost),
            "local_won_date": day(won),
            "local_lost_date": day(lost),
            "local_close_date": day(closed),
            "expected_close_date": day(last + (roll >> 40) % 90 * DAY_MS) if roll & 8 else None,
            "label_ids": [1, 2][: more & 3] if more & 3 < 3 else [3],
            "origin": "ManuallyCreated" if roll & 32 else "API",
            "origin_id": None,
            "channel": 52 if roll & 64 else None,
            "channel_id": "Jun23 Billboards" if roll & 64 else None,
            "acv": value if products else None,
            "arr": value if products else None,
            "mrr": round(value / 12, 2) if products else None,
            "custom_fields": self.pool[more % len(self.pool)],
            "next_activity_id": None,
            "last_activity_id": 1 + more % world.sizes["activities"] if more & 128 else None,
            "first_won_time": v2(won),
            "products_count": products,
            "files_count": roll % 3,
            "notes_count": roll % 4,
            "followers_count": 1 + roll % 3,
            "email_messages_count": 0,
            "activities_count": roll % 7,
            "done_activities_count": roll % 4,
            "undone_activities_count": roll % 7 - roll % 4 if roll % 7 > roll % 4 else 0,
            "participants_count": 1,
            "last_incoming_mail_time": None,
            "last_outgoing_mail_time": changed if roll & 512 else None,
            "smart_bcc_email": f"{world.config.company_domain}+deal{n}@pipedrivemail.com",
            "source_lead_id": world.uuid(8, n) if n % 25 == 0 else None,
        }


class _BelowDeals(Source):
    """Records that deals have several of; subclasses say how many each has."""

    parent_field = "deal_id"

    def __init__(self, world: World, deals: Deals) -> None:
        self.world, self.deals = world, deals
        self.places = [(d, k) for d in range(1, deals.count + 1) for k in range(self.each(d))]
        self.count = len(self.places)

    def each(self, deal: int) -> int:
        """How many the deal has."""
        return 0

    @override
    def parent(self, n: int) -> int:
        return self.places[n - 1][0]


class DealProducts(_BelowDeals):
    """Products attached to deals, as many as the deal's ``products_count`` says."""

    name = "deal_products"

    @override
    def each(self, deal: int) -> int:
        return self.deals.products_count(deal)

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(22, n)

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(23, n)
        add, update = self.times(n)
        deal, position = self.places[n - 1]
        product = 1 + roll % self.world.sizes["products"]
        quantity, price = (1 + roll % 8) / 2, (roll >> 8) % 100_000 / 100
        billing = "one-time" if position == 0 else BILLING[(roll >> 3) % 6]
        return {
            "id": n,
            "sum": round(quantity * price, 2),
            "tax": roll % 25,
            "deal_id": deal,
            "name": product_name(self.world, product),
            "product_id": product,
            "product_variation_id": None,
            "order_nr": position + 1,
            "add_time": v2(add),
            "update_time": v2(update),
            "comments": "" if roll & 1 else "as agreed 🤝",
            "currency": words.CURRENCIES[roll % 5],
            "discount": roll % 20 if roll & 2 else 0,
            "discount_type": "percentage" if roll & 4 else "amount",
            "quantity": quantity,
            "item_price": price,
            "tax_method": ("exclusive", "inclusive", "none")[roll % 3],
            "is_enabled": bool(roll & 8),
            "billing_frequency": billing,
            "billing_frequency_cycles": None if billing == "one-time" else 4,
            "billing_start_date": None if roll & 16 else day(add),
        }


class Installments(_BelowDeals):
    """Installments, only on deals with a one-time product, as Pipedrive asks."""

    name = "deal_installments"

    @override
    def each(self, deal: int) -> int:
        return 2 if self.deals.products_count(deal) and deal % 3 == 0 else 0

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(24, n)
        return {
            "id": n,
            "amount": roll % 100_000 / 100,
            "billing_date": day(self.world.start_ms + roll % 1_400 * DAY_MS),
            "deal_id": self.parent(n),
            "description": ("Delivery fee", "Première échéance", "Final 🏁")[roll % 3],
        }


class Discounts(_BelowDeals):
    """Additional discounts; their ids are UUIDs."""

    name, text_ids = "deal_discounts", True

    @override
    def each(self, deal: int) -> int:
        return 1 if self.deals.products_count(deal) > 1 else 0

    @override
    def key(self, n: int) -> str:
        return self.world.uuid(25, n)

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(25, n)
        add, update = self.world.times(26, n, nullable=False)
        return {
            "id": self.key(n),
            "description": f"{roll % 50}%",
            "amount": roll % 50,
            "type": "percentage" if roll & 64 else "amount",
            "deal_id": self.parent(n),
            "created_at": v2(add),
            "created_by": 1 + roll % USERS,
            "updated_at": v2(update),
            "updated_by": 1 + roll % USERS,
        }


def product_name(world: World, n: int) -> str:
    """Name of product ``n``."""
    return f"{words.PRODUCT_WORDS[world.dice(5, n) % len(words.PRODUCT_WORDS)]} {n}"
