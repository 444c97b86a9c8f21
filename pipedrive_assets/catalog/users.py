"""Users and what governs their rights: roles, permission sets, legacy teams."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, Tier
from pipedrive_assets.catalog.streams import offset_list, whole_list

USERS = EntitySpec(
    name="users",
    description="Users of the company, inactive ones included.",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    update_column="modified",
    columns=(
        integer("id", "Id of the user", required=True),
        text("name", "Name of the user", required=True),
        text("email", "E-mail address of the user"),
        text("phone", "Phone number of the user"),
        text("default_currency", "ISO 4217 code of the user's currency"),
        text("locale", "Locale of the user, such as et_EE"),
        integer("lang", "Id of the user's language"),
        text("timezone_name", "IANA name of the user's time zone"),
        text("timezone_offset", "The zone's offset from UTC, such as +03:00"),
        integer("role_id", "Id of the user's role"),
        json("access", "Apps the user may use, with admin flag and permission set"),
        text("icon_url", "Address of the user's picture"),
        flag("active_flag", "Whether the user is active"),
        flag("activated", "Whether the user has activated the account"),
        flag("is_deleted", "Whether the user was removed from the company"),
        flag("is_you", "Whether the user is the one whose token asked"),
        flag("has_created_company", "Whether the user created the company"),
        timestamp("last_login", "When the user last logged in (UTC)"),
        timestamp("created", "When the user was created (UTC)"),
        timestamp("modified", "When the user last changed (UTC)"),
    ),
    streams=(whole_list("/users"),),
    references=references(role_id="roles"),
)

ROLES = EntitySpec(
    name="roles",
    description="Visibility groups, in their hierarchy (needs an admin's token).",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        integer("id", "Id of the role", required=True),
        text("name", "Name of the role"),
        integer("parent_role_id", "Id of the role above"),
        integer("level", "Level in the hierarchy, from the top"),
        integer("assignment_count", "Number of users who have the role"),
        integer("sub_role_count", "Number of roles below"),
        flag("active_flag", "Whether the role is active"),
    ),
    streams=(offset_list("/roles"),),
    references=references(parent_role_id="roles"),
)

PERMISSION_SETS = EntitySpec(
    name="permission_sets",
    description="Sets of permissions that users are given per app (needs an admin's token).",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        text("id", "UUID of the permission set", required=True),
        text("name", "Name of the permission set"),
        text("description", "What the permission set allows"),
        text("app", "App it belongs to: sales, projects, campaigns, global, account_settings, …"),
        text("type", "admin, manager, regular or custom"),
        integer("assignment_count", "Number of users who have the permission set"),
    ),
    streams=(whole_list("/permissionSets"),),
)

LEGACY_TEAMS = EntitySpec(
    name="legacy_teams",
    description="Teams and their members; the endpoint is deprecated.",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        integer("id", "Id of the team", required=True),
        text("name", "Name of the team"),
        text("description", "Description of the team"),
        integer("manager_id", "Id of the user who leads the team"),
        json("users", "Ids of the team's members"),
        integer("created_by_user_id", "Id of the user who created the team"),
        flag("active_flag", "Whether the team is active"),
        flag("deleted_flag", "Whether the team is deleted"),
        timestamp("add_time", "When the team was created (UTC)"),
    ),
    streams=(whole_list("/legacyTeams"),),
    references=references(manager_id="users", created_by_user_id="users"),
)

SPECS = (USERS, ROLES, PERMISSION_SETS, LEGACY_TEAMS)
