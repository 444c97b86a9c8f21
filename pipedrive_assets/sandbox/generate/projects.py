"""Boards, phases, templates, projects and tasks (v2, times with milliseconds)."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import ARCHIVED, LIVE, Source
from pipedrive_assets.sandbox.fields import FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS, pool
from pipedrive_assets.sandbox.generate.world import DAY_MS, World
from pipedrive_assets.sandbox.times import day, iso

Row = dict[str, Any]

BOARDS = 3
PHASES_EACH = 4


class _Planned(Source):
    """Records with a creation and a change, told apart by ``kind``."""

    kind = 0

    def __init__(self, world: World) -> None:
        self.world = world

    @override
    def times(self, n: int) -> tuple[int, int | None]:
        return self.world.times(self.kind, n, nullable=False)

    def stamps(self, n: int) -> Row:
        """``add_time`` and ``update_time``."""
        add, update = self.times(n)
        return {"add_time": iso(add), "update_time": iso(update)}


class Boards(_Planned):
    """Three boards."""

    name, count, kind = "boards", BOARDS, 70

    @override
    def row(self, n: int) -> Row:
        return {"id": n, "name": ("Delivery", "Intern", "Büro 🏢")[n - 1], "order_nr": n, **self.stamps(n)}


class Phases(_Planned):
    """Four phases on each board."""

    name, count, kind, parent_field = "phases", BOARDS * PHASES_EACH, 71, "board_id"

    @override
    def parent(self, n: int) -> int:
        return 1 + (n - 1) // PHASES_EACH

    @override
    def row(self, n: int) -> Row:
        position = 1 + (n - 1) % PHASES_EACH
        return {
            "id": n,
            "name": f"Phase {position}",
            "board_id": self.parent(n),
            "order_nr": position,
            **self.stamps(n),
        }


class Templates(_Planned):
    """Two project templates."""

    name, count, kind = "project_templates", 2, 72

    @override
    def row(self, n: int) -> Row:
        return {
            "id": n,
            "title": f"Template {n}",
            "description": "Office renovation" if n == 1 else None,
            "projects_board_id": n,
            "owner_id": n,
            **self.stamps(n),
        }


class Projects(_Planned):
    """Projects, one in nine archived."""

    name, kind = "projects", 9

    def __init__(self, world: World, book: FieldBook) -> None:
        super().__init__(world)
        self.count = world.sizes["projects"]
        self.pool = pool(book, "project", world, 180)

    @override
    def state(self, n: int) -> int:
        return ARCHIVED if n % 9 == 4 else LIVE

    @override
    def row(self, n: int) -> Row:
        world, sizes = self.world, self.world.sizes
        roll, more = world.dice(9, n), world.dice(181, n)
        add, update = self.times(n)
        board = 1 + roll % BOARDS
        return {
            "id": n,
            "title": f"Project {words.COMPANIES[roll % len(words.COMPANIES)]} {n}",
            "description": words.SENTENCES[more % len(words.SENTENCES)] if roll & 4 else None,
            "status": ("open", "completed", "canceled")[more % 3],
            "board_id": board,
            "phase_id": (board - 1) * PHASES_EACH + 1 + more % PHASES_EACH,
            "owner_id": 1 + (roll >> 8) % USERS,
            "start_date": day(add),
            "end_date": day(add + 30 * DAY_MS) if roll & 8 else None,
            "deal_ids": [1 + more % sizes["deals"]] if roll & 16 else [],
            "person_ids": [1 + more % sizes["persons"]] if roll & 32 else [],
            "org_ids": [1 + more % sizes["organizations"]] if roll & 64 else [],
            "label_ids": [1] if roll & 128 else [],
            "health_status": more % 3 if roll & 256 else None,
            **self.stamps(n),
            "status_change_time": iso(add) if roll & 512 else None,
            "archive_time": iso(update) if self.state(n) == ARCHIVED else None,
            "custom_fields": self.pool[more % len(self.pool)],
        }


class Tasks(_Planned):
    """Tasks of projects, some below others."""

    name, kind = "tasks", 10

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.count = world.sizes["tasks"]

    @override
    def row(self, n: int) -> Row:
        roll = self.world.dice(10, n)
        add, update = self.times(n)
        done = bool(roll & 4)
        return {
            "id": n,
            "title": f"Task {n}",
            "creator_id": 1 + (roll >> 8) % USERS,
            "description": words.SENTENCES[roll % len(words.SENTENCES)] if roll & 8 else None,
            "project_id": 1 + (roll >> 20) % self.world.sizes["projects"],
            "is_done": done,
            "is_milestone": n % 12 == 0,
            "due_date": day(add + 14 * DAY_MS) if roll & 16 else None,
            "start_date": day(add) if roll & 32 else None,
            "parent_task_id": n - 1 if n % 5 == 4 else None,
            "assignee_ids": [1 + roll % USERS] if roll & 64 else [],
            "priority": roll % 4 if roll & 128 else None,
            **self.stamps(n),
            "marked_as_done_time": iso(update) if done else None,
        }
