"""What goes wrong in a schedule, drawn from a seed: background noise, aimed faults, and a busy account.

The noise is random in kind and time at one rate. The aimed faults make sure of the rest: every kind meets a
first page, one in the middle, and the last one, after which the client commits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from pipedrive_assets.sandbox import Sandbox
from pipedrive_assets.sandbox.faults import Fault

SEED_VARIABLE = "CHAOS_SEED"
PLACES = ("first", "middle", "last")
STATUSES = (408, 429, 500, 501, 502, 503, 504, *range(520, 528))

ENTITIES = (
    "stages",
    "persons",
    "products",
    "deals",
    "deal_products",
    "leads",
    "activities",
    "notes",
    "files",
    "tasks",
)
"""Every kind of paging and of incremental filter, per-parent lists too; parents first."""

_WHOLE_LISTS = r"/(tasks|stages)$"
"""Lists that each sync reads to the end: a wrong value is taken for true until its row is read again."""

_TRANSIENT: dict[str, tuple[dict[str, Any], ...]] = {
    "status": tuple({"status": status} for status in STATUSES if status != 501),
    "html": ({"status": 200}, {"status": 502}, {"status": 503}),
    "invalid_json": ({},),
    "truncate": ({},),
    "reset": ({},),
    "hang": ({"seconds": 2.0},),
    "no_rate_headers": ({},),
}
"""What a client gets over by asking again."""

_FINAL: dict[str, tuple[dict[str, Any], ...]] = {
    "status": ({"status": 501},),
    "success_false": ({},),
    "repeat_cursor": ({},),
}
"""What ends a run, and is gone in the next."""

_LIES: dict[str, tuple[dict[str, Any], ...]] = {
    "extra_key": ({"path": _WHOLE_LISTS, "column": "brand_new", "value": [1, 2]},),
    "bad_value": (
        {"path": _WHOLE_LISTS, "column": "add_time", "value": "yesterday"},
        {"path": _WHOLE_LISTS, "column": "id", "value": "unexpected"},
        {"path": _WHOLE_LISTS, "column": "order_nr", "value": {"not": "a number"}},
    ),
}

KINDS = tuple(dict.fromkeys((*_TRANSIENT, *_FINAL, *_LIES)))


def seeds(fixed: Sequence[int]) -> list[int]:
    """The seeds to run with: the one asked for by the environment, else ``fixed``."""
    asked = os.environ.get(SEED_VARIABLE)
    return [int(asked)] if asked else list(fixed)


@contextmanager
def replayable(seed: int) -> Iterator[Random]:
    """The generator of a schedule; a failure in the block tells how to play it again."""
    try:
        yield Random(seed)
    except BaseException as failure:
        failure.add_note(f"play it again with {SEED_VARIABLE}={seed} python -m pytest <this test>")
        raise


def make_noise(sandbox: Sandbox, random: Random, *, rate: float | None = None) -> float:
    """Let a share of all requests meet a fault that asking again gets over; returns the share.

    Without a ``rate`` it is drawn between 1 and 20 %, small ones as often as large.
    """
    share = rate if rate is not None else 0.01 * 20 ** random.random()
    for kind, rules in _TRANSIENT.items():
        for rule in rules:
            each = share / len(_TRANSIENT) / len(rules)
            sandbox.faults.add(kind, probability=each, **rule)  # type: ignore[arg-type]
    return share


def aim(sandbox: Sandbox, random: Random) -> list[Fault]:
    """Put every kind of fault on every place once, and every status somewhere, in random order."""
    hand = [
        (kind, {**random.choice(rules), "place": place})
        for group in (_TRANSIENT, _FINAL, _LIES)
        for kind, rules in group.items()
        for place in PLACES
    ]
    hand += [("status", {"status": status, "place": random.choice(PLACES)}) for status in STATUSES]
    random.shuffle(hand)
    # Wrong values only fit few lists: whatever fits all must not get in their way there.
    hand.sort(key=lambda fault: fault[0] not in _LIES)
    return [
        sandbox.faults.add(kind, count=1, probability=random.uniform(0.5, 1.0), **rule)  # type: ignore[arg-type]
        for kind, rule in hand
    ]


class BusyAccount:
    """People at work: before some of the pages a record is created, changed or deleted, or time passes."""

    def __init__(self, sandbox: Sandbox, random: Random, *, share: float = 0.25) -> None:
        self._sandbox = sandbox
        self._random = random
        self._share = share
        self.edits = 0

    def __call__(self, version: str, path: str, params: dict[str, str]) -> None:
        """Before a page: perhaps an edit."""
        if self._random.random() < self._share:
            self.edit()

    def edit(self) -> None:
        """One change, of the kinds that lists show (of deletions they show those of deals)."""
        random, account = self._random, self._sandbox.account
        self.edits += 1
        match random.choice(("create", "update", "update", "update", "archive", "delete", "attach", "wait")):
            case "create":
                entity = random.choice(tuple(_NAMES))
                account.create(entity, **{_NAMES[entity]: f"created in edit {self.edits}"})
            case "update":
                entity = random.choice(tuple(_NAMES))
                account.update(
                    entity, self._some(entity), **{_NAMES[entity]: f"changed in edit {self.edits}"}
                )
            case "archive":
                entity = random.choice(("deals", "leads"))
                account.archive(entity, self._some(entity))
            case "delete":
                account.delete("deals", self._some("deals"))
            case "attach":
                product = random.choice(self._sandbox.rows("products"))["id"]
                account.create("deal_products", deal_id=self._some("deals"), product_id=product, quantity=2)
            case "wait":
                self._sandbox.clock.advance(random.choice((1, 30, 700, 4000)))

    def _some(self, entity: str) -> Any:
        rows = self._sandbox.rows(entity)
        return self._random.choice(
            [row["id"] for row in rows if not row.get("is_archived") and not row.get("is_deleted")]
        )


_NAMES = {
    "deals": "title",
    "leads": "title",
    "persons": "name",
    "products": "name",
    "activities": "subject",
    "notes": "content",
    "tasks": "title",
}
"""Entities that are edited, with the column that tells it."""
