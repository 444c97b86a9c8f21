"""Values of custom fields, as v2 shows them nested and v1 leads show them flat (reference 6.3)."""

from __future__ import annotations

from typing import Any

from pipedrive_assets.sandbox.fields import CustomField, FieldBook
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.world import World

Row = dict[str, Any]

POOL_SIZE = 97
"""Records share this many sets of values: as varied as the tests need, and cheap to make and to hold."""

TEXTS = (
    "plain", "emoji 🎉", "quote ' and \" and \\", "line\nbreak", "null", "NaN", "", "0", "tab\t", "ünïcödé",
    "<b>html</b> &amp;", "1234567890123456789", "true", "2024-13-45", "{\"json\": 1}",
)  # fmt: skip
ZONES = ((318, "Europe/London"), (322, "Europe/Berlin"), (374, "Asia/Tokyo"))


def value(made: CustomField, roll: int, world: World) -> Any:
    """A value of the field's type for a roll of the dice."""
    zone_id, zone = ZONES[roll % 3]
    day = f"202{3 + roll % 4}-{1 + roll % 12:02d}-{1 + roll % 28:02d}"
    clock = f"{roll % 24:02d}:{roll % 60:02d}:00"
    match made.type:
        case "double":
            return (roll % 2_000_000_000) / 100 - 5_000_000
        case "monetary":
            return {"value": roll % 90_000 / 4, "currency": words.CURRENCIES[roll % 5]}
        case "enum":
            return made.options[roll % len(made.options)].id
        case "set":
            return [option.id for i, option in enumerate(made.options) if roll >> i & 1] or None
        case "user":
            return 1 + roll % USERS
        case "people":
            return 1 + roll % world.sizes["persons"]
        case "org":
            return 1 + roll % world.sizes["organizations"]
        case "date":
            return day
        case "daterange":
            return {"value": day, "until": day[:3] + "9" + day[4:]}
        case "time":
            return {"value": clock, "timezone_id": zone_id, "timezone_name": zone}
        case "timerange":
            return {"value": clock, "until": "23:59:00", "timezone_id": zone_id, "timezone_name": zone}
        case "address":
            address = words.ADDRESSES[roll % len(words.ADDRESSES)]
            return {**address, "formatted_address": address["value"]}
        case "phone":
            return f"+372 {roll % 10_000_000:07d}"
        case _:
            return TEXTS[roll % len(TEXTS)] or None


USERS = 12
"""Users of every account, whatever its scale."""


def pool(book: FieldBook, entity: str, world: World, kind: int) -> list[Row]:
    """``POOL_SIZE`` sets of values, all keys present; every third value is unset."""
    rows = []
    for i in range(POOL_SIZE):
        row = {}
        for position, made in enumerate(book.custom[entity].values()):
            roll = world.dice(kind, i * 100 + position)
            row[made.code] = value(made, roll >> 4, world) if roll % 3 else None
        rows.append(row)
    return rows


def flat(custom: Row, book: FieldBook) -> Row:
    """The same values as a v1 lead shows them: top level, suffixed parts, unset ones absent."""
    out: Row = {}
    for code, held in custom.items():
        if held is None:
            continue
        if isinstance(held, dict):
            out[code] = held["value"]
            for part, each in held.items():
                if part != "value" and part != "timezone_name":
                    out[f"{code}_{part}"] = each
        elif isinstance(held, list):
            out[code] = ",".join(str(each) for each in held)
        elif book.custom["deal"][code].type == "enum":
            out[code] = str(held)
        else:
            out[code] = held
    return out
