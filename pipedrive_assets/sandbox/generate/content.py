"""Notes, their comments, and files (v1 shapes)."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import Source
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.contacts import Organizations, Persons
from pipedrive_assets.sandbox.generate.custom_values import USERS
from pipedrive_assets.sandbox.generate.leads import Leads
from pipedrive_assets.sandbox.generate.sales import Deals
from pipedrive_assets.sandbox.generate.settings import Users
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import iso, v1

Row = dict[str, Any]


class Notes(Source):
    """Notes on deals, persons and organizations; the third one has about 60 kB."""

    name = "notes"

    def __init__(
        self, world: World, deals: Deals, persons: Persons, organizations: Organizations, users: Users
    ) -> None:
        self.world, self.deals, self.persons = world, deals, persons
        self.organizations, self.users = organizations, users
        self.count = world.sizes["notes"]

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(6, n, nullable=False)

    @override
    def row(self, n: int) -> Row:
        sizes = self.world.sizes
        roll, more = self.world.dice(6, n), self.world.dice(160, n)
        add, update = self.times(n)
        place = roll % 4
        deal = 1 + more % sizes["deals"] if place < 2 else None
        person = 1 + more % sizes["persons"] if place == 2 else None
        org = 1 + more % sizes["organizations"] if place == 3 else None
        user = 1 + (roll >> 8) % USERS
        return {
            "id": n,
            "active_flag": True,
            "add_time": v1(add),
            "update_time": v1(update),
            "content": words.LONG_NOTE if n == 3 else words.SENTENCES[more % len(words.SENTENCES)],
            "deal": {"title": self.deals.title(deal)} if deal else None,
            "deal_id": deal,
            "lead_id": None,
            "last_update_user_id": user if roll & 16 else None,
            "org_id": org,
            "organization": {"name": self.organizations.title(org)} if org else None,
            "person": {"name": self.persons.full_name(person)} if person else None,
            "person_id": person,
            "project_id": None,
            "project": None,
            "task_id": None,
            "task": None,
            "pinned_to_lead_flag": False,
            "pinned_to_deal_flag": bool(deal and roll & 32),
            "pinned_to_organization_flag": bool(org and roll & 32),
            "pinned_to_person_flag": bool(person and roll & 32),
            "pinned_to_project_flag": False,
            "pinned_to_task_flag": False,
            "user": self.users.short(user),
            "user_id": user,
        }


class NoteComments(Source):
    """A comment on every tenth note; the key is ``uuid``."""

    name, parent_field, id_field, text_ids = "note_comments", "object_id", "uuid", True

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = world.sizes["notes"] // 10

    @override
    def key(self, n: int) -> str:
        return self.world.uuid(61, n)

    @override
    def parent(self, n: int) -> str:
        return str(n * 10)

    @override
    def row(self, n: int) -> Row:
        add, update = self.world.times(61, n, nullable=False)
        user = 1 + self.world.dice(61, n) % USERS
        return {
            "uuid": self.key(n),
            "active_flag": True,
            "add_time": iso(add),
            "company_id": self.world.config.company_id,
            "content": words.SENTENCES[n % len(words.SENTENCES)],
            "object_id": self.parent(n),
            "object_type": "note",
            "update_time": iso(update),
            "updater_id": user,
            "user_id": user,
        }


class Files(Source):
    """Files on deals, persons, organizations, products and leads."""

    name = "files"

    def __init__(
        self, world: World, deals: Deals, persons: Persons, organizations: Organizations, leads: Leads
    ) -> None:
        self.world, self.deals, self.persons = world, deals, persons
        self.organizations, self.leads = organizations, leads
        self.count = world.sizes["files"]

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(7, n, nullable=False)

    @override
    def row(self, n: int) -> Row:
        sizes, config = self.world.sizes, self.world.config
        roll, more = self.world.dice(7, n), self.world.dice(170, n)
        add, update = self.times(n)
        place = roll % 5
        deal = 1 + more % sizes["deals"] if place == 0 else None
        person = 1 + more % sizes["persons"] if place == 1 else None
        org = 1 + more % sizes["organizations"] if place == 2 else None
        lead = 1 + more % sizes["leads"] if place == 3 else None
        remote = place == 4
        return {
            "id": n,
            "user_id": 1 + (roll >> 8) % USERS,
            "log_id": None,
            "add_time": v1(add),
            "update_time": v1(update),
            "file_name": f"scan_{n}_{roll % 10**12:x}.pdf",
            "file_size": more % 9_000_000,
            "active_flag": True,
            "inline_flag": False,
            "remote_location": "googledocs" if remote else "s3",
            "remote_id": f"1mT6jshiv{n}" if remote else "",
            "s3_bucket": "",
            "product_id": None,
            "product_name": None,
            "url": f"https://{config.company_domain}.pipedrive.com/v1/files/{n}/download",
            "description": "Vertrag 📄" if roll & 16 else None,
            "deal_id": deal,
            "deal_name": self.deals.title(deal) if deal else None,
            "lead_id": self.leads.key(lead) if lead else None,
            "lead_name": self.leads.title(lead) if lead else None,
            "person_id": person,
            "person_name": self.persons.full_name(person) if person else None,
            "org_id": org,
            "org_name": self.organizations.title(org) if org else None,
            "activity_id": None,
            "project_id": None,
            "project_name": None,
            "mail_message_id": None,
            "mail_template_id": None,
            "cid": None,
            "file_type": "pdf",
            "name": f"Scan {n}.pdf",
        }
