"""What the company has set up: currencies, filters, goals, webhooks."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, Tier, Variants
from pipedrive_assets.catalog.streams import whole_list

_GOAL_TYPES = ("deals_won", "deals_progressed", "deals_started", "activities_completed", "activities_added")

CURRENCIES = EntitySpec(
    name="currencies",
    description="Currencies the account knows, custom ones included.",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        integer("id", "Id of the currency", required=True),
        text("code", "ISO 4217 code, or the code of a custom currency", required=True),
        text("name", "Name of the currency"),
        text("symbol", "Symbol of the currency"),
        integer("decimal_points", "Number of decimal places"),
        flag("active_flag", "Whether the currency is in use"),
        flag("is_custom_flag", "Whether the currency is the company's own"),
    ),
    streams=(whole_list("/currencies"),),
)

FILTERS = EntitySpec(
    name="filters",
    description="Saved filters that the token's user can see, without their conditions.",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the filter", required=True),
        text("name", "Name of the filter"),
        text("type", "What is filtered: deals, leads, org, people, products, activity or projects"),
        text("filter_code", "Code of a filter that Pipedrive provides"),
        integer("user_id", "Id of the user who owns the filter"),
        integer("custom_view_id", "Id of the list view the filter belongs to"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        flag("is_editable", "Whether the token's user may edit the filter"),
        flag("active_flag", "Whether the filter is active"),
        flag("temporary_flag", "Whether the filter is temporary"),
        timestamp("last_used_time", "When the filter was last used (UTC)"),
        timestamp("add_time", "When the filter was created (UTC)"),
        timestamp("update_time", "When the filter last changed (UTC)"),
    ),
    streams=(whole_list("/filters"),),
    references=references(user_id="users"),
)

GOALS = EntitySpec(
    name="goals",
    description="Goals of users, teams and the company.",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        text("id", "Id of the goal, 32 hexadecimal digits", required=True),
        text("title", "Title of the goal"),
        integer("owner_id", "Id of the user who created the goal"),
        json("type", "What is counted: name, and the pipelines, stages or activity types it is limited to"),
        json("assignee", "Whose goal it is: type (person, company, team) and id"),
        text("interval", "weekly, monthly, quarterly or yearly"),
        json("duration", "First and last day of the goal"),
        json("expected_outcome", "Target, and whether it is a quantity or a sum of money"),
        flag("is_active", "Whether the goal is active"),
        json("report_ids", "Ids of the reports that show the goal"),
    ),
    streams=(
        # Without a filter the list holds the caller's own active goals only (reference section 5.3).
        whole_list(
            "/goals/find",
            rows_key="goals",
            fan=Variants(
                tuple(
                    (("type.name", goal_type), ("is_active", active))
                    for goal_type in _GOAL_TYPES
                    for active in ("true", "false")
                )
            ),
        ),
    ),
    references=references(owner_id="users"),
)

WEBHOOKS = EntitySpec(
    name="webhooks",
    description="Webhook subscriptions of the company (needs an admin's token).",
    group="company",
    tier=Tier.DAILY,
    key=("id",),
    redacted=("http_auth_password",),
    columns=(
        integer("id", "Id of the webhook", required=True),
        text("name", "Name of the webhook"),
        integer("company_id", "Id of the company"),
        integer("owner_id", "Id of the user who owns the webhook"),
        integer("user_id", "Id of the user whose rights decide which events are sent"),
        integer("admin_id", "Id of the admin of the webhook"),
        text("event_action", "create, change, delete or *; added, updated, deleted in version 1.0"),
        text("event_object", "Kind of record whose events are sent, or *"),
        text("subscription_url", "Address to which events are sent"),
        text("version", "Version of the events: 1.0 or 2.0"),
        text("type", "general, application or automation"),
        text("http_auth_user", "User name with which events are sent; the password is never kept"),
        flag("is_active", "Whether events are sent"),
        text("remove_reason", "Why the webhook was removed"),
        integer("last_http_status", "HTTP status of the last delivery"),
        timestamp("last_delivery_time", "When an event was last delivered (UTC)"),
        timestamp("add_time", "When the webhook was created (UTC)"),
        timestamp("remove_time", "When the webhook was removed (UTC)"),
    ),
    streams=(whole_list("/webhooks", token_cost=10),),
    references=references(owner_id="users", user_id="users", admin_id="users"),
)

SPECS = (CURRENCIES, FILTERS, GOALS, WEBHOOKS)
