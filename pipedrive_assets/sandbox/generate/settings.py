"""The company itself: users, roles, permission sets, teams, types, currencies, filters, goals, webhooks."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from pipedrive_assets.sandbox.collection import Source
from pipedrive_assets.sandbox.generate import words
from pipedrive_assets.sandbox.generate.custom_values import USERS
from pipedrive_assets.sandbox.generate.world import World
from pipedrive_assets.sandbox.times import iso, v1

Row = dict[str, Any]

APPS = ("sales", "global", "account_settings", "projects")
GOAL_TYPES = ("deals_won", "deals_progressed", "activities_completed", "activities_added", "deals_started")


class _Settings(Source):
    """Small lists that only need the world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def created(self, kind: int, n: int) -> tuple[str | None, str | None]:
        """Creation and change in v1 form."""
        add, update = self.world.times(kind, n, nullable=False)
        return v1(add), v1(update)


class PermissionSets(_Settings):
    """An admin and a regular set per app; ids are UUIDs."""

    name, count, text_ids = "permission_sets", 2 * len(APPS), True

    @override
    def key(self, n: int) -> str:
        return self.world.uuid(50, n)

    @override
    def row(self, n: int) -> Row:
        app, admin = APPS[(n - 1) // 2], n % 2 == 1
        return {
            "id": self.key(n),
            "name": f"{app.title()} {'admin' if admin else 'regular user'}",
            "description": f"Permissions in {app}",
            "app": app,
            "type": "admin" if admin else "regular",
            "assignment_count": 1 if admin else USERS - 1,
        }


class Users(_Settings):
    """Twelve users; number one owns the token, the last one is inactive."""

    name, count = "users", USERS

    def __init__(self, world: World, sets: PermissionSets) -> None:
        super().__init__(world)
        self.sets = sets

    def full_name(self, n: int) -> str:
        """Name of user ``n``."""
        return f"{words.FIRST_NAMES[n]} {words.LAST_NAMES[n]}"

    def short(self, n: int) -> Row:
        """The user as notes embed them."""
        return {
            "email": f"user{n}@example.com",
            "icon_url": None,
            "is_you": n == 1,
            "name": self.full_name(n),
        }

    @override
    def row(self, n: int) -> Row:
        created, modified = self.created(51, n)
        return {
            "id": n,
            "name": self.full_name(n),
            "default_currency": "EUR",
            "locale": "et_EE",
            "lang": 1,
            "email": f"user{n}@example.com",
            "phone": f"0000-{n:04d}" if n % 3 else None,
            "activated": True,
            "last_login": modified,
            "created": created,
            "modified": modified,
            "has_created_company": n == 1,
            "access": [
                {
                    "app": app,
                    "admin": n == 1,
                    "permission_set_id": self.sets.key(2 * i + (1 if n == 1 else 2)),
                }
                for i, app in enumerate(APPS)
            ],
            "active_flag": n != USERS,
            "timezone_name": "Europe/Berlin",
            "timezone_offset": "+01:00",
            "role_id": 1 + n % 3,
            "icon_url": None,
            "is_you": n == 1,
            "is_deleted": False,
        }

    def me(self) -> Row:
        """What ``users/me`` adds about the company."""
        config = self.world.config
        return {
            "company_id": config.company_id,
            "company_name": config.company_name,
            "company_domain": config.company_domain,
            "company_country": "EE",
            "company_industry": "IT Services",
            "language": {"language_code": "en", "country_code": "US"},
        }


class Roles(_Settings):
    """Three roles, one below the other; counts are strings, as v1 has them."""

    name, count = "roles", 3

    @override
    def row(self, n: int) -> Row:
        return {
            "id": n,
            "parent_role_id": n - 1 or None,
            "name": ("(Unassigned users)", "Managers", "Réps")[n - 1],
            "active_flag": True,
            "assignment_count": str(USERS // 3),
            "sub_role_count": "1" if n < 3 else "0",
            "level": n,
        }


class LegacyTeams(_Settings):
    """Two teams."""

    name, count = "legacy_teams", 2

    @override
    def row(self, n: int) -> Row:
        return {
            "id": n,
            "name": ("Closers", "Hunters 🏹")[n - 1],
            "description": "Berlin office" if n == 1 else None,
            "manager_id": n,
            "users": [n, n + 2, n + 4],
            "active_flag": 1,
            "deleted_flag": 0,
            "add_time": self.created(52, n)[0],
            "created_by_user_id": 1,
        }


class ActivityTypes(_Settings):
    """The built-in types and one of the company's own, inactive ones included."""

    name, count = "activity_types", 8

    @override
    def row(self, n: int) -> Row:
        key = ("call", "meeting", "task", "deadline", "email", "lunch", "site_visit", "fax")[n - 1]
        add, update = self.world.times(53, n, nullable=False)
        icon = key if n < 7 else ("car", "document")[n - 7]
        return {
            "id": n,
            "order_nr": n,
            "name": key.replace("_", " ").title(),
            "key_string": key,
            "icon_key": icon,
            "active_flag": n != 8,
            "color": "FFFFFF" if n % 2 else None,
            "is_custom_flag": n > 6,
            "add_time": iso(add),
            "update_time": iso(update),
        }


class Currencies(_Settings):
    """Five currencies and one of the company's own."""

    name, count = "currencies", 6

    @override
    def row(self, n: int) -> Row:
        code, title, digits, symbol = (
            ("EUR", "Euro", 2, "€"), ("USD", "US Dollar", 2, "$"), ("GBP", "Pound Sterling", 2, "£"),
            ("SEK", "Swedish Krona", 2, "kr"), ("JPY", "Japanese Yen", 0, "¥"), ("PTS", "Points", 0, "pts"),
        )[n - 1]  # fmt: skip
        return {
            "id": n,
            "code": code,
            "name": title,
            "decimal_points": digits,
            "symbol": symbol,
            "active_flag": True,
            "is_custom_flag": n == 6,
        }


class Filters(_Settings):
    """Saved filters of several kinds."""

    name, count = "filters", 7

    @override
    def row(self, n: int) -> Row:
        add, update = self.created(54, n)
        return {
            "id": n,
            "name": f"My filter {n} ⭐",
            "filter_code": None,
            "is_editable": n % 2 == 0,
            "active_flag": True,
            "type": ("deals", "leads", "org", "people", "products", "activity", "projects")[n - 1],
            "temporary_flag": None,
            "user_id": 1,
            "add_time": add,
            "update_time": update if n % 3 else None,
            "visible_to": "7",
            "last_used_time": None,
            "custom_view_id": n if n % 2 else None,
        }


class Goals(_Settings):
    """One active and one inactive goal of each type; ids are hex strings."""

    name, count, text_ids = "goals", 2 * len(GOAL_TYPES), True

    @override
    def key(self, n: int) -> str:
        return self.world.hexadecimal(55, n)

    @override
    def row(self, n: int) -> Row:
        kind = GOAL_TYPES[(n - 1) // 2]
        params: Row = {"activity_type_id": [n % 7 + 1]} if kind.startswith("act") else {"pipeline_id": [1, 2]}
        return {
            "id": self.key(n),
            "owner_id": 1 + n % USERS,
            "title": f"Goal {n} 🥇",
            "type": {"name": kind, "params": params},
            "assignee": {"type": "company", "id": self.world.config.company_id},
            "interval": "weekly",
            "duration": {"start": "2024-01-01", "end": "2026-12-31" if n % 3 else None},
            "expected_outcome": {"target": 100 * n, "tracking_metric": "quantity"},
            "is_active": n % 2 == 1,
            "report_ids": [self.world.hexadecimal(56, n)],
        }


class Webhooks(_Settings):
    """Two subscriptions; one has a password."""

    name, count = "webhooks", 2

    @override
    def row(self, n: int) -> Row:
        add, _ = self.world.times(57, n, nullable=False)
        return {
            "id": n,
            "company_id": self.world.config.company_id,
            "owner_id": 1,
            "user_id": 1,
            "event_action": ("*", "change")[n - 1],
            "event_object": ("*", "deal")[n - 1],
            "subscription_url": f"https://hooks.example.com/{n}",
            "version": "2.0",
            "is_active": 1,
            "add_time": iso(add),
            "remove_time": None,
            "type": "general",
            "http_auth_user": None if n == 1 else "hook",
            "http_auth_password": None if n == 1 else "hook-password",
            "remove_reason": None,
            "last_delivery_time": None,
            "last_http_status": None if n == 1 else 200,
            "admin_id": 1,
            "name": f"Webhook {n}",
        }
