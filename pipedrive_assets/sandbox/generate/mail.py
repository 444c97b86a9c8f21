"""Mail threads, their messages, and call logs (v1 shapes, flags as 0 and 1)."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import Source
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.contacts import Persons
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import iso

Row = dict[str, Any]

FOLDERS = ("inbox", "sent", "archive", "drafts")
OUTCOMES = ("connected", "no_answer", "left_message", "left_voicemail", "wrong_number", "busy")


def _party(persons: Persons, n: int, at: int) -> Row:
    return {
        "id": n,
        "name": persons.full_name(n),
        "latest_sent": False,
        "email_address": f"person{n}.0@example.com",
        "message_time": at,
        "linked_person_id": n,
        "linked_person_name": persons.full_name(n),
        "linked_organization_id": persons.org_id(n),
        "mail_message_party_id": 5_000 + n,
    }


class MailThreads(Source):
    """Threads of the token's user; each lies in one folder, every sixth in two."""

    name = "mail_threads"

    def __init__(self, world: World, persons: Persons) -> None:
        self.world, self.persons = world, persons
        self.count = world.sizes["mail_threads"]

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(12, n, nullable=False)

    def folders(self, n: int) -> list[str]:
        """Folders in which thread ``n`` is listed."""
        first = FOLDERS[n % 4]
        return [first, "archive"] if n % 6 == 0 and first != "archive" else [first]

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(12, n)
        add, update = self.times(n)
        person = 1 + roll % self.world.sizes["persons"]
        folders = self.folders(n)
        return {
            "id": n,
            "parties": {
                "to": [_party(self.persons, person, add)],
                "from": [_party(self.persons, person, add)],
            },
            "drafts_parties": [],
            "folders": folders,
            "account_id": "123412jhfsaa221",
            "user_id": 1,
            "version": 1 + roll % 9,
            "subject": f"Re: {words.DEAL_WORDS[roll % len(words.DEAL_WORDS)]}",
            "snippet": words.SENTENCES[roll % len(words.SENTENCES)],
            "snippet_draft": None,
            "snippet_sent": "",
            "has_attachments_flag": roll & 1,
            "has_inline_attachments_flag": 0,
            "has_real_attachments_flag": roll & 1,
            "has_draft_flag": int("drafts" in folders),
            "has_sent_flag": int("sent" in folders),
            "archived_flag": int("archive" in folders),
            "deleted_flag": 0,
            "shared_flag": 1,
            "synced_flag": 1,
            "external_deleted_flag": 0,
            "smart_bcc_flag": 0,
            "first_message_to_me_flag": 1,
            "mail_link_tracking_enabled_flag": 0,
            "mail_tracking_status": None,
            "read_flag": roll >> 1 & 1,
            "message_count": 2,
            "last_message_timestamp": iso(update),
            "first_message_timestamp": iso(add),
            "last_message_sent_timestamp": None,
            "last_message_received_timestamp": iso(update),
            "add_time": iso(add),
            "update_time": iso(update),
            "deal_id": 1 + roll % self.world.sizes["deals"] if roll & 4 else None,
            "deal_status": "open" if roll & 4 else None,
            "lead_id": None,
            "all_messages_sent_flag": 0,
        }


class MailMessages(Source):
    """Two messages in each thread."""

    name, parent_field = "mail_messages", "mail_thread_id"

    def __init__(self, world: World, threads: MailThreads) -> None:
        self.world, self.threads = world, threads
        self.count = threads.count * 2

    @override
    def parent(self, n: int) -> int:
        return (n + 1) // 2

    @override
    def row(self, n: int) -> Row:
        thread = self.parent(n)
        roll = self.world.dice(12, thread)
        add, update = self.threads.times(thread)
        at = iso(add if n % 2 else update)
        party = _party(self.threads.persons, 1 + roll % self.world.sizes["persons"], add)
        return {
            "id": n,
            "from": [party],
            "to": [party],
            "cc": [],
            "bcc": [],
            "body_url": f"https://mail.example.com/bodies/{n}",
            "account_id": "123412jhfsaa221",
            "user_id": 1,
            "mail_thread_id": thread,
            "subject": f"Re: {words.DEAL_WORDS[roll % len(words.DEAL_WORDS)]}",
            "snippet": words.SENTENCES[roll % len(words.SENTENCES)],
            "mail_tracking_status": None,
            "mail_link_tracking_enabled_flag": 0,
            "read_flag": 1,
            "draft": None,
            "draft_flag": 0,
            "synced_flag": 1,
            "deleted_flag": 0,
            "has_body_flag": 1,
            "sent_flag": 0,
            "sent_from_pipedrive_flag": 0,
            "smart_bcc_flag": 0,
            "message_time": at,
            "add_time": at,
            "update_time": at,
            "has_attachments_flag": 0,
            "has_inline_attachments_flag": 0,
            "has_real_attachments_flag": 0,
        }


class CallLogs(Source):
    """Calls of the token's user; ids are strings."""

    name, text_ids = "call_logs", True

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = world.sizes["call_logs"]

    @override
    def key(self, n: int) -> str:
        return "CA" + self.world.hexadecimal(11, n)[:27]

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(11, n)
        start, _ = self.world.times(11, n, nullable=False)
        seconds = roll % 3_600
        return {
            "id": self.key(n),
            "activity_id": 1 + roll % self.world.sizes["activities"] if roll & 1 else None,
            "person_id": 1 + roll % self.world.sizes["persons"],
            "org_id": None,
            "deal_id": 1 + roll % self.world.sizes["deals"] if roll & 2 else None,
            "lead_id": None,
            "subject": f"Call {n} 📞",
            "duration": str(seconds),
            "outcome": OUTCOMES[roll % 6],
            "from_phone_number": "+37277774841",
            "to_phone_number": f"+372{roll % 99_999_999:08d}",
            "has_recording": False,
            "start_time": iso(start),
            "end_time": iso(min(start + seconds * 1000, self.world.now_ms)),
            "user_id": 1,
            "company_id": self.world.config.company_id,
            "note": "left a note" if roll & 4 else None,
        }
